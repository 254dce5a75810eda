"""TFLite files whose weights all lie inside the flatbuffer.

ai-edge-quantizer appends some weights behind it, which LiteRT reads, while TFLite Micro computes garbage without an
error, OpenVINO and MNN refuse the file, and edgeface refuses the bundle. To mend a bundle:

    python -m quantize.export.one_piece NAME.efm
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeface.bundle import Bundle, write_bundle
from edgeface.manifest import Manifest

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # of a buffer's bytes, as the TFLite schema says (force_align)


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns bytes as the schema demands; the generated Python code does not."""

    def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 - the library's name
        if x.dtype == np.uint8:
            self.Prep(_ALIGNMENT, x.size)
        return int(super().CreateNumpyVector(x))


def in_one_piece(network: bytes) -> bytes:
    """The same network with every buffer inside the flatbuffer.

    Args:
        network: a TFLite file.

    Returns:
        A TFLite file of the same operators, tensors and values.

    Raises:
        ValueError: a buffer reaches beyond the end of the file.
    """
    model = schema.ModelT.InitFromPackedBuf(network, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 mean: inside
            end = buffer.offset + buffer.size
            if end > len(network):
                raise ValueError(f"buffers must lie within {len(network)} bytes, but got one up to {end}")
            buffer.data = np.frombuffer(network, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    builder = _Builder(len(network))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def mend_bundle(path: Path) -> None:
    """Write a bundle anew with its TFLite files in one piece; everything else stays.

    Args:
        path: ``NAME.efm``, a zip.

    Raises:
        BundleError: what came of it is not a bundle that edgeface reads.
    """
    with zipfile.ZipFile(path) as archive:
        manifest = Manifest.from_json(archive.read("manifest.json"))
        files = {name: archive.read(name) for name in archive.namelist()}
    models = []
    for model in manifest.models:
        if model.format == "tflite":
            files[model.file] = in_one_piece(files[model.file])
        models.append(replace(model, sha256=hashlib.sha256(files[model.file]).hexdigest()))
    write_bundle(path, replace(manifest, models=tuple(models)), files)
    Bundle.open(path)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        mend_bundle(Path(argument))
