"""Types of the C++ extension. `edgeface.reference` has the same functions in NumPy and describes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

def preprocess(
    planes: Sequence[NDArray[np.uint8]],
    format: str,  # noqa: A002
    width: int,
    height: int,
    out: NDArray[Any],
    *,
    layout: str,
    color: str,
    fit: str = "letterbox",
    rotation: int = 0,
    crop: tuple[int, int, int, int] | None = None,
    matrix: str = "bt601",
    range: str = "limited",  # noqa: A002
    scale: float = 0.0078125,
    zero_point: int = 0,
    filter: str = "bilinear",  # noqa: A002
) -> NDArray[np.float64]: ...
def decode(
    outputs: Sequence[NDArray[Any]],
    strides: Sequence[int],
    layouts: Sequence[str],
    scales: Sequence[float],
    zero_points: Sequence[int],
    channel_scales: Sequence[NDArray[np.float32]],
    transform: NDArray[np.float64],
    *,
    min_score: float,
    nms_iou: float,
    max_faces: int = 256,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def mean_face() -> NDArray[np.float32]: ...
def face_crop(
    landmarks: NDArray[Any], rotations: NDArray[Any], boxes: NDArray[Any], *, margin: float = 1.7
) -> tuple[NDArray[np.float64], NDArray[np.float32]]: ...
def preprocess_face(
    planes: Sequence[NDArray[np.uint8]],
    format: str,  # noqa: A002
    width: int,
    height: int,
    out: NDArray[Any],
    crop: NDArray[np.float64],
    *,
    layout: str,
    color: str,
    matrix: str = "bt601",
    range: str = "limited",  # noqa: A002
    scale: float = 0.0078125,
    zero_point: int = 0,
) -> NDArray[np.float64]: ...
def decode_points(
    outputs: Sequence[NDArray[Any]],
    roles: Sequence[str],
    scales: Sequence[float],
    zero_points: Sequence[int],
    crop: NDArray[np.float64],
    face_width: float,
) -> (
    tuple[
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.float32],
        float,
        NDArray[np.float32],
    ]
    | None
): ...
def isa() -> str: ...
def available_isas() -> list[str]: ...
