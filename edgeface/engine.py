"""`FaceEngine`: a bundle, a runtime and the C++ core put together. One frame in, `Faces` out."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

import edgeface
from edgeface.affinity import checked_cpus, pinned
from edgeface.bundle import Bundle
from edgeface.errors import EngineClosedError, must_be
from edgeface.faces import Faces
from edgeface.forking import abandon, let_go_in_forks
from edgeface.frame import Frame, as_frame
from edgeface.runtimes import Runtime, choose_and_open
from edgeface.sizing import choose_size
from edgeface.turns import turn_matrix

if TYPE_CHECKING:
    from typing import Self

    from edgeface.describing import PointsNetwork
    from edgeface.sources.base import Source
    from edgeface.streaming.stream import Stream
    from edgeface.tracking.clock import Timeline
    from edgeface.tracking.tracker import Tracker

try:
    from edgeface import _core
except ImportError as error:
    raise ImportError(
        "edgeface must be installed with its extension (in a checkout: pip install .), "
        f"but got {edgeface.__path__[0]} with none that fits this Python: {error}"
    ) from error


__all__ = ["DEFAULT_MODEL", "EngineInfo", "FaceEngine", "parse_size"]

DEFAULT_MODEL: Final = "edgeface-s"
_ROOM: Final = 256
"""Faces that the core keeps before the best are taken."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What runs, for logs and reports.

    Attributes:
        model, version, licence: as the bundle says.
        file, sha256, format, precision: of the network in it.
        size: (width, height) of the network's input.
        runtime, runtime_version: what computes it.
        reason: why this runtime.
        threads: that compute one inference.
        isa: instruction set that the C++ core uses.
        min_score, nms_iou: as in force.
        warmup_s: seconds of the first inference; None if there was no warm-up.
        sdk: version of edgeface.
        affinity: the cores that inference is kept on; None for any.
        points: name of the per-face network; None where there is none.
    """

    model: str
    version: str
    licence: str
    file: str
    sha256: str
    format: str
    precision: str
    size: tuple[int, int]
    runtime: str
    runtime_version: str
    reason: str
    threads: int
    isa: str
    min_score: float
    nms_iou: float
    warmup_s: float | None
    sdk: str
    affinity: tuple[int, ...] | None = None
    points: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as a JSON-ready dict."""
        return asdict(self)


