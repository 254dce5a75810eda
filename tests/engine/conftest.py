"""Tests of libedgeface_engine through ctypes. ``.ci/engine`` builds it; elsewhere they are left out."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from support.c_engine import LIBRARY, load
from support.ncnn_bundles import ncnn_bundle


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    if not LIBRARY:
        pytest.skip("EDGEFACE_ENGINE_LIBRARY names no libedgeface_engine.so (.ci/engine builds one)")
    return load()


@pytest.fixture(scope="session")
def bundle(library: ctypes.CDLL) -> Path:
    """edgeface-n with ncnn networks."""
    path = ncnn_bundle("edgeface-n")
    if path is None:
        pytest.skip(
            "the bundled edgeface-n has no ncnn network (EDGEFACE_NCNN_BUNDLES names a folder with one that has)"
        )
    return path
