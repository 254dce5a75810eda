"""Tests of libedgeface_engine, through ctypes. ``.ci/engine`` builds the library and says where it is; elsewhere they are left out."""

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
def bundle(library: ctypes.CDLL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """edgeface-n with an ncnn network."""
    path = ncnn_bundle("edgeface-n", tmp_path_factory.mktemp("ncnn"))
    if path is None:
        pytest.skip("no bundle has an ncnn network, and pnnx is not installed to make one")
    return path
