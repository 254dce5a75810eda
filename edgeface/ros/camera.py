"""``sensor_msgs/CameraInfo`` as what turns pixels into rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface.errors import must_be

__all__ = ["Camera"]

#: Distortion models, and how many coefficients they may have.
_MODELS: Final = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A calibrated camera.

    Attributes:
        matrix: (3, 3) float64, pixels of the image; edgeface's pixels, whose origin is a corner, are half a pixel on.
        distortion: coefficients in OpenCV's order; empty for a rectified image.
        model: "plumb_bob", "rational_polynomial" or "equidistant".
        size: (width, height) of the image in pixels.

    Raises:
        InvalidInputError: no focal length, an unknown model, or a wrong number of coefficients.

    Examples:
        >>> camera = Camera([[600, 0, 320], [0, 600, 240], [0, 0, 1]], size=(640, 480))
        >>> camera.normalized([[320.5, 240.5], [920.5, 240.5]]).tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """

    matrix: NDArray[np.float64]
    distortion: tuple[float, ...] = ()
    model: str = "plumb_bob"
    size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
            raise must_be("camera matrix", "of shape (3, 3) with focal lengths above 0", matrix.tolist())
        object.__setattr__(self, "matrix", matrix)
        distortion = tuple(float(value) for value in self.distortion)
        if not any(distortion):
            distortion = ()
        elif self.model not in _MODELS:
            raise must_be("distortion model", f"one of {', '.join(_MODELS)}", repr(self.model))
        elif len(distortion) not in _MODELS[self.model]:
            allowed = " or ".join(map(str, _MODELS[self.model]))
            raise must_be(f"distortion of {self.model}", f"{allowed} numbers", len(distortion))
        object.__setattr__(self, "distortion", distortion)

    @classmethod
    def from_info(cls, message: Any, *, rectified: bool = False) -> Camera:
        """The camera of a ``sensor_msgs/CameraInfo``, for the image that comes with it.

        Binning and the region of interest are taken into account: the message's matrices are those of the full sensor.

        Args:
            message: the camera info.
            rectified: whether the image is ``image_rect``: then the projection matrix holds, without distortion.

        Raises:
            InvalidInputError: a camera that is not calibrated (K of zeros), or a distortion model that is not known.
        """
        matrix = np.array(message.p if rectified else message.k, np.float64).reshape(3, -1)[:, :3].copy()
        matrix[0, 2] -= message.roi.x_offset
        matrix[1, 2] -= message.roi.y_offset
        binning = max(1, int(message.binning_x)), max(1, int(message.binning_y))
        matrix[0] /= binning[0]
        matrix[1] /= binning[1]
        full = message.roi.width or message.width, message.roi.height or message.height
        size = int(full[0]) // binning[0], int(full[1]) // binning[1]
        return cls(matrix, () if rectified else tuple(message.d), str(message.distortion_model) or "plumb_bob", size)

    @property
    def focal(self) -> float:
        """Mean focal length in pixels."""
        return float(np.sqrt(self.matrix[0, 0] * self.matrix[1, 1]))

    def normalized(self, points: ArrayLike) -> NDArray[np.float64]:
        """Where the rays of points cross the plane one metre before the camera.

        Args:
            points: (n, 2) in edgeface's pixels of the image.

        Returns:
            (n, 2) x, y in metres, x right, y down.
        """
        # calibration counts from the centre of the first pixel
        pixels = np.asarray(points, np.float64).reshape(-1, 1, 2) - 0.5
        if self.distortion:
            from edgeface._opencv import opencv

            cv2, given = opencv(), np.array(self.distortion)
            undo = cv2.fisheye.undistortPoints if self.model == "equidistant" else cv2.undistortPoints
            return np.asarray(undo(pixels, self.matrix, given), np.float64).reshape(-1, 2)
        rays = np.concatenate([pixels[:, 0], np.ones((len(pixels), 1))], 1) @ np.linalg.inv(self.matrix).T
        return np.asarray(rays[:, :2] / rays[:, 2:])
