"""Best shots as files."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from edgeface.errors import ImageError

if TYPE_CHECKING:
    from edgeface.tracking import Tracker
    from edgeface.tracking.best_shot import BestShot

__all__ = ["BestShots"]

# Pictures that wait for room on the disk, and how often it is looked for.
_WAITING: Final = 64
_AGAIN_S: Final = 5.0


class BestShots:
    """Writes the best shots of tracks that have ended. A full disk does not end the camera: shots wait for room.

    Args:
        folder: is made.

    Raises:
        ImageError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(
                f"--best-shots must be a folder that can be made, but got {folder}: {error.strerror}"
            ) from None
        self._folder = folder
        self._run = _new_run(folder)
        self._waiting: deque[tuple[str, BestShot]] = deque()
        self._living: dict[int, BestShot] = {}
        self._failed_at: float | None = None
        self._error = ""
        self._lost = 0

    def save(self, tracker: Tracker) -> None:
        """Write the shots of tracks that have ended since the last call, and those that could not be written then."""
        ended = {shot.track_id: shot for track in tracker.take_ended() if (shot := track.best_shot) is not None}
        living = tracker.best_shots()
        # a tracker keeps the last 16 that ended: of a crowd that goes at once the others are known from before
        gone = {track_id: shot for track_id, shot in self._living.items() if track_id not in living}
        self._living = living
        for shot in (gone | ended).values():
            self._add(shot)
        if self._failed_at is None or time.monotonic() - self._failed_at > _AGAIN_S:
            self._write()

    def finish(self, tracker: Tracker) -> None:
        """Write everything, those who are still seen too.

        Raises:
            ImageError: some could not be written.
        """
        self._failed_at = None
        self.save(tracker)
        for shot in self._living.values():
            self._add(shot)
        self._write()
        if missing := self._lost + len(self._waiting):
            raise ImageError(f"best shots must be written, but got {missing} that could not be: {self._error}")

    def _add(self, shot: BestShot) -> None:
        if shot.aligned is None:
            return
        if len(self._waiting) == _WAITING:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append((f"{self._run}-{shot.track_id}-q{shot.face.quality:.2f}.png", shot))

    def _write(self) -> None:
        from edgeface.images import write_image

        while self._waiting:
            name, shot = self._waiting[0]
            assert shot.aligned is not None
            try:
                write_image(self._folder / name, shot.aligned)
            except ImageError as error:
                if not self._error:
                    typer.echo(f"best shots wait until they can be written: {error}", err=True)
                self._error, self._failed_at = str(error), time.monotonic()
                return
            self._waiting.popleft()
            self._failed_at = None


def _new_run(folder: Path) -> str:
    """The time, since ids begin at 1 in each run, and a number: boards without a clock begin at the same time again."""
    now = time.strftime("%Y%m%d-%H%M%S")
    taken = {path.name for path in folder.glob(f"{now}*")}
    run, number = now, 1
    while any(name.startswith(f"{run}-") for name in taken):
        number += 1
        run = f"{now}.{number}"
    return run
