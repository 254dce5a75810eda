"""``python -m quantize.export.add_ncnn BUNDLE.efm FLOAT.efm``: put ncnn's files into a bundle, from what it and its
float companion hold. A bundle that has some gets new ones.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from edgeface.bundle import Bundle, write_bundle
from edgeface.errors import EdgeFaceError
from quantize.export.ncnn import ConversionError, convert_student
from quantize.export.ncnn_int8 import convert_int8
from quantize.export.ncnn_spec import ncnn_spec


def add_ncnn(path: Path, real: Path) -> None:
    """Rewrite a bundle with its networks for ncnn in int8 and in float32.

    Args:
        path: with an int8 ONNX network in QDQ form; rewritten in place.
        real: with the float32 ONNX network of the same weights.

    Raises:
        BundleError: one of them is no bundle.
        ConversionError: a bundle without these networks, or pnnx is missing or failed.
    """
    bundle, companion = Bundle.open(path), Bundle.open(real)
    manifest = bundle.manifest
    kept = [m for m in manifest.models if m.format != "ncnn"]
    files = {file: data for file, data in bundle.files().items() if any(file in m.files for m in kept)}
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for opened, precision, how in ((bundle, "int8", convert_int8), (companion, "float32", convert_student)):
            model = opened.select(("onnx",), manifest.default_size, precision)
            if model is None:
                raise ConversionError(f"{opened.path} must have an {precision} ONNX network, but got none")
            source = Path(folder) / model.file
            source.write_bytes(opened.read(model))
            pair = how(source, Path(folder) / f"{manifest.name}-{precision}")
            made.append(ncnn_spec(*pair, precision))
            files |= {file.name: file.read_bytes() for file in pair}
    write_bundle(path, replace(manifest, models=(*kept, *made)), files)
    Bundle.open(path)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        add_ncnn(*map(Path, arguments))
    except (EdgeFaceError, ConversionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