class FaceEngine:
    """Detects faces in frames. It loads and checks the model once, allocates its buffers once, and downloads nothing.

    Threads may share one engine; their calls run one after the other. For parallel inference, use one engine per
    thread, or raise `threads`. The GIL is released while the core and the network compute. In a forked process the
    engine raises `EngineClosedError`: open one in each process.

    Args:
        model: name of a bundled model, or path of a bundle.
        runtime: "auto" (the installed runtime with the fewest instructions on this kind of core, see
            docs/runtimes.md), "ncnn", "litert", "onnxruntime", "tflite", or "rknn" for bundles compiled for Rockchip.
        size: (width, height) of the network's input or "WIDTHxHEIGHT"; the bundle's default if None. A larger input
            finds smaller faces, and its cost is proportional to its area. "auto" selects the cheapest size of the
            bundle that finds faces of `min_face` pixels in frames of `frame_size` (see `edgeface.sizing.choose_size`).
        min_face: height in pixels of the smallest face to find, for ``size="auto"``.
        frame_size: (width, height) of the upright frames, for ``size="auto"``.
        threads: number of threads per inference, including the calling thread. They do not spin.
        affinity: numbers of the cores to run on, such as the big cores of a big.LITTLE processor; any core if None. The
            calling thread is moved there during the inference only.
        min_score: score threshold, 0 to 1; the bundle's if None.
        nms_iou: IoU threshold of non-maximum suppression, 0 to 1; the bundle's if None.
        max_faces: maximum number of faces per frame; the faces with the highest scores are kept.
        precision: "int8" or "float32"; if None, the one with fewer instructions in the runtime.
        exact: with onnxruntime, give bit-identical int8 results on x86 and every ARM core (slower; for evaluations).
            The other runtimes always do. Different runtimes are never bit-identical.
        warmup: run the network once on creation, so that the first result takes no longer than later ones.
        points: name or path of a per-face network, or True for the bundled one. `detect` and `track` then also describe
            faces (see `describe`). It uses the same runtime and threads.
        points_top: maximum number of described faces per frame; the largest faces are described.

    Raises:
        InvalidInputError: an argument out of range.
        BundleError: no such model, a damaged or too new one, or none for this size and runtime.
        RuntimeUnavailableError: the runtime is not installed.

    Examples:
        >>> with FaceEngine() as engine:                                    # doctest: +SKIP
        ...     faces = engine.detect(frame, color="bgr")
        ...     print(engine.info.runtime, faces.boxes, faces.angles)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        runtime: str = "auto",
        size: tuple[int, int] | str | None = None,
        min_face: float | None = None,
        frame_size: tuple[int, int] | None = None,
        threads: int = 1,
        affinity: Iterable[int] | None = None,
        min_score: float | None = None,
        nms_iou: float | None = None,
        max_faces: int = 256,
        precision: str | None = None,
        exact: bool = False,
        warmup: bool = True,
        points: str | os.PathLike[str] | bool | None = None,
        points_top: int = 4,
    ) -> None:
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        self._closed = "a closed one"
        let_go_in_forks(self)
        self._tracker: Tracker | None = None
        self._timeline: Timeline
        self._cpus = None if affinity is None else checked_cpus(affinity)
        threads = _integer("threads", threads, 1, 256)
        self._max_faces = _integer("max_faces", max_faces, 1, 65536)
        self._points_top = _integer("points_top", points_top, 0, 65536)
        self._points: PointsNetwork | None = None
        self._points_options: dict[str, Any] = {
            "runtime": runtime,
            "threads": threads,
            "cpus": self._cpus,
            "exact": exact,
        }
        if precision not in (None, "int8", "float32"):
            raise must_be("precision", "int8, float32 or None", repr(precision))
        isa = str(_core.isa())
        bundle = Bundle.find(model)
        manifest = bundle.manifest
        manifest.require_faces("model")
        wanted = manifest.default_size
        if size == "auto":
            wanted = choose_size(bundle.sizes(), frame_size or (0, 0), min_face or 0)
        elif size is not None:
            wanted = parse_size(size)
        self._min_score = manifest.decode.min_score if min_score is None else _fraction("min_score", min_score)
        self._nms_iou = manifest.decode.nms_iou if nms_iou is None else _fraction("nms_iou", nms_iou)
        with pinned(self._cpus):  # the runtime's threads are started here, and stay where they are started
            choice, self._runtime = choose_and_open(
                bundle, runtime, wanted, precision, threads=threads, exact=exact, cpus=self._cpus
            )
            started = perf_counter()
            if warmup:
                self._runtime.run()
            warmup_s = perf_counter() - started if warmup else None
        if points is not None and points is not False:
            self._points = self._open_points() if points is True else self._open_points(points)
        #: Whether `detect` and `track` describe faces.
        self.describes = self._points is not None
        spec = choice.model
        self._input = spec.input
        self._levels: dict[str, Any] = {
            "strides": [o.stride for o in spec.outputs],
            "layouts": [o.layout for o in spec.outputs],
            "scales": [o.scale for o in spec.outputs],
            "zero_points": [o.zero_point for o in spec.outputs],
            "channel_scales": [np.array(manifest.decode.channel_scale[o.stride], np.float32) for o in spec.outputs],
        }
        #: What runs, and why.
        self.info = EngineInfo(
            model=manifest.name,
            version=manifest.version,
            licence=manifest.licence,
            file=spec.file,
            sha256=spec.sha256,
            format=spec.format,
            precision=spec.precision,
            size=wanted,
            runtime=choice.runtime,
            runtime_version=self._runtime.version,
            reason=choice.reason,
            threads=threads,
            isa=isa,
            min_score=self._min_score,
            nms_iou=self._nms_iou,
            warmup_s=warmup_s,
            sdk=edgeface.__version__,
            affinity=None if self._cpus is None else tuple(sorted(self._cpus)),
            points=None if self._points is None else self._points.name,
        )

    def detect(
        self,
        frame: Frame | NDArray[np.uint8],
        color: str | None = None,
        *,
        rotation: int = 0,
        roi: tuple[int, int, int, int] | None = None,
        min_score: float | None = None,
        timestamp_ns: int | None = None,
        sequence: int | None = None,
        describe: bool | None = None,
    ) -> Faces:
        """Detect the faces of one frame.

        Args:
            frame: a `Frame`, which holds colour, rotation, region and timestamp itself, or a uint8 array in one of the
                shapes of `Frame.from_array`.
            color: required for an array: bgr, rgb, gray, nv12, nv21, i420, yuyv or uyvy.
            rotation: for an array: clockwise rotation (0, 90, 180, 270) that makes the picture upright. Angles and
                rotations are relative to the upright picture.
            roi: for an array: detect only in this region (x1, y1, x2, y2).
            min_score: score threshold for this call only.
            timestamp_ns: for an array: integer in nanoseconds; copied to the result.
            sequence: for an array: copied to the result.
            describe: whether to describe the faces; by default an engine with `points` does.

        Returns:
            The faces by descending score, in pixels of the input frame, whatever its rotation and region of interest.

        Raises:
            InvalidInputError: a frame of the wrong type, dtype, shape or size, no colour, or a value out of range.
            RuntimeFailedError: the runtime failed.
            EngineClosedError: after `close`.
        """
        frame = as_frame(frame, color, rotation=rotation, roi=roi, timestamp_ns=timestamp_ns, sequence=sequence)
        threshold = self._min_score if min_score is None else _fraction("min_score", min_score)
        faces = self._find(frame, threshold)
        return self.describe_found(frame, faces) if self.describes and describe is not False else faces

    def describe_found(self, frame: Frame, faces: Faces) -> Faces:
        """The `points_top` largest of the faces described, as `detect` does it; as they are without `points`."""
        return faces if self._points is None else self._points.describe(frame, faces, self._points_top)

    def describe(
        self,
        frame: Frame | NDArray[np.uint8],
        faces: Faces,
        color: str | None = None,
        *,
        top: int = 4,
        rotation: int = 0,
    ) -> Faces:
        """Run the per-face network on the faces: 68 landmarks in 2D and 3D, eyes, mouth, and what covers them.

        Args:
            frame: the frame of the faces, as for `detect`.
            faces: result of `detect` or `track`.
            color: required for an array.
            top: maximum number of described faces; the largest are described. Each costs one run of the network.
            rotation: for an array: the same as for `detect`.

        Returns:
            The same faces with `points68`, `points3d`, `points_spread`, `visibility`, `eyes_open`, `mouth_open` and
            `cover`; rows of faces that were not described are NaN.

        Raises:
            InvalidInputError: faces of another frame's size or rotation, or as `detect`.
            BundleError: the engine has no per-face network of its own, and none is bundled.
            RuntimeFailedError, EngineClosedError: as `detect`.

        Examples:
            >>> faces = engine.describe(frame, engine.detect(frame))                 # doctest: +SKIP
            >>> faces.points68[0], faces.eyes_open[0], faces.cover[0]                # doctest: +SKIP
        """
        top = _integer("top", top, 0, 65536)
        frame = as_frame(frame, color, rotation=rotation)
        if faces.size != frame.size or faces.rotation != frame.rotation:
            got = f"{faces.size} turned by {faces.rotation}"
            raise must_be("faces", f"of a frame of {frame.size} turned by {frame.rotation}", got)
        with self._lock:
            if self._runtime is None:
                raise EngineClosedError(f"engine must be open, but got {self._closed}")
            if self._points is None:
                self._points = self._open_points()
        return self._points.describe(frame, faces, top)

    def _open_points(self, *model: str | os.PathLike[str]) -> PointsNetwork:
        from edgeface.describing import PointsNetwork

        return PointsNetwork(*model, **self._points_options)

    def _find(self, frame: Frame, threshold: float) -> Faces:
        crop = None
        if frame.roi is not None:
            x1, y1, x2, y2 = frame.roi
            crop = (x1, y1, x2 - x1, y2 - y1)
        image = self._input
        with self._lock:
            runtime = self._runtime
            if runtime is None:
                raise EngineClosedError(f"engine must be open, but got {self._closed}")
            started = perf_counter()
            # runtime.input stays a temporary: an interpreter does not run while a view of its memory is alive
            transform = _core.preprocess(
                frame.planes,
                frame.color,
                frame.width,
                frame.height,
                runtime.input,
                layout=image.layout,
                color=image.color,
                rotation=frame.rotation,
                crop=crop,
                matrix=frame.matrix,
                range=frame.range,
                scale=image.scale,
                zero_point=image.zero_point,
            )
            preprocessed = perf_counter()
            with pinned(self._cpus):
                outputs = runtime.run()
            inferred = perf_counter()
            found = _core.decode(
                outputs,
                **self._levels,
                transform=transform,
                min_score=threshold,
                nms_iou=self._nms_iou,
                # which are best is known once all cells are heard; no worse face may have taken a place by then
                max_faces=max(self._max_faces, _ROOM),
            )
            boxes, scores, landmarks, camera_rotations, quality = (part[: self._max_faces] for part in found)
            decoded = perf_counter()
        return Faces(
            boxes=boxes,
            scores=scores,
            landmarks=landmarks,
            rotations=turn_matrix(frame.rotation) @ camera_rotations,
            quality=quality,
            size=frame.size,
            rotation=frame.rotation,
            timestamp_ns=frame.timestamp_ns,
            sequence=frame.sequence,
            timings={
                "preprocess": preprocessed - started,
                "infer": inferred - preprocessed,
                "decode": decoded - inferred,
            },
        )

    def track(
        self,
        frame: Frame | NDArray[np.uint8],
        color: str | None = None,
        *,
        tracker: Tracker | None = None,
        rotation: int = 0,
        roi: tuple[int, int, int, int] | None = None,
        timestamp_ns: int | None = None,
        sequence: int | None = None,
    ) -> Faces:
        """Detect the faces of the next frame of a video and give each a stable track id.

        Args:
            frame: as for `detect`, in order. Timestamps keep the motion model correct when frames are missing. All
                tracks end if the size or rotation changes, or if a timestamp goes back: see `Tracker`.
            color: as for `detect`.
            tracker: a tracker with your settings, one per camera; the engine's own if None.
            rotation: as for `detect`.
            roi: as for `detect`.
            timestamp_ns: as for `detect`.
            sequence: as for `detect`.

        Returns:
            The visible faces by descending score, with `track_ids`, smoothed (see `edgeface.tracking.Tracker`).

        Raises:
            InvalidInputError: as `detect`; with your own tracker, also a timestamp up to 0.2 s before the last one.
            EdgeFaceError: the tracker is in use by another thread.

        Examples:
            >>> for image in video:                                         # doctest: +SKIP
            ...     for face in engine.track(image, color="bgr"):
            ...         print(face.track_id, face.box, face.yaw)
        """
        from edgeface.tracking.clock import Timeline
        from edgeface.tracking.engine import track_frame
        from edgeface.tracking.tracker import Tracker

        frame = as_frame(frame, color, rotation=rotation, roi=roi, timestamp_ns=timestamp_ns, sequence=sequence)
        with self._lock:
            if self._tracker is None:
                self._tracker, self._timeline = Tracker(), Timeline(live=False)
        if tracker is not None:
            return track_frame(self, frame, tracker)
        return track_frame(self, frame, self._tracker, now_ns=self._timeline.time_of(frame.timestamp_ns, 0.0))

    def stream(self, source: int | str | os.PathLike[str] | Source, **options: Any) -> Stream:
        """Read a source in a background thread and detect the faces of its newest frame on each request.

        Args:
            source: camera number, path, address, GStreamer pipeline, or your own `Source` (see
                `edgeface.sources.open_source`).
            **options: `tracker`, `latest`, `rotation`, `roi`, `retry`, `patience` of `edgeface.streaming.Stream`; all
                others are passed to the source.

        Raises:
            InvalidInputError: an option is unknown or out of range.
            SourceError: a file does not exist.

        Examples:
            >>> with engine.stream("/dev/video0", size=(640, 480)) as stream:     # doctest: +SKIP
            ...     for result in stream:
            ...         print(result.faces.track_ids, result.age_s, result.dropped)
        """
        from edgeface.streaming.open import open_stream

        return open_stream(self, source, options)

    def close(self) -> None:
        """Free the model's memory; waits for a `detect` in another thread. May be called more than once."""
        with self._lock:
            if self._runtime is not None:
                self._runtime.close()
                self._runtime = None
            if self._points is not None:
                self._points.close()

    def _forked(self) -> None:
        """In a new process: neither the runtime's threads nor whoever holds the lock came with it."""
        self._lock = threading.Lock()
        if self._runtime is not None:
            abandon(self._runtime)
            self._runtime = None
            self._closed = "one of the process that this one was forked from (open one in each process)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        info = self.info
        width, height = info.size
        return f"FaceEngine({info.model} {info.precision} {width}x{height}, {info.runtime}, threads={info.threads})"


def parse_size(size: object) -> tuple[int, int]:
    """(width, height) from a pair or from text such as "640x480".

    Raises:
        InvalidInputError: neither.
    """
    if isinstance(size, str):
        match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", size.strip())
        if match is not None:
            return parse_size((int(match[1]), int(match[2])))
    elif isinstance(size, (tuple, list)) and len(size) == 2:
        width, height = size
        if all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s > 0 for s in (width, height)):
            return int(width), int(height)
    raise must_be("size", "(width, height) or text such as 320x240", repr(size))


def _integer(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise must_be(name, f"an integer from {low} to {high}", repr(value))
    return int(value)


def _fraction(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0 < value < 1:
        raise must_be(name, "a number between 0 and 1", repr(value))
    return float(value)
