"""The processors that networks are compiled for, and with which settings of which tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["TARGETS", "Target", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """One processor.

    Attributes:
        name: as on the command line.
        tool: what compiles: "ethos-u-vela", "tflite-micro" or "rknn-toolkit2".
        format: of the compiled network in the manifest.
        processor: for people.
        settings: of the tool.
    """

    name: str
    tool: str
    format: str
    processor: str
    settings: Mapping[str, str] = field(default_factory=dict)


def _ethos() -> list[Target]:
    made = []
    families = {
        "u55": ((32, 64, 128, 256), "Ethos_U55_High_End_Embedded", "Shared_Sram"),
        "u65": ((256, 512), "Ethos_U65_High_End", "Dedicated_Sram_384KB"),
        "u85": ((128, 256, 512, 1024, 2048), "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_512KB"),
    }
    for family, (sizes, system, memory) in families.items():
        for macs in sizes:
            processor = f"Arm Ethos-{family.upper()}, {macs} MACs a cycle"
            settings = {"system": system, "memory": memory}
            made.append(Target(f"ethos-{family}-{macs}", "ethos-u-vela", "vela", processor, settings))
    return made


def _rockchip() -> list[Target]:
    # level 3, the default, moves scales between layers of QDQ networks: on rk3576, rk3562 and rv1126b it costs degrees
    level = {"optimization_level": "2"}
    shipped = [
        Target(name, "rknn-toolkit2", "rknn", f"Rockchip {name.upper()}", level)
        for name in ("rk3588", "rk3576", "rk3566", "rk3562", "rv1126b")
    ]
    # refuses QDQ: quantised by the toolkit, from the float network and photos
    own = Target("rv1106", "rknn-toolkit2", "rknn", "Rockchip RV1106", {**level, "quantize": "toolkit"})
    return [*shipped, own]


#: Name -> target.
TARGETS: Final = {
    target.name: target
    for target in [
        Target("tflm", "tflite-micro", "tflm", "any microcontroller with TensorFlow Lite Micro"),
        *_ethos(),
        *_rockchip(),
    ]
}


def target_of(name: str) -> Target:
    """A target by its name.

    Raises:
        InvalidInputError: there is none of this name.

    Examples:
        >>> target_of("ethos-u65-256").processor
        'Arm Ethos-U65, 256 MACs a cycle'
    """
    from edgeface.errors import must_be

    if name not in TARGETS:
        raise must_be("target", f"one of {', '.join(TARGETS)}", name)
    return TARGETS[name]
