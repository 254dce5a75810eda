"""The manifest of a model bundle (``docs/bundle.md``, schema 1) as dataclasses, every value checked when it is read.

A manifest is foreign data: whatever its bytes are, `Manifest.from_json` gives a manifest that the decoder can work
with, or raises a `BundleError` that names the key at fault.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

from edgeface.errors import BundleError, BundleTooNewError
from edgeface.faces import LANDMARK_NAMES

__all__ = [
    "CHANNELS",
    "COMPILED",
    "DECODE_RULE",
    "POINTS_OUTPUTS",
    "POINTS_RULE",
    "POINTS_STATE",
    "SCHEMA",
    "DecodeSpec",
    "InputSpec",
    "Manifest",
    "ModelSpec",
    "OutputSpec",
    "WeightsSpec",
]

#: Newest schema that this SDK reads.
SCHEMA: Final = 1
DECODE_RULE: Final = "edgeface-v1"
#: Channels of every output tensor under `DECODE_RULE`.
CHANNELS: Final = 22
#: The rule of a per-face network: 68 points and the state of eyes and mouth of one aligned crop.
POINTS_RULE: Final = "edgeface-points-v1"
#: Outputs under `POINTS_RULE` by their role, and how many numbers each has.
POINTS_OUTPUTS: Final = {"points": 136, "depth": 68, "spread": 68, "visible": 68, "state": 9}
#: The numbers of the output "state", in order.
POINTS_STATE: Final = (
    "eye_right_open",
    "eye_left_open",
    "mouth_open",
    "cover_eyes",
    "cover_nose",
    "cover_mouth",
    "mask",
    "glasses",
    "sunglasses",
)

POSE: Final = {"rotation": "head_to_camera_optical", "angles": "300W-LP"}

_KEYS = "schema name version min_sdk models default_size sizes decode landmarks pose quality".split()
_KEYS += "training calibration metrics licence lineage".split()
_FACE_KEYS: Final = ("rule", "strides", "channel_scale", "min_score", "nms_iou")
_FILE, _SHA256 = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}", r"[0-9a-f]{64}"
#: Networks that `edgeface compile` makes for one processor. Which one says `ModelSpec.target`.
COMPILED: Final = ("tflm", "vela", "rknn")
#: Every format of a network file.
FORMATS: Final = ("onnx", "tflite", "ncnn", *COMPILED)
_DTYPES = ("uint8", "int8", "float32")
_LAYOUTS = ("NCHW", "NHWC")
_DEEPEST: Final = 64  # objects and lists in each other
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
MAX_SIDE: Final = 8192  # of a network's input: an activation of it must still fit into memory


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input tensor: a pixel p of channel order `color` is stored as round((p - 128) / 128 / scale) + zero_point."""

    name: str
    dtype: str
    layout: str
    color: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output tensor: a stored q of channel c is `(q - zero_point) * scale * channel_scale[stride][c]`.

    Under `POINTS_RULE` it is a row of `POINTS_OUTPUTS[role]` numbers, with neither stride nor channel scales.
    """

    name: str
    stride: int
    layout: str
    dtype: str
    scale: float
    zero_point: int
    role: str | None = None


@dataclass(frozen=True, slots=True)
class WeightsSpec:
    """The second file of a network that has its weights in one: name inside the bundle, sha256 in lower-case hex."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One network of the bundle.

    Attributes:
        file: name inside the bundle, no folders.
        sha256: of the file, lower-case hex.
        format: "onnx", "tflite" or "ncnn".
        precision: "int8" or "float32" (others are listed but never chosen by themselves).
        size: (width, height) it is fixed to, or None for any size whose sides are multiples of `size_multiple`.
        outputs: one a stride, or one a role under `POINTS_RULE`.
        weights: of an ncnn network: its ``.bin`` beside the ``.param`` that is `file`. None for other formats.
        target: of a compiled network: "name" of the processor, "tool" and its "version", and the tool's report. None
            for networks that run anywhere.
    """

    file: str
    sha256: str
    format: str
    precision: str
    size: tuple[int, int] | None
    size_multiple: int
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    weights: WeightsSpec | None = None
    target: dict[str, Any] | None = None

    @property
    def files(self) -> dict[str, str]:
        """Every file of the network, and its sha256."""
        own = {self.file: self.sha256}
        return own if self.weights is None else own | {self.weights.file: self.weights.sha256}

    def serves(self, size: tuple[int, int]) -> bool:
        """Whether this network takes an input of (width, height)."""
        if self.size is not None:
            return self.size == size
        return all(0 < side <= MAX_SIDE and side % self.size_multiple == 0 for side in size)


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How outputs become faces: rule, strides, and per stride the factor of each of the 22 channels.

    Under `POINTS_RULE` the outputs are one face's points: `margin` is the side of its crop in face widths, `state` the
    order of that output; the other attributes are empty.
    """

    rule: str
    strides: tuple[int, ...] = ()
    channel_scale: dict[int, tuple[float, ...]] = field(default_factory=dict)
    min_score: float = 0.0
    nms_iou: float = 0.0
    margin: float = 0.0
    state: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The keys that the rule has."""
        keys = ("rule", "margin", "state") if self.rule == POINTS_RULE else _FACE_KEYS
        return {key: _plain(getattr(self, key)) for key in keys}


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of ``manifest.json``. Free-form parts (quality, training, calibration, metrics, lineage) stay as they are.

    Examples:
        >>> Manifest.from_json(b"[]")
        Traceback (most recent call last):
        edgeface.errors.BundleError: manifest must be an object, but got a list
    """

    schema: int
    name: str
    version: str
    min_sdk: str
    models: tuple[ModelSpec, ...]
    default_size: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]
    decode: DecodeSpec
    landmarks: tuple[str, ...]
    pose: dict[str, Any]
    licence: str
    quality: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: bytes | str) -> Manifest:
        """Parse and check.

        Raises:
            BundleTooNewError: the schema, the decode rule or ``min_sdk`` is beyond this SDK.
            BundleError: anything else that is not a manifest of schema 1.
        """
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"manifest must be JSON, but got {type(error).__name__}: {error}") from None
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: Any) -> Manifest:
        """Like `from_json`, for an object that is parsed already."""
        _check_plain(raw)
        top = _Object(raw, "manifest")
        # versions come first: a newer manifest may be laid out differently, and then "too new" is the true complaint
        schema = top.integer("schema", 1)
        if schema > SCHEMA:
            raise BundleTooNewError(f"manifest.schema must be at most {SCHEMA}, but got {schema}: update edgeface")
        min_sdk = top.text("min_sdk")
        _check_sdk(min_sdk)
        decode = _decode_spec(top.child("decode"))
        landmarks: tuple[str, ...] = ()
        pose = _Object({}, "manifest.pose")
        if decode.rule == DECODE_RULE:
            landmarks = tuple(str(name) for name in top.items("landmarks", len(LANDMARK_NAMES)))
            if landmarks != LANDMARK_NAMES:
                raise BundleError(f"manifest.landmarks must be {list(LANDMARK_NAMES)}, but got {list(landmarks)}")
            pose = top.child("pose")
            for key, value in POSE.items():
                pose.choice(key, (value,))
        models = tuple(
            _model_spec(_Object(model, f"manifest.models[{i}]"), decode)
            for i, model in enumerate(top.items("models", maximum=64))
        )
        files = [file for model in models for file in model.files]
        if len(set(files)) != len(files):
            raise BundleError(f"manifest.models must name different files, but got {files}")
        return cls(
            schema=schema,
            name=top.text("name"),
            version=top.text("version"),
            min_sdk=min_sdk,
            models=models,
            default_size=_size(top.get("default_size"), "manifest.default_size"),
            sizes=tuple(_size(s, f"manifest.sizes[{i}]") for i, s in enumerate(top.items("sizes", maximum=64))),
            decode=decode,
            landmarks=landmarks,
            pose=pose.raw,
            licence=top.text("licence"),
            **{key: top.free(key) for key in ("quality", "training", "calibration", "metrics", "lineage")},
        )

    @property
    def finds_faces(self) -> bool:
        """Whether the networks look at frames; those of `POINTS_RULE` look at one face's crop."""
        return self.decode.rule == DECODE_RULE

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, keys in the order of the documentation."""
        left_out = () if self.finds_faces else ("landmarks", "pose", "quality")
        return {key: _plain(getattr(self, key)) for key in _KEYS if key not in left_out}


def _check_plain(raw: Any) -> None:
    """Refuse what JSON allows and the rest of the world does not: endless nesting, halves of characters, NaN."""
    todo = [(raw, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > _DEEPEST:
            raise BundleError(f"manifest must be nested at most {_DEEPEST} deep, but got more")
        if isinstance(value, dict):
            todo += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, (list, tuple)):
            todo += [(item, depth + 1) for item in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise BundleError(f"a manifest's numbers must be finite, but got {value}")
        elif isinstance(value, str) and _SURROGATE.search(value):
            raise BundleError(f"a manifest's texts must be whole characters, but got {value!r:.80}")


class _Object:
    """A JSON object and its place in the manifest, for messages that name the key at fault."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise BundleError(f"{where} must be an object, but got {_kind(raw)}")
        self.raw: dict[str, Any] = raw
        self.where = where

    def get(self, key: str) -> Any:
        if key not in self.raw:
            raise BundleError(f"{self.where}.{key} must be there, but got an object without it")
        return self.raw[key]

    def child(self, key: str) -> _Object:
        return _Object(self.get(key), f"{self.where}.{key}")

    def free(self, key: str) -> dict[str, Any]:
        return _Object(self.raw.get(key, {}), f"{self.where}.{key}").raw

    def text(self, key: str, pattern: str = r"[^\x00-\x1f]{1,200}") -> str:
        value = self.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self._error(key, f"a string of the form {pattern}", value)
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.get(key)
        if not isinstance(value, str) or value not in choices:
            raise self._error(key, f"one of {', '.join(choices)}", value)
        return value

    def integer(self, key: str, minimum: int, maximum: int = 2**31 - 1) -> int:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise self._error(key, f"an integer from {minimum} to {maximum}", value)
        return value

    def number(self, key: str, *, above: float = 0.0, maximum: float = 1e9) -> float:
        return _number(self.get(key), f"{self.where}.{key}", above, maximum)

    def items(self, key: str, length: int | None = None, maximum: int = 1024) -> list[Any]:
        value = self.get(key)
        wanted = f"a list of {length}" if length is not None else f"a list of 1 to {maximum} items"
        if not isinstance(value, list) or not (
            len(value) == length if length is not None else 0 < len(value) <= maximum
        ):
            raise self._error(key, wanted, f"one of {len(value)}" if isinstance(value, list) else value)
        return value

    def _error(self, key: str, wanted: str, got: Any) -> BundleError:
        shown = repr(got)
        return BundleError(f"{self.where}.{key} must be {wanted}, but got {shown[:80]}{'…' * (len(shown) > 80)}")


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), f"{value!r:.80}")


