"""Does memory grow? Thousands of frames through stream, engine, tracker, gate, best shots and live view.

    python benchmarks/soak.py [--frames 20000] [--model edgeface-s]

Frames change between three sizes and rotations, some are damaged, some come out of order or without a stamp, the
clock jumps and is set back, and the camera is lost every 500 frames. Every 120 frames the source rests until all
frames are through, tracks are ended, and memory is read: the bytes in use (exact) and the resident ones (with what
allocators keep). Prints them at a few points, and the slopes over the second half (the first is caches filling) with
95 % confidence intervals.
"""

from __future__ import annotations

import argparse
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from memory import Slope, look, slope

import edgeface
from edgeface.errors import ImageError, SourceError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.images import read_image
from edgeface.sources.base import Source
from edgeface.streaming import Stream, StreamState
from edgeface.web import LiveView

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
SIZES = ((320, 240), (640, 480), (400, 300))
ROTATIONS = (0, 90, 270)
#: Every so many frames: the clock jumps ahead, is set back, a frame comes out of order, a frame has no stamp.
JUMP, BACK, DISORDER, UNSTAMPED = 401, 601, 211, 331
#: Seconds of a jump.
JUMP_S = 300
#: Frames of one size in a row, and from one rest to the next: always at the same size.
RUN, REST = 40, 120


@dataclass(frozen=True)
class Soak:
    """What a soak found.

    Attributes:
        frames: (n,) after which memory was read.
        memory: (n, 3) what was read: see `memory.Memory`.
        heap, blocks, rss: growth of each for every frame of the second half.
        stats: the stream's counts.
        tracks: most that were alive at a time.
        ids: numbers that were given to faces.
    """

    frames: np.ndarray
    memory: np.ndarray
    heap: Slope
    blocks: Slope
    rss: Slope
    stats: Any
    tracks: int
    ids: int


class Walk(Source):
    """A camera that walks over a photo, changes its size and rotation, gives damage and wrong stamps, and gets lost."""

    name, live = "walk", False

    def __init__(self, photo: np.ndarray, count: int) -> None:
        self._photo, self._count, self._number, self._clock_s = photo, count, 0, 0
        self.resting, self._go_on = threading.Event(), threading.Event()

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def go_on(self) -> None:
        """End the rest."""
        self.resting.clear()
        self._go_on.set()

    def read(self) -> Frame | None:
        if self._number and self._number % REST == 0:
            self._go_on.clear()
            self.resting.set()
            while not self._go_on.wait(0.1) and not self.cancelled.is_set():
                pass
        self._number += 1
        if self._number > self._count:
            return None
        if self._number % 500 == 0:
            raise SourceError("the camera was lost")
        if self._number % 97 == 0:
            raise ImageError("a damaged frame")
        shape = self._number // RUN % len(SIZES)
        width, height = SIZES[shape]
        room = self._photo.shape[1] - width, self._photo.shape[0] - height
        x, y = (
            int(side * (0.5 + 0.5 * np.sin(self._number / pace))) for side, pace in zip(room, (23, 31), strict=True)
        )
        picture = self._photo[y : y + height, x : x + width]
        return Frame.from_array(picture, "bgr", rotation=ROTATIONS[shape], timestamp_ns=self._stamp())

    def _stamp(self) -> int | None:
        if self._number % JUMP == 0:
            self._clock_s += JUMP_S
        if self._number % BACK == 0:
            self._clock_s -= 2 * JUMP_S
        if self._number % UNSTAMPED == 0:
            return None
        late = 2 if self._number % DISORDER == 0 else 0
        return round((self._number - late) * 1e9 / 30) + self._clock_s * 10**9


def soak(engine: Any, count: int, *, show: bool = False) -> Soak:
    """Run `count` frames through everything and watch the memory.

    Args:
        engine: a `FaceEngine`, or anything that detects.
        count: frames, at least six rests.
        show: print some of what is read.
    """
    photo = read_image(PHOTO)
    source = Walk(np.ascontiguousarray(np.tile(photo, (2, 2, 1))), count)
    gate = edgeface.QualityGate()
    blank = Frame.from_array(np.zeros((240, 320, 3), np.uint8), "bgr")
    # made at once, or the notes would be what grows
    tracks = ids = 0
    frames, memory, rests = np.zeros(count // REST + 1), np.zeros((count // REST + 1, 3)), 0
    with LiveView(port=0) as view, Stream(engine, source, retry=(0.001, 0.01)) as stream:
        view._board.watch(1)  # as if a browser were open: pictures are drawn and compressed
        while True:
            resting = source.resting.is_set()  # before the slot is found empty: a frame may come in between
            result = stream.read(timeout=0.05)
            if result is not None:
                assert stream.tracker is not None
                tracks = max(tracks, len(stream.tracker.tracks))
                ids = max(ids, *result.faces.track_ids.tolist(), 0)
                assert np.isfinite(result.faces.boxes).all()
                # every tenth: drawing and compressing would take most of the time
                if stream.stats.results % 10 == 0:
                    view.show(result.frame, result.faces, reports=gate.check(result.faces, result.frame))
            elif resting:
                # what depends on where the camera just looks is put away: best shots, the last picture
                assert stream.tracker is not None
                stream.tracker.reset()
                stream.tracker.take_ended()
                view.show(blank, Faces.empty((320, 240)))
                now = look()
                frames[rests], memory[rests] = stream.stats.frames, now
                rests += 1
                if show and rests % max(1, count // REST // 10) == 1:
                    print(f"frame {stream.stats.frames:6d}  heap in use {now.heap / 1e6:7.3f} MB", end="  ")
                    print(f"Python {now.blocks} blocks  RSS {now.rss / 1e6:7.2f} MB", flush=True)
                source.go_on()
            elif stream.stats.state is StreamState.ENDED:
                break
        stats = stream.stats
    frames, memory = frames[:rests], memory[:rests]
    half = slice(rests // 2, None)
    heap, blocks, rss = (slope(frames[half], column[half]) for column in memory.T)
    return Soak(frames, memory, heap, blocks, rss, stats, tracks, ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--runtime", default="auto")
    options = parser.parse_args()
    with edgeface.FaceEngine(options.model, runtime=options.runtime) as engine:
        print(engine)
        result = soak(engine, options.frames, show=True)
    print(f"{result.stats}")
    print(f"at most {result.tracks} tracks at a time, {result.ids} ids")
    print("growth over the second half, 95 % confidence:")
    print(f"  heap in use  {result.heap} bytes a frame")
    print(f"  Python       {result.blocks} blocks a frame")
    print(f"  RSS          {result.rss} bytes a frame, {result.rss.value * 30 * 3600 / 1e6:+.2f} MB an hour at 30 fps")


if __name__ == "__main__":
    main()
