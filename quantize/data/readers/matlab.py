"""MATLAB files: 300W-LP and AFLW2000-3D have a ``.mat`` a photo; other readers take `load_mat` and `unwrap`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from quantize.data.readers.photos import MAX_LABEL_BYTES, Result, each, photo_beside
from quantize.data.readers.points import pointed
from quantize.data.sample import Sample


def read_pose_mat(folder: Path) -> Result:
    """A folder of photos with their points and Pose_Para in a ``.mat`` of the same name: 68 points, rotation."""

    def one(path: Path) -> Sample:
        content = load_mat(path)
        key = next((k for k in ("pt3d_68", "pt2d") if k in content), None)
        if key is None or "Pose_Para" not in content:
            raise ValueError(
                f"a .mat must hold Pose_Para and pt3d_68 or pt2d, but got {sorted(k for k in content if k[0] != '_')}"
            )
        try:
            points, pose = np.asarray(content[key], float), np.asarray(content["Pose_Para"], float).ravel()
        except TypeError as error:
            raise ValueError(f"points and Pose_Para must be numbers, but got {error}") from None
        if points.ndim != 2 or points.shape[0] not in (2, 3) or points.shape[1] != 68 or len(pose) < 3:
            raise ValueError(
                f"points must be (2 or 3, 68) and Pose_Para at least 3 long, but got {points.shape} and {len(pose)}"
            )
        if not (np.isfinite(points).all() and np.isfinite(pose[:3]).all()):
            raise ValueError("points and pose must be finite, but got others")
        pitch, yaw, roll = (float(v) for v in np.degrees(pose[:3]))
        return pointed(
            photo_beside(path), (points[:2].T - 0.5).astype(np.float32), {"yaw": yaw, "pitch": pitch, "roll": roll}
        )

    return each(sorted(folder.rglob("*.mat")), one)


def load_mat(path: Path) -> dict[str, Any]:
    """A MATLAB file up to version 7. Raises ValueError for anything else, whatever its bytes are."""
    import scipy.io

    if path.stat().st_size > MAX_LABEL_BYTES * 8:
        raise ValueError(f"a .mat must be at most {MAX_LABEL_BYTES * 8} bytes, but got {path.stat().st_size}")
    try:
        content: dict[str, Any] = scipy.io.loadmat(path)
    except MemoryError:
        raise ValueError("must be a MATLAB file, but got one that claims to be larger than memory") from None
    except Exception as error:  # the parser raises whatever the bytes lead it to
        raise ValueError(f"must be a MATLAB file of version 4 to 7, but got {type(error).__name__}: {error}") from None
    return content


def unwrap(value: Any) -> Any:
    """MATLAB cells come as arrays of one object each, nested."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1:
        return value.ravel()[0]
    return value
