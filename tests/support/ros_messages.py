"""Message classes that behave like rosidl's Python ones, made from the definitions' fields. For tests without ROS.

Fields of vision_msgs 4 (Humble, Jazzy, Rolling) and hri_msgs 2, as `ros2 interface show` prints them; the others are
those of the type store of rosbags.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.base import Nodetype

VISION_MSGS = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
HRI_MSGS = {
    "IdsList": "std_msgs/Header header\nstring[] ids",
    "NormalizedPointOfInterest2D": "float32 x\nfloat32 y\nfloat32 c",
    "NormalizedRegionOfInterest2D": "std_msgs/Header header\n"
    + "\n".join(f"float32 {name}" for name in ("xmin", "ymin", "xmax", "ymax", "c")),
    "FacialLandmarks": "std_msgs/Header header\nhri_msgs/NormalizedPointOfInterest2D[70] landmarks\n"
    "uint32 height\nuint32 width",
}
TF2_MSGS = {"TFMessage": "geometry_msgs/TransformStamped[] transforms"}


def typestore() -> Any:
    """The types of ROS 2 Humble, vision_msgs and hri_msgs."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    known: dict[str, Any] = {}
    for package, messages in {"vision_msgs": VISION_MSGS, "hri_msgs": HRI_MSGS}.items():
        for name, text in messages.items():
            known.update(get_types_from_msg(text, f"{package}/msg/{name}"))
    store.register(known)
    return store


_BASES = {"string": str, "bool": bool} | {f"float{n}": float for n in (32, 64)}
_BASES |= {f"{sign}int{n}": int for sign in ("", "u") for n in (8, 16, 32, 64)}


class Classes:
    """Looks up message classes by name, such as ``vision_msgs/Detection2D``."""

    def __init__(self, store: Any) -> None:
        self._fields = store.fielddefs
        self._made: dict[str, type] = {}

    def __getitem__(self, name: str) -> type:
        if name not in self._made:
            fields = self._fields["/msg/".join(name.split("/"))][1]
            self._made[name] = self._make(name, {field: self._kind(node) for field, node in fields})
        return self._made[name]

    def _kind(self, node: Any) -> tuple[str, Any, Any]:
        """(text as rosidl gives it, maker of the default, check of a value)."""
        what, detail = node
        if what is Nodetype.NAME:
            name = detail.replace("/msg/", "/")
            kind = self[name]
            return name, kind, lambda value: type(value) is kind
        if what is Nodetype.BASE:
            base = _BASES[detail[0]]
            return detail[0], base, lambda value: type(value) is base
        inner, length = detail
        text, default, check = self._kind(inner)
        if what is Nodetype.ARRAY:
            return f"{text}[{length}]", lambda: [default()] * length, lambda v: len(v) == length and all(map(check, v))
        return f"sequence<{text}>", list, lambda value: isinstance(value, (list, bytes)) and all(map(check, value))

    @staticmethod
    def _make(name: str, fields: dict[str, tuple[str, Any, Any]]) -> type:
        class Message:
            __slots__ = tuple(fields)

            def __init__(self) -> None:
                for field, (_, default, _) in fields.items():
                    object.__setattr__(self, field, default())

            def __setattr__(self, field: str, value: Any) -> None:
                if field not in fields:
                    raise AttributeError(field)
                text, _, check = fields[field]
                assert check(value), f"{name}.{field} must be {text}, got {value!r}"
                object.__setattr__(self, field, value)

            @classmethod
            def get_fields_and_field_types(cls) -> dict[str, str]:
                return {field: text for field, (text, _, _) in fields.items()}

        Message.__name__ = name.split("/")[1]
        return Message


def install(monkeypatch: pytest.MonkeyPatch) -> Classes:
    """Make ``from vision_msgs.msg import …`` and the like work."""
    store = typestore()
    classes = Classes(store)
    for full in store.fielddefs:
        package, _, kind = full.split("/")
        module = sys.modules.get(f"{package}.msg")
        if not isinstance(module, _Package):
            parent, module = types.ModuleType(package), _Package(f"{package}.msg")
            module.classes, module.package, parent.msg = classes, package, module
            monkeypatch.setitem(sys.modules, package, parent)
            monkeypatch.setitem(sys.modules, f"{package}.msg", module)
        del kind
    return classes


class _Package(types.ModuleType):
    classes: Classes
    package: str

    def __getattr__(self, kind: str) -> type:
        try:
            return self.classes[f"{self.package}/{kind}"]
        except KeyError:
            raise AttributeError(kind) from None


def built(store: Any, name: str, values: dict[str, Any]) -> Any:
    """A message of rosbags' own classes, which can be serialised, from nested dicts that have every field."""
    _, fields = store.fielddefs[name]
    assert set(values) == {field for field, _ in fields}, name
    made: dict[str, Any] = {}
    for field, (what, detail) in fields:
        value = values[field]
        if what is Nodetype.NAME:
            made[field] = built(store, detail, value)
        elif what in (Nodetype.ARRAY, Nodetype.SEQUENCE) and detail[0][0] is Nodetype.NAME:
            made[field] = [built(store, detail[0][1], entry) for entry in value]
        elif what is Nodetype.ARRAY:
            assert len(value) == detail[1]
            made[field] = np.array(value, np.float64)
        else:
            made[field] = value
    return store.types[name](**made)
