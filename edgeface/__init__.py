"""Face perception on ARM boards.

One small int8 network sees a frame once and says, for every face in it, where it is, five landmarks, which way the head
points, and how usable the crop is.

Examples:
    >>> import edgeface
    >>> engine = edgeface.FaceEngine()                        # doctest: +SKIP
    >>> faces = engine.detect(frame, color="bgr")             # doctest: +SKIP
    >>> faces.boxes, faces.landmarks, faces.angles            # doctest: +SKIP

Names are imported when they are first used (PEP 562): ``import edgeface`` costs nothing, and pulls in no inference
runtime and no OpenCV.
"""

from __future__ import annotations

import importlib
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if PathFinder.find_spec(f"{__name__}._core", __path__) is None:
    # Python was started in a checkout and sees its sources first: the compiled core is the installed package's
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:  # the list of _HOMES again, for type checkers and editors; tests/sdk/test_package.py compares the two
    from edgeface import errors as errors
    from edgeface.angles import angles_to_rotation as angles_to_rotation
    from edgeface.angles import rotation_to_angles as rotation_to_angles
    from edgeface.bundle import Bundle as Bundle
    from edgeface.engine import FaceEngine as FaceEngine
    from edgeface.faces import Face as Face
    from edgeface.faces import Faces as Faces
    from edgeface.frame import Frame as Frame
    from edgeface.gate import QualityGate as QualityGate
    from edgeface.positions import camera_matrix as camera_matrix
    from edgeface.tracking.smoothing import Smoothing as Smoothing
    from edgeface.tracking.tracker import Tracker as Tracker

#: Public name -> module that defines it. A new public name is one line here and one above.
_HOMES = {
    "Bundle": "edgeface.bundle",
    "Face": "edgeface.faces",
    "FaceEngine": "edgeface.engine",
    "Faces": "edgeface.faces",
    "Frame": "edgeface.frame",
    "QualityGate": "edgeface.gate",
    "Smoothing": "edgeface.tracking.smoothing",
    "Tracker": "edgeface.tracking.tracker",
    "angles_to_rotation": "edgeface.angles",
    "camera_matrix": "edgeface.positions",
    "errors": "edgeface.errors",
    "rotation_to_angles": "edgeface.angles",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604 - the table is the list


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'edgeface' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home == f"edgeface.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