def _number(value: Any, where: str, above: float, maximum: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not above < value <= maximum:
        raise BundleError(f"{where} must be a number above {above:g} and at most {maximum:g}, but got {value!r:.80}")
    return float(value)


def _size(value: Any, where: str) -> tuple[int, int]:
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= MAX_SIDE for side in value)
    ):
        return value[0], value[1]
    raise BundleError(f"{where} must be [width, height], each 1 to {MAX_SIDE}, but got {value!r:.80}")


def _check_sdk(min_sdk: str) -> None:
    from edgeface import __version__

    def parts(version: str) -> tuple[int, ...]:
        match = re.match(r"\d{1,9}(\.\d{1,9}){0,3}", version)
        if match is None:
            raise BundleError(f"manifest.min_sdk must be a version such as 0.1.0, but got {version!r:.80}")
        numbers = [int(n) for n in match.group().split(".")]
        return (*numbers, *[0] * (4 - len(numbers)))

    if parts(min_sdk) > parts(__version__):
        raise BundleTooNewError(f"manifest.min_sdk must be at most {__version__}, but got {min_sdk}: update edgeface")


def _decode_spec(raw: _Object) -> DecodeSpec:
    rule = raw.text("rule")
    if rule == POINTS_RULE:
        state = tuple(str(name) for name in raw.items("state", len(POINTS_STATE)))
        if state != POINTS_STATE:
            raise BundleError(f"manifest.decode.state must be {list(POINTS_STATE)}, but got {list(state)}")
        margin = _number(raw.get("margin"), "manifest.decode.margin", 0.4999, 8.0)
        return DecodeSpec(rule=rule, margin=margin, state=state)
    if rule != DECODE_RULE:
        raise BundleTooNewError(
            f"manifest.decode.rule must be {DECODE_RULE} or {POINTS_RULE}, but got {rule}: update edgeface"
        )
    strides = raw.items("strides", maximum=8)
    if not all(isinstance(s, int) and not isinstance(s, bool) and 1 <= s <= 256 for s in strides):
        raise BundleError(f"manifest.decode.strides must be integers from 1 to 256, but got {strides!r:.80}")
    if sorted(set(strides)) != strides:
        raise BundleError(f"manifest.decode.strides must rise, but got {strides}")
    scales = raw.child("channel_scale")
    channel_scale = {
        stride: tuple(
            _number(value, f"{scales.where}.{stride}[{c}]", 0.0, 1e6)
            for c, value in enumerate(scales.items(str(stride), CHANNELS))
        )
        for stride in strides
    }
    return DecodeSpec(
        rule=rule,
        strides=tuple(strides),
        channel_scale=channel_scale,
        min_score=raw.number("min_score", maximum=0.9999),
        nms_iou=raw.number("nms_iou", maximum=0.9999),
    )


