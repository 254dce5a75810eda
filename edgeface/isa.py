"""The instruction set that the C++ core uses."""

from __future__ import annotations

import os

from edgeface import _core
from edgeface.errors import must_be

__all__ = ["instruction_set"]


def instruction_set() -> str:
    """Name of the kernels that are in use: "scalar", "neon" or "avx2".

    Raises:
        InvalidInputError: the environment variable ``EDGEFACE_ISA`` names one that this CPU or this build lacks.
    """
    try:
        return str(_core.isa())
    except RuntimeError:
        name = os.environ.get("EDGEFACE_ISA")
        raise must_be("EDGEFACE_ISA", "unset, or one of scalar, neon, avx2 that this CPU has", repr(name)) from None
