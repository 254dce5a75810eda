"""What the standard library has since Python 3.11, for 3.10 too (ROS 2 Humble, JetPack 6)."""

from __future__ import annotations

import enum
import sys
from datetime import timezone

__all__ = ["UTC", "StrEnum", "tomllib"]

UTC = timezone.utc

if sys.version_info >= (3, 11):
    import tomllib
    from enum import StrEnum
else:
    import tomli as tomllib

    class StrEnum(str, enum.Enum):
        """Members are strings, and are shown as such."""

        __str__ = str.__str__
        __format__ = str.__format__
