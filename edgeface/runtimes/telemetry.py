"""Keep onnxruntime from reporting: since 1.29 it writes a device id below the home folder and seeks its collector."""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["VARIABLE", "enabled", "switch_off", "too_late"]

VARIABLE: Final = "ORT_DISABLE_TELEMETRY"


def switch_off() -> None:
    """Set the variable that onnxruntime reads when it is imported, unless the user has set it. Call it before that."""
    os.environ.setdefault(VARIABLE, "1")


def enabled(value: str | None) -> bool:
    """Whether onnxruntime reports with this value of `VARIABLE`, None being unset.

    Examples:
        >>> enabled(None), enabled("0"), enabled("1")
        (True, True, False)
    """
    return (value or "").strip().lower() not in ("1", "true", "yes", "on")


def too_late() -> bool:
    """Whether onnxruntime has been imported by somebody else with its telemetry on."""
    return "onnxruntime" in sys.modules and enabled(os.environ.get(VARIABLE))
