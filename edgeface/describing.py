"""The per-face stage: a small network sees the aligned crop of each face, and says 68 points and what the face does."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface import _core
from edgeface.affinity import pinned
from edgeface.bundle import Bundle
from edgeface.errors import BundleError, EngineClosedError
from edgeface.faces import DESCRIBED, Faces
from edgeface.forking import abandon, let_go_in_forks
from edgeface.frame import Frame
from edgeface.manifest import POINTS_RULE
from edgeface.runtimes import Runtime, choose_and_open
from edgeface.turns import turn_matrix

__all__ = ["DEFAULT_POINTS", "PointsNetwork"]

DEFAULT_POINTS: Final = "edgeface-points"


class PointsNetwork:
    """A bundle of rule ``edgeface-points-v1``, loaded. May be shared by threads: calls take turns.

    Args:
        model: name of a bundled one, or path.
        runtime: as of `FaceEngine`.
        threads: as of `FaceEngine`.
        exact: as of `FaceEngine`.
        cpus: numbers of the cores to compute on; any if None.

    Raises:
        BundleError: no such model, a damaged one, or one that finds faces.
        RuntimeUnavailableError: the runtime is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_POINTS,
        *,
        runtime: str = "auto",
        threads: int = 1,
        cpus: Iterable[int] | None = None,
        exact: bool = False,
    ) -> None:
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        self._closed = "a closed one"
        let_go_in_forks(self)
        bundle = Bundle.find(model)
        manifest = bundle.manifest
        if manifest.finds_faces:
            raise BundleError(
                f"points must be a per-face network (rule {POINTS_RULE}), but got {manifest.name} "
                f"(rule {manifest.decode.rule}): give it as model"
            )
        self._cpus = None if cpus is None else frozenset(cpus)
        self._margin = manifest.decode.margin
        with pinned(self._cpus):
            choice, self._runtime = choose_and_open(
                bundle, runtime, manifest.default_size, None, threads=threads, exact=exact, cpus=self._cpus
            )
            self._runtime.run()
        #: Name and version of the bundle, the network in it, and what computes it.
        self.name, self.version, self.spec, self.runtime = manifest.name, manifest.version, choice.model, choice.runtime
        self._roles = [str(output.role) for output in self.spec.outputs]
        self._scales = [output.scale for output in self.spec.outputs]
        self._zero_points = [output.zero_point for output in self.spec.outputs]

    def describe(self, frame: Frame, faces: Faces, top: int) -> Faces:
        """The faces with their points.

        Args:
            frame: that they were found in.
            faces: at most `top` of which, the largest, are described.
            top: of 0 none are.

        Returns:
            The same faces. Rows that were left out, or that the network failed on, are NaN.

        Raises:
            EngineClosedError: after `close`.
            RuntimeFailedError: the runtime failed.
        """
        started = perf_counter()
        rows: dict[str, Any] = {
            name: np.full((len(faces), *tail), np.nan, np.float32) for name, tail in DESCRIBED.items()
        }
        area = faces.widths.astype(np.float64) * faces.heights
        chosen = np.sort(np.argsort(-area, kind="stable")[:top])
        crops, widths = _core.face_crop(
            faces.landmarks[chosen], faces.camera_rotations[chosen], faces.boxes[chosen], margin=self._margin
        )
        upright = turn_matrix(faces.rotation)
        with self._lock:
            for i, crop, width in zip(chosen, crops, widths, strict=True):
                found = None if np.isnan(crop).any() else self._look(frame, crop, float(width))
                if found is None:
                    continue
                points, space, *others = found
                assert isinstance(space, np.ndarray)
                for name, row in zip(DESCRIBED, (points, space @ upright.T, *others), strict=True):
                    rows[name][i] = row
        spent = faces.timings.get("points", 0.0) + perf_counter() - started
        return replace(faces, **rows, timings={**faces.timings, "points": spent})

    def _look(
        self, frame: Frame, crop: NDArray[np.float64], width: float
    ) -> tuple[NDArray[np.float32] | float, ...] | None:
        runtime, image = self._runtime, self.spec.input
        if runtime is None:
            raise EngineClosedError(f"engine must be open, but got {self._closed}")
        # runtime.input stays a temporary: an interpreter does not run while a view of its memory is alive
        _core.preprocess_face(
            frame.planes,
            frame.color,
            frame.width,
            frame.height,
            runtime.input,
            crop,
            layout=image.layout,
            color=image.color,
            matrix=frame.matrix,
            range=frame.range,
            scale=image.scale,
            zero_point=image.zero_point,
        )
        with pinned(self._cpus):
            outputs = runtime.run()
        return _core.decode_points(outputs, self._roles, self._scales, self._zero_points, crop, width)

    def close(self) -> None:
        """Free the network's memory; waits for a `describe` in another thread. May be called more than once."""
        with self._lock:
            if self._runtime is not None:
                self._runtime.close()
                self._runtime = None

    def _forked(self) -> None:
        """In a new process: see `FaceEngine._forked`."""
        self._lock = threading.Lock()
        if self._runtime is not None:
            abandon(self._runtime)
            self._runtime = None
            self._closed = "one of the process that this one was forked from (open one in each process)"
