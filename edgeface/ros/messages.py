"""ROS messages out of nested dicts, with whatever message packages are installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any, Final

from edgeface.errors import EdgeFaceError, must_be

__all__ = ["fill", "header_of", "message_class", "to_message"]

#: "sequence<vision_msgs/Detection2D>", "hri_msgs/NormalizedPointOfInterest2D[70]" and the like.
_ELEMENT: Final = re.compile(r"(?:sequence<)?(\w+/\w+)")


def message_class(name: str) -> Any:
    """The class of a message such as ``hri_msgs/IdsList``.

    Raises:
        EdgeFaceError: the package cannot be imported, or has no such message.
    """
    package, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        apt = f"ros-$ROS_DISTRO-{package.replace('_', '-')}"
        raise EdgeFaceError(
            f"{package} must be importable, but got {error} (apt install {apt}, and source ROS)"
        ) from None


def to_message(name: str, values: Mapping[str, Any]) -> Any:
    """A message such as ``hri_msgs/IdsList`` with fields from nested dicts.

    Raises:
        EdgeFaceError: as `message_class`.
        InvalidInputError: a field that the message does not have.
    """
    message = message_class(name)()
    fill(message, values)
    return message


def header_of(message: Any) -> dict[str, Any]:
    """The header of a message as nested dicts."""
    stamp = message.header.stamp
    return {"stamp": {"sec": int(stamp.sec), "nanosec": int(stamp.nanosec)}, "frame_id": message.header.frame_id}


def fill(message: Any, values: Mapping[str, Any]) -> None:
    """Set a ROS message's fields from nested dicts. Lists of dicts become lists of the field's message type.

    Raises:
        InvalidInputError: a field that the message does not have.
    """
    types: Mapping[str, str] = message.get_fields_and_field_types()
    for name, value in values.items():
        if name not in types:
            raise must_be(f"fields of {type(message).__name__}", f"among {', '.join(types)}", name)
        if isinstance(value, Mapping):
            fill(getattr(message, name), value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            element = _ELEMENT.match(types[name])
            if element is None:
                raise must_be(f"{type(message).__name__}.{name}", types[name], "nested fields")
            setattr(message, name, [to_message(element[1], entry) for entry in value])
        else:
            setattr(message, name, value)
