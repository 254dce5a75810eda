"""Float networks of a student, for counting beside the int8 ones of its bundle. Works in two environments, as the
toolchain does (docs/toolchain.md):

    python -m boards.emulate.floats edgeface-s quantize/checkpoints/edgeface-s.pt FOLDER  # …-float32.onnx
    $EDGEFACE_LITERT_PYTHON -m boards.emulate.floats edgeface-s quantize/checkpoints/edgeface-s.pt FOLDER 320x240
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from quantize.models import STRIDES, fuse, load_student


def write_onnx(name: str, checkpoint: Path, folder: Path) -> None:
    """The network as ``quantize export`` writes it, for any size."""
    from quantize.models.onnx import export_float

    export_float(fuse(load_student(checkpoint)), folder / f"{name}-float32.onnx")


def write_tflite(name: str, checkpoint: Path, folder: Path, width: int, height: int) -> None:
    """The network for one size: what ``quantize.export.tflite_convert`` quantises, as it is before that."""
    import litert_torch

    example = torch.zeros(1, height, width, 3)
    model = fuse(load_student(checkpoint))
    last = litert_torch.to_channel_last_io(model, args=[0], outputs=list(range(len(STRIDES)))).eval()
    litert_torch.convert(last, (example,)).export(str(folder / f"{name}-float32-{width}x{height}.tflite"))


def main(arguments: list[str]) -> int:
    if len(arguments) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    name, checkpoint, folder, *sizes = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    if not sizes:
        write_onnx(name, Path(checkpoint), Path(folder))
    for size in sizes:
        width, height = map(int, size.split("x"))
        write_tflite(name, Path(checkpoint), Path(folder), width, height)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
