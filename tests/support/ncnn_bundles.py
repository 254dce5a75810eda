"""A bundle with an ncnn network: the shipped one where it has some, else its float network converted by pnnx. For tests."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from edgeface.bundle import bundled_models

#: Of an ncnn network that pnnx made of one with outputs of strides 8, 16, 32.
_TENSOR = {"layout": "NCHW", "dtype": "float32", "scale": 1.0, "zero_point": 0}


def read_zip(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of a bundle and its other files, unchecked."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("manifest.json")), files


def write_zip(path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> Path:
    """A bundle of any manifest, as it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pnnx_program() -> Path | None:
    """pnnx's binary, which needs no torch."""
    found = importlib.util.find_spec("pnnx")
    for folder in found.submodule_search_locations or () if found else ():
        if (Path(folder) / "pnnx").is_file():
            return Path(folder) / "pnnx"
    return None


def ncnn_bundle(name: str, folder: Path) -> Path | None:
    """Path of a bundle with an ncnn float network, or None where none can be made here."""
    shipped = bundled_models()
    if any(model["format"] == "ncnn" for model in read_zip(shipped[name])[0]["models"]):
        return shipped[name]
    program = pnnx_program()
    if program is None or f"{name}-float32" not in shipped:
        return None
    manifest, files = read_zip(shipped[f"{name}-float32"])
    source = manifest["models"][0]
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "net.onnx").write_bytes(files[source["file"]])
        subprocess.run([program, "net.onnx", "inputshape=[1,3,320,320]f32"], cwd=work, check=True, capture_output=True)
        param, weights = (Path(work, f"net.ncnn.{kind}").read_bytes() for kind in ("param", "bin"))
    files = {f"{name}-float32.param": param, f"{name}-float32.bin": weights}
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    (param_file, param_digest), (weights_file, weights_digest) = digests.items()
    manifest["models"] = [
        {
            "file": param_file,
            "sha256": param_digest,
            "weights": {"file": weights_file, "sha256": weights_digest},
            "format": "ncnn",
            "precision": "float32",
            "size": None,
            "size_multiple": 32,
            "input": {"name": "in0", "color": "rgb", **_TENSOR},
            "outputs": [{"name": f"out{i}", "stride": 8 << i, **_TENSOR} for i in range(3)],
        }
    ]
    return write_zip(folder / f"{name}-ncnn.efm", manifest, files)
