"""The student networks: one pass gives score, quality, box, landmarks and rotation at strides 8, 16 and 32.

Chosen for integer engines: ReLU only, channels in multiples of 16, dense 3x3 convolutions only where channels are few
(there they cost little more than depthwise ones on dot-product kernels), depthwise separable blocks elsewhere,
nearest upsampling, and one fused 1x1 head a level. edgeface-n is built so; edgeface-s has the same outputs and another
trunk (`quantize.dense`). The head's 22 channels are those of decode rule ``edgeface-v1``
(docs/bundle.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
CHANNELS = 22
SCORE, QUALITY, BOX, LANDMARKS, ROTATION = 0, 1, slice(2, 6), slice(6, 16), slice(16, 22)
OUTPUTS = {"score": SCORE, "quality": QUALITY, "box": BOX, "landmarks": LANDMARKS, "rotation": ROTATION}


@dataclass(frozen=True)
class StudentConfig:
    """Widths and depths. ``stem``: channels at strides 2 and 4; ``widths``/``depths``: stages at strides 8, 16, 32;
    ``neck``: pyramid width; ``smooth``: a separable block after each upsampled sum. With ``trunk`` "yunet"
    or "dense" all but the last of ``widths`` and ``depths`` is fixed: see `quantize.thinned` and `quantize.dense`.
    ``stem_dense``: with trunk "dense", 3x3 convolutions more at stride 4; ``dense_units``: its units that are one dense
    3x3 convolution instead, of `quantize.dense.UNITS`.
    ``bounded``: the first layer ends in ReLU6, see `quantize.bounded`.
    """

    stem: tuple[int, int] = (16, 32)
    stem_blocks: int = 1
    widths: tuple[int, int, int] = (64, 96, 160)
    depths: tuple[int, int, int] = (3, 3, 3)
    neck: int = 64
    smooth: bool = True
    head_blocks: int = 1
    trunk: str = "separable"
    stem_dense: int = 0
    dense_units: tuple[str, ...] = ()
    bounded: bool = False


STUDENTS = {
    "s": StudentConfig(widths=(64, 64, 160), depths=(2, 2, 2), trunk="dense"),
    "thinned": StudentConfig(widths=(64, 64, 160), depths=(3, 2, 3), trunk="yunet"),
    "separable": StudentConfig(),
    "n": StudentConfig(stem=(8, 16), stem_blocks=0, widths=(32, 64, 96), depths=(3, 2, 2), neck=32, smooth=False),
}


class ConvBNReLU(nn.Sequential):
    """Convolution with "same" padding, batch norm and (unless ``act`` is false) ReLU."""

    def __init__(self, cin: int, cout: int, k: int = 3, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        layers = [
            nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout, momentum=0.03),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Separable(nn.Module):
    """Depthwise k x k, then pointwise; a residual path where shape allows."""

    def __init__(self, cin: int, cout: int, k: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.residual = stride == 1 and cin == cout
        self.depthwise = ConvBNReLU(cin, cin, k, stride, groups=cin)
        self.pointwise = ConvBNReLU(cin, cout, 1, act=not self.residual)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return torch.relu(x + y) if self.residual else y


def add(x: Tensor, larger: Tensor) -> Tensor:
    """The sum of a level and the upsampled one above it, which is longer where a side is odd: 240 rows are 15 of 16."""
    return x + larger[:, :, : x.shape[2], : x.shape[3]]


class Student(nn.Module):
    """Backbone, top-down pyramid and one fused head a level.

    ``forward`` takes (n, 3, h, w) float32, RGB, (pixel − 128) / 128, sides multiples of 16, and returns three tensors
    (n, 22, ⌈h/s⌉, ⌈w/s⌉) for s = 8, 16, 32.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self._build_trunk(config)
        self.heads = nn.ModuleList(nn.Conv2d(config.neck, CHANNELS, 1) for _ in STRIDES)
        self._init_heads()

    def _build_trunk(self, config: StudentConfig) -> None:
        s2, s4 = config.stem
        w8, w16, w32 = config.widths
        d8, d16, d32 = config.depths
        n = config.neck
        self.stem = nn.Sequential(
            ConvBNReLU(3, s2, 3, 2), ConvBNReLU(s2, s4, 3, 2), *[Separable(s4, s4) for _ in range(config.stem_blocks)]
        )
        self.stage8 = nn.Sequential(Separable(s4, w8, 3, 2), *[Separable(w8, w8) for _ in range(d8)])
        self.stage16 = nn.Sequential(Separable(w8, w16, 3, 2), *[Separable(w16, w16, 5) for _ in range(d16)])
        self.stage32 = nn.Sequential(Separable(w16, w32, 3, 2), *[Separable(w32, w32, 5) for _ in range(d32)])
        self.lateral8: nn.Module
        self.lateral16: nn.Module
        self.lateral32: nn.Module
        self.lateral8, self.lateral16, self.lateral32 = (ConvBNReLU(w, n, 1) for w in config.widths)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.smooth16, self.smooth8 = (Separable(n, n) if config.smooth else nn.Identity() for _ in range(2))
        self.towers = nn.ModuleList(
            nn.Sequential(*[Separable(n, n) for _ in range(config.head_blocks)]) for _ in STRIDES
        )

    def _init_heads(self) -> None:
        for head in self.heads:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
            with torch.no_grad():
                head.bias[
                    SCORE
                ] = -4.6  # prior of .01, as in focal loss (Lin et al. 2017): nearly every cell is background
                head.bias[2 + 2 : 2 + 4] = 1.0  # a typical face is about e strides wide
                head.bias[16], head.bias[20] = 1.0, 1.0  # the identity rotation

    @property
    def stages(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
        """Of strides 8, 16 and 32: the block that halves the resolution, then those that ``depths`` counts."""
        return self.stage8, self.stage16, self.stage32

    @property
    def backbone_widths(self) -> tuple[int, int, int]:
        """Channels of what `backbone` gives."""
        return self.config.widths

    def chains(self) -> list[list[ConvBNReLU]]:
        """Runs of convolutions each of which is read by the next alone, with nothing but ReLU and pooling between."""
        blocks = [[m.depthwise, m.pointwise] for m in self.modules() if isinstance(m, Separable)]
        return [[self.stem[0], self.stem[1]], *blocks]  # type: ignore[list-item]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.predict(self.pyramid(x))

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 8, 16 and 32, (n, neck, ⌈h/s⌉, ⌈w/s⌉) each."""
        return self.neck(self.backbone(x))

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 8, 16 and 32 before the pyramid, (n, width, ⌈h/s⌉, ⌈w/s⌉) each."""
        c8 = self.stage8(self.stem(x))
        c16 = self.stage16(c8)
        return c8, c16, self.stage32(c16)

    def neck(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """From what `backbone` gives to what `pyramid` does."""
        c8, c16, c32 = levels
        p32 = self.lateral32(c32)
        p16 = self.smooth16(add(self.lateral16(c16), self.up(p32)))
        p8 = self.smooth8(add(self.lateral8(c8), self.up(p16)))
        return p8, p16, p32

    def predict(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Raw outputs of the features that `pyramid` gives."""
        o8, o16, o32 = (head(tower(p)) for head, tower, p in zip(self.heads, self.towers, levels, strict=True))
        return o8, o16, o32


def student_of(config: StudentConfig) -> Student:
    """The network that ``config`` describes, freshly initialised. Raises ValueError for another trunk, and for what
    only a dense one has.
    """
    if config.trunk != "dense" and (config.stem_dense or config.dense_units):
        raise ValueError(f"trunk must be dense for stem_dense and dense_units, but got {config}")
    model = _trunk_of(config)(config)
    return bound(model) if config.bounded else model


def _trunk_of(config: StudentConfig) -> type[Student]:
    if config.trunk == "separable":
        return Student
    if config.trunk == "yunet":
        from quantize.thinned import Thinned  # builds on this module

        return Thinned
    if config.trunk == "dense":
        from quantize.dense import Dense

        return Dense
    raise ValueError(f"trunk must be separable, yunet or dense, but got {config.trunk!r}")


def bound(model: Student) -> Student:
    """Lets the first layer end in ReLU6 instead of ReLU, in place."""
    model.stem[0][2] = nn.ReLU6(inplace=True)  # type: ignore[operator]
    return model


def build_student(name: str = "s") -> Student:
    """A freshly initialised student; ``name`` is a key of ``STUDENTS``. Raises KeyError for another.

    Examples:
        >>> [tuple(t.shape) for t in build_student("n").eval()(torch.zeros(1, 3, 64, 96))]
        [(1, 22, 8, 12), (1, 22, 4, 6), (1, 22, 2, 3)]
    """
    return student_of(STUDENTS[name])


def fuse(model: Student) -> Student:
    """Folds batch norm into the convolutions before it (evaluation mode, in place), as NNCF and exporters need it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    model.eval()
    for module in list(model.modules()):
        if isinstance(module, ConvBNReLU) and isinstance(module[1], nn.BatchNorm2d):
            conv, bn = module[0], module[1]
            assert isinstance(conv, nn.Conv2d)
            folded = fuse_conv_bn_eval(conv, bn)
            assert folded.bias is not None
            folded.bias.requires_grad_(conv.weight.requires_grad)  # PyTorch freezes the bias of one that had none
            module[0], module[1] = folded, nn.Identity()
    return model


def grow(model: Student, depths: Sequence[int]) -> Student:
    """``model`` with more blocks at the ends of its stages, in place: it computes what it did until they learn, since
    their residual paths begin at zero. Raises ValueError for a depth below the model's own, and for other depths of
    YuNet's stages.
    """
    folded = not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    if len(depths) != len(model.stages) or any(d < have for d, have in zip(depths, model.config.depths, strict=True)):
        raise ValueError(f"depths must be three, each at least {model.config.depths}, but got {tuple(depths)}")
    if model.config.trunk != "separable" and tuple(depths[:2]) != model.config.depths[:2]:
        raise ValueError(f"depths must begin with {model.config.depths[:2]}, but got {tuple(depths)}")
    for stage, width, have, wanted in zip(model.stages, model.config.widths, model.config.depths, depths, strict=True):
        for _ in range(wanted - have):
            block = Separable(width, width, 3 if stage is model.stage8 else 5)
            nn.init.zeros_(block.pointwise[1].weight)  # type: ignore[arg-type]
            stage.append(block)
    a, b, c = depths
    model.config = replace(model.config, depths=(a, b, c))
    return fuse(model) if folded else model


def checkpoint_of(model: Student, **more: Any) -> dict[str, Any]:
    """What ``load_student`` reads: the configuration, whether batch norm is folded, and the weights."""
    folded = not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    return {"student": asdict(model.config), "folded": folded, "ema": model.state_dict(), **more}


def load_student(path: Path, device: str | torch.device = "cpu") -> Student:
    """The network of a checkpoint (``ema.pt`` of a run), for evaluation. Raises FileNotFoundError, or ValueError for
    something else.
    """
    state = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(state, dict) or "student" not in state or "ema" not in state:
        raise ValueError(f"{path} must be a student's checkpoint, but got something else")
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in state["student"].items()}
    config = StudentConfig(**fields)
    model = student_of(config).eval().to(device)
    if state.get("folded"):
        fuse(model)
    model.load_state_dict(state["ema"])
    return model
