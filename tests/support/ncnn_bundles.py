"""Bundles as they are in their zip, unchecked, and the shipped one with ncnn networks. For tests."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

from edgeface.bundle import bundled_models


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


def ncnn_bundle(name: str) -> Path | None:
    """Path of a bundle with ncnn networks: the shipped one, or that of the folder ``EDGEFACE_NCNN_BUNDLES``."""
    folder = os.environ.get("EDGEFACE_NCNN_BUNDLES")
    path = bundled_models()[name] if folder is None else Path(folder) / f"{name}.efm"
    return path if any(model["format"] == "ncnn" for model in read_zip(path)[0]["models"]) else None