def _model_spec(raw: _Object, decode: DecodeSpec) -> ModelSpec:
    points, strides = decode.rule == POINTS_RULE, decode.strides
    image = raw.child("input")
    size = raw.raw.get("size")
    kind = raw.choice("format", FORMATS)
    weights = raw.child("weights") if kind == "ncnn" else None
    if weights is None and "weights" in raw.raw:
        raise BundleError(f"{raw.where}.weights must be there for format ncnn alone, but got them for {kind}")
    model = ModelSpec(
        file=raw.text("file", _FILE),
        sha256=raw.text("sha256", _SHA256),
        format=kind,
        precision=raw.text("precision", r"[a-z0-9_-]{1,32}"),
        size=None if size is None else _size(size, f"{raw.where}.size"),
        size_multiple=raw.integer("size_multiple", 1, 1024),
        input=InputSpec(
            name=image.text("name"),
            dtype=image.choice("dtype", _DTYPES),
            layout=image.choice("layout", _LAYOUTS),
            color=image.choice("color", ("rgb", "bgr")),
            scale=image.number("scale"),
            zero_point=image.integer("zero_point", -128, 255),
        ),
        outputs=tuple(
            (_row_spec if points else _output_spec)(_Object(output, f"{raw.where}.outputs[{i}]"))
            for i, output in enumerate(raw.items("outputs", len(POINTS_OUTPUTS) if points else len(strides)))
        ),
        weights=None if weights is None else WeightsSpec(weights.text("file", _FILE), weights.text("sha256", _SHA256)),
        target=_target(raw),
    )
    if (model.format in COMPILED) != (model.target is not None):
        raise BundleError(
            f"{raw.where}.target must be there for {', '.join(COMPILED)} alone, but format is {model.format}"
        )
    if "manifest.json" in model.files:
        raise BundleError(f"{raw.where}.file must be a network, but got manifest.json")
    if weights is not None and model.weights is not None and model.weights.file == model.file:
        raise BundleError(f"{weights.where}.file must be another file than {model.file}, but got the same")
    if points:
        _check_points_model(raw, model)
        return model
    if tuple(sorted(output.stride for output in model.outputs)) != strides:
        got = [output.stride for output in model.outputs]
        raise BundleError(f"{raw.where}.outputs must be one for each stride of {list(strides)}, but got {got}")
    if model.size_multiple % strides[0]:  # coarser levels may end in a cell that reaches beyond the picture
        raise BundleError(
            f"{raw.where}.size_multiple must be a multiple of the finest stride {strides[0]}, "
            f"but got {model.size_multiple}"
        )
    if model.size is not None and any(side % model.size_multiple for side in model.size):
        raise BundleError(
            f"{raw.where}.size must be multiples of size_multiple {model.size_multiple}, but got {list(model.size)}"
        )
    return model


