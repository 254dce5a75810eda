"""`Tracker`: faces of one frame after the other in, the same faces with stable ids and smooth motion out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface._compat import StrEnum
from edgeface.errors import EdgeFaceError, must_be
from edgeface.faces import Faces
from edgeface.frame import Frame, as_frame, check_found_in
from edgeface.numerals import is_number
from edgeface.stamps import checked_stamp
from edgeface.tracking.association import match, similarity
from edgeface.tracking.best_shot import BestShot
from edgeface.tracking.camera import CameraMotion, camera_motion, lone_motion, travelled
from edgeface.tracking.clock import FrameClock
from edgeface.tracking.flow import FlowFollower
from edgeface.tracking.jerk import common_shift
from edgeface.tracking.points import PointsSmoother
from edgeface.tracking.smoothing import Smoothing
from edgeface.tracking.track import Track

__all__ = ["TrackInfo", "TrackState", "Tracker"]

# Similarities below these are no match: of faces seen in the last frame, and of low-scored detections.
_ALIKE: Final = 0.2
_ALIKE_LOW: Final = 0.4
# A camera pans that moves faces by so many of their heights a second, and is taken to go on for so long.
_PANS: Final = 0.5
_PANNED_S: Final = 1.0
# Tracks that have ended and were not asked for: their pictures must not pile up.
_KEPT_ENDED: Final = 16
# A face that was seen when last searched may be unseen for so many usual pauses between searches, even where that is
# longer than `lost_after`: a slow board would lose everybody from search to search. The usual one is the median of so
# many.
_PAUSES: Final = 2
_PAUSES_KEPT: Final = 7


class TrackState(StrEnum):
    """Life of a track."""

    TENTATIVE = "tentative"  #: seen, but not often enough to be reported
    CONFIRMED = "confirmed"  #: seen in the last frame that was searched
    LOST = "lost"  #: not seen at present; comes back under its id if it is found again in time
    ENDED = "ended"  #: not found again


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """What is known of one track.

    Attributes:
        track_id: never used again within a tracker.
        state: see `TrackState`.
        box: (4,) float32 x1 y1 x2 y2, as predicted for the last frame where the face was not seen.
        velocity: (2,) pixels a second of the box's centre.
        hits: frames in which the face was detected.
        age_s: seconds since the first of them.
        unseen_s: seconds since the last of them.
        best_shot: None if best shots are off.
    """

    track_id: int
    state: TrackState
    box: NDArray[np.float32]
    velocity: NDArray[np.float64]
    hits: int
    age_s: float
    unseen_s: float
    best_shot: BestShot | None


class Tracker:
    """Follows faces by motion, overlap and landmarks; knows nothing of identity. One camera, frames in order.

    All tracks end, and ids go on, where a frame has another size or rotation than the last one, or a time stamp that
    lies back by more than 0.2 s: another scene, or another clock.

    Low-scored detections only continue tracks, they never begin one (Zhang et al., ByteTrack, ECCV 2022). Faces keep a
    Kalman filter of constant velocity (Bewley et al., SORT, ICIP 2016); what is reported is smoothed by One-Euro
    filters.

    Not for several threads at once: a second call while one is running is refused. Use one tracker a camera.

    Args:
        detect_every: search every Nth frame only. In between faces are moved on by `between`, new ones are not found,
            and lost ones not missed: see "A detector every N frames" in the docs for what that costs in recall.
        between: "motion" (by their velocity; costs nothing) or "flow" (sparse optical flow in a small grey picture;
            follows turns, costs a millisecond or so, imports OpenCV).
        min_hits: report a face from its nth detection on.
        lost_after: seconds for which an unseen face keeps its id, whether it was not found or no frame came. Frames
            that usually lie further apart are no outage.
        new_score: least score to begin a track; the engine's `min_score` if None.
        low_score: least score to continue one.
        smoothing: how to smooth; None for the raw detections.
        best_shots: keep the best crop of each track (a few dozen kB each).
        fps: taken for frames without time stamps.

    Raises:
        InvalidInputError: an argument out of range.

    Examples:
        >>> tracker = Tracker(lost_after=2.0)
        >>> faces = engine.track(frame, color="bgr", tracker=tracker)         # doctest: +SKIP
        >>> for ended in tracker.take_ended():                              # doctest: +SKIP
        ...     save(ended.best_shot.aligned)
    """

    def __init__(
        self,
        *,
        detect_every: int = 1,
        between: str = "motion",
        min_hits: int = 2,
        lost_after: float = 1.0,
        new_score: float | None = None,
        low_score: float = 0.25,
        smoothing: Smoothing | None = Smoothing(),  # noqa: B008 - frozen
        best_shots: bool = True,
        fps: float = 30.0,
    ) -> None:
        for name, value in (("detect_every", detect_every), ("min_hits", min_hits)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise must_be(name, "an integer of at least 1", repr(value))
        if between not in ("motion", "flow"):
            raise must_be("between", "motion or flow", repr(between))
        if not is_number(lost_after) or not lost_after >= 0:
            raise must_be("lost_after", "0 seconds or more", repr(lost_after))
        for name, score in (("new_score", new_score), ("low_score", low_score)):
            if score is not None and not (is_number(score) and 0 < score < 1):
                raise must_be(name, "between 0 and 1", repr(score))
        if smoothing is not None and not isinstance(smoothing, Smoothing):
            raise must_be("smoothing", "a Smoothing or None", repr(smoothing))
        self.detect_every = detect_every
        self.low_score = low_score
        self.new_score = new_score
        self._min_hits = min_hits
        self._lost_after = lost_after
        self._smoothing = smoothing
        self._best_shots = best_shots
        self._flow = FlowFollower() if between == "flow" and detect_every > 1 else None
        self._points = PointsSmoother(smoothing)
        self._clock = FrameClock(fps)
        self._busy = threading.Lock()
        self._tracks: list[Track] = []
        self._ended: deque[TrackInfo] = deque(maxlen=_KEPT_ENDED)
        self._next_id = 1
        self._frames_to_detection = 0
        self._panned: int | None = None  # when the camera was last seen to move
        self._scene: tuple[tuple[int, int], int] | None = None  # size and rotation of the last frame
        self._searched: int | None = None  # when a frame was last searched
        self._pauses: deque[int] = deque(maxlen=_PAUSES_KEPT)  # between searches, in nanoseconds

    @property
    def due(self) -> bool:
        """Whether the next frame has to be searched (`update`); if not, it may be predicted (`predict`)."""
        return self._frames_to_detection <= 0

    @property
    def tracks(self) -> tuple[TrackInfo, ...]:
        """The living tracks, tentative and lost ones included."""
        return tuple(self._info(track) for track in self._tracks)

    def take_ended(self) -> list[TrackInfo]:
        """The tracks that ended since the last call, oldest first (the last 16, only ones that were reported)."""
        taken = []
        while self._ended:
            taken.append(self._ended.popleft())
        return taken

    def best_shots(self) -> dict[int, BestShot]:
        """Best shot of each living, reported track by id."""
        return {t.track_id: t.best for t in self._tracks if t.confirmed and t.best is not None}

    def reset(self) -> None:
        """End all tracks, for a new scene or camera. Ids go on."""
        with self._exclusive():
            self._begin_anew()

    def update(
        self,
        faces: Faces,
        frame: Frame | NDArray[np.uint8] | None = None,
        *,
        color: str | None = None,
        new_score: float | None = None,
        now_ns: int | None = None,
    ) -> Faces:
        """Take in the detections of the next frame.

        Args:
            faces: of any score; those under `low_score` are ignored. `timestamp_ns` drives the motion model.
            frame: that they were found in, for best shots and optical flow; without it best shots have no crops.
            color: of a frame that is an array, required.
            new_score: for a tracker that has none of its own; 0.5 if None.
            now_ns: the frame's time in nanoseconds, if not `faces.timestamp_ns`.

        Returns:
            The faces seen in this frame that are reported, with `track_ids`, smoothed, by falling score.

        Raises:
            InvalidInputError: a time stamp up to 0.2 s before the last frame's, an array without its colour, or a
                frame of another size than the faces' one.
            EdgeFaceError: another thread is in this tracker.
        """
        if frame is not None:
            frame = as_frame(frame, color, rotation=0 if isinstance(frame, Frame) else faces.rotation)
            check_found_in(frame, faces.size)
        with self._exclusive():
            dt = self._go_on(faces, now_ns)
            if self._searched is not None:
                self._pauses.append(self._clock.now - self._searched)
            self._searched = self._clock.now
            self._frames_to_detection = self.detect_every - 1
            faces = _usable(faces, self.low_score)
            for track in self._tracks:
                track.predict(dt)
            least = next(score for score in (self.new_score, new_score, 0.5) if score is not None)
            good, low = np.flatnonzero(faces.scores >= least), np.flatnonzero(faces.scores < least)
            seen = [track for track in self._tracks if not track.missed]
            jerk = common_shift(np.array([t.motion.box for t in seen], np.float32).reshape(-1, 4), faces.boxes[good])
            pairs = self._pair(self._tracks, faces, good, _ALIKE, jerk)
            taken = {id(track) for track, _ in pairs}
            known = [track for track in self._tracks if id(track) not in taken and track.confirmed]
            pairs += self._pair(known, faces, low, _ALIKE_LOW, jerk)
            taken = {id(track) for track, _ in pairs}
            # from search to search, which may be several frames
            since = max((self._clock.now - max((t.last_seen for t in self._tracks), default=0)) / 1e9, 1e-3)
            stayed = [(track, i) for track, i in pairs if not track.missed]  # seen in both frames
            camera = self._camera(stayed, faces, since)
            for track, i in pairs:
                track.correct(faces[i], self._clock.now)
            for track in self._tracks:
                if id(track) not in taken:
                    track.miss()
                if camera is not None:
                    track.ride(camera, since)
            self._bury()
            found = {i for _, i in pairs}
            born = [i for i in good.tolist() if i not in found]
            fresh = [Track(faces[i], self._clock.now, self._smoothing) for i in born]
            self._tracks += fresh
            pairs += zip(fresh, born, strict=True)
            pairs.sort(key=lambda pair: pair[1])  # new ids by falling score
            for track, i in pairs:
                if not track.confirmed and track.hits >= self._min_hits:
                    track.confirm(self._next_id)
                    self._next_id += 1
                if self._best_shots and track.confirmed:
                    track.consider(faces[i], faces, frame)
            if self._flow is not None and frame is not None:
                self._flow.remember(frame)
            return _report(faces, [(track, faces.scores[i]) for track, i in pairs if track.confirmed])

    def predict(
        self, frame: Frame | Faces | NDArray[np.uint8], *, color: str | None = None, now_ns: int | None = None
    ) -> Faces:
        """Move the faces on to a frame that is not searched.

        Args:
            frame: the frame; empty `Faces` with its size, rotation and time stamp will do without optical flow.
            color: of a frame that is an array, required.
            now_ns: the frame's time in nanoseconds, if not its own stamp.

        Returns:
            The reported faces that were seen when last searched, moved on; scores and quality are those of then.

        Raises:
            InvalidInputError, EdgeFaceError: as `update`.
        """
        if not isinstance(frame, Faces):
            frame = as_frame(frame, color)
        with self._exclusive():
            before = len(self._visible())
            dt = self._go_on(frame, now_ns)
            self._frames_to_detection -= 1
            visible = self._visible()
            if len(visible) < before:  # an outage: whoever is there now is not known before the next search
                self._frames_to_detection = 0
            boxes = np.array([track.motion.box for track in visible], np.float32).reshape(-1, 4)
            for track in self._tracks:
                track.predict(dt)
            if self._flow is not None and isinstance(frame, Frame):
                for track, box in zip(visible, self._flow.follow(frame, boxes), strict=True):
                    if box is not None:
                        track.shift(box)
            blank = Faces.empty(
                frame.size, rotation=frame.rotation, timestamp_ns=frame.timestamp_ns, sequence=frame.sequence
            )
            return _report(blank, [(track, track.face.score) for track in visible])

    def smooth_points(self, faces: Faces) -> Faces:
        """Smooth the points of the faces that `update` or `predict` gave for this frame, once they are described.

        Raises:
            EdgeFaceError: another thread is in this tracker.
        """
        with self._exclusive():
            self._points.keep(track.track_id for track in self._tracks)
            return self._points.update(faces, self._clock.now)

    def _go_on(self, frame: Frame | Faces, now_ns: int | None) -> float:
        """To the time of the next frame, before anything is paired; seconds since the last one.

        Whoever was not seen for too long ends here, and everybody where the frame is of another scene or clock.
        """
        stamp = frame.timestamp_ns if now_ns is None else checked_stamp(now_ns, "now_ns")
        size = frame.size if all(frame.size) or self._scene is None else self._scene[0]  # (0, 0): not known
        if self._scene not in (None, (size, frame.rotation)) or self._clock.is_another(stamp):
            self._begin_anew()
        dt = self._clock.advance(stamp)
        self._scene = size, frame.rotation
        pause = float(np.median(self._pauses)) if self._pauses else self._clock.nominal_ns * self.detect_every
        seen_lately = max(self._lost_after, _PAUSES * pause / 1e9)
        self._end(
            track
            for track in self._tracks
            if self._unseen_s(track) > (self._lost_after if track.missed else seen_lately)
        )
        return dt

    def _begin_anew(self) -> None:
        self._end(self._tracks)
        self._clock.reset()
        self._scene = self._searched = self._panned = None
        self._pauses.clear()
        self._frames_to_detection = 0
        if self._flow is not None:
            self._flow.reset()

    def _end(self, tracks: Iterable[Track]) -> None:
        ended = list(tracks)
        gone = {id(track) for track in ended}
        self._ended.extend(replace(self._info(t), state=TrackState.ENDED) for t in ended if t.confirmed)
        self._tracks = [track for track in self._tracks if id(track) not in gone]

    def _unseen_s(self, track: Track) -> float:
        return (self._clock.now - track.last_seen) / 1e9

    def _visible(self) -> list[Track]:
        return [track for track in self._tracks if track.confirmed and not track.missed]

    def _pair(
        self,
        tracks: list[Track],
        faces: Faces,
        chosen: NDArray[np.intp],
        threshold: float,
        jerk: NDArray[np.float64],
    ) -> list[tuple[Track, int]]:
        if not tracks or not len(chosen):
            return []
        now = self._clock.now
        alike = similarity(
            np.stack([track.motion.box for track in tracks]) + np.tile(jerk, 2).astype(np.float32),
            np.stack([track.landmarks for track in tracks]) + jerk.astype(np.float32),
            faces.boxes[chosen],
            faces.landmarks[chosen],
            np.array([track.reach(now) for track in tracks]),
        )
        # a track that was just seen comes before one that may be anywhere by now
        alike *= np.array([1.0 if not track.missed else 0.9 for track in tracks])[:, None]
        return [(tracks[row], int(chosen[column])) for row, column in match(alike, threshold)]

    def _camera(self, stayed: list[tuple[Track, int]], faces: Faces, since: float) -> CameraMotion | None:
        """By the faces that were seen in both frames, `since` seconds apart.

        While a camera pans, one that has stood still so far is enough.
        """
        before = np.array([track.face.box for track, _ in stayed], np.float32).reshape(-1, 4)
        after = faces.boxes[[i for _, i in stayed]]
        camera = camera_motion(before, after)
        if camera is not None:
            if travelled(camera, before) > _PANS * since:
                self._panned = self._clock.now
            return camera
        standing = [k for k, (track, _) in enumerate(stayed) if track.motion.stands]
        if len(standing) != 1 or self._panned is None or (self._clock.now - self._panned) / 1e9 > _PANNED_S:
            return None
        return lone_motion(before[standing[0]], after[standing[0]])

    def _bury(self) -> None:
        self._end(t for t in self._tracks if t.missed and (not t.confirmed or self._unseen_s(t) > self._lost_after))

    def _info(self, track: Track) -> TrackInfo:
        state = TrackState.TENTATIVE
        if track.confirmed:
            state = TrackState.LOST if track.missed else TrackState.CONFIRMED
        return TrackInfo(
            track_id=track.track_id,
            state=state,
            box=track.motion.box,
            velocity=track.motion.velocity,
            hits=track.hits,
            age_s=(self._clock.now - track.first_seen) / 1e9,
            unseen_s=self._unseen_s(track),
            best_shot=track.best,
        )

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise EdgeFaceError("tracker must be used by one thread at a time, but got a second call: use one a camera")
        try:
            yield
        finally:
            self._busy.release()


def _usable(faces: Faces, low_score: float) -> Faces:
    """Without what no network should give, but a broken one may: numbers that are none, boxes turned inside out."""
    finite = np.isfinite(faces.boxes).all(1) & np.isfinite(faces.landmarks).all((1, 2))
    faces = faces[finite & np.isfinite(faces.rotations).all((1, 2)) & (faces.scores >= low_score)]
    return faces[(faces.widths > 0) & (faces.heights > 0)]


def _report(faces: Faces, seen: list[tuple[Track, float]]) -> Faces:
    """Faces of the tracks that were seen, by falling score."""
    seen = sorted(seen, key=lambda pair: (-float(pair[1]), pair[0].track_id))
    frame = {name: getattr(faces, name) for name in ("size", "rotation", "timestamp_ns", "sequence", "timings")}
    if not seen:
        return Faces.empty(**frame, track_ids=np.zeros(0, np.int64))
    points = np.stack([track.points for track, _ in seen]).astype(np.float32)
    return Faces(
        boxes=points[:, :2].reshape(-1, 4),
        landmarks=points[:, 2:],
        rotations=np.stack([track.rotation for track, _ in seen]).astype(np.float32),
        scores=np.array([score for _, score in seen], np.float32),
        quality=np.array([track.face.quality for track, _ in seen], np.float32),
        track_ids=np.array([track.track_id for track, _ in seen]),
        **frame,
    )