def _check_points_model(raw: _Object, model: ModelSpec) -> None:
    roles = [output.role for output in model.outputs]
    if set(roles) != set(POINTS_OUTPUTS):
        raise BundleError(f"{raw.where}.outputs must be one each of {', '.join(POINTS_OUTPUTS)}, but got {roles}")
    if model.size is None or model.size[0] != model.size[1]:
        raise BundleError(
            f"{raw.where}.size must be a square under {POINTS_RULE}, but got {model.size and list(model.size)}"
        )


def _target(raw: _Object) -> dict[str, Any] | None:
    if raw.raw.get("target") is None:
        return None
    target = raw.child("target")
    for key in ("name", "tool", "version"):
        target.text(key)
    return target.raw


def _output_spec(raw: _Object) -> OutputSpec:
    return OutputSpec(
        name=raw.text("name"),
        stride=raw.integer("stride", 1, 256),
        layout=raw.choice("layout", _LAYOUTS),
        dtype=raw.choice("dtype", _DTYPES),
        scale=raw.number("scale"),
        zero_point=raw.integer("zero_point", -128, 255),
    )


def _row_spec(raw: _Object) -> OutputSpec:
    """An output under `POINTS_RULE`."""
    return OutputSpec(
        name=raw.text("name"),
        stride=0,
        layout="",
        dtype=raw.choice("dtype", _DTYPES),
        scale=raw.number("scale", maximum=1e6),
        zero_point=raw.integer("zero_point", -128, 255),
        role=raw.choice("role", tuple(POINTS_OUTPUTS)),
    )


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and integer keys as JSON has them."""
    if isinstance(value, DecodeSpec):
        return value.to_dict()
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
        if fields.get("role") is not None:
            del fields["stride"], fields["layout"]
        return {
            k: v for k, v in fields.items() if v is not None or k not in ("target", "weights", "role")
        }  # as older readers know it
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise BundleError(f"a manifest's numbers must be finite, but got {value}")
    return value
