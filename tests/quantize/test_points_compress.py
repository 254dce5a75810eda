"""Int8 networks of edgeface-points: ranges that a few faces do not decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.compress.ranges import cover  # noqa: E402
from quantize.models import fuse  # noqa: E402
from quantize.points.model import SIZE, build_points  # noqa: E402
from quantize.points.networks import of_onnx  # noqa: E402
from quantize.points.onnx import export_points, face_ranges, quantize_points, with_rows  # noqa: E402


def test_a_face_of_huge_values_does_not_decide_the_ranges(tmp_path: Path) -> None:
    """One crop of 16 is black and white; the others are nearly grey, and their values a tenth of its."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    crops = rng.integers(122, 135, (16, SIZE, SIZE, 3)).astype(np.uint8)
    crops[0] = rng.choice([0, 255], (SIZE // 8, SIZE // 8, 3)).repeat(8, 0).repeat(8, 1)
    export_points(fuse(build_points("edgeface-points-small")), tmp_path / "maps.onnx")
    with_rows(tmp_path / "maps.onnx", tmp_path / "float32.onnx")
    ranges = face_ranges(tmp_path / "maps.onnx", crops)
    real = of_onnx(tmp_path / "float32.onnx")(crops[1:])["state"]
    lost = {}
    for share in (0.9, 1.0):
        quantize_points(tmp_path / "maps.onnx", tmp_path / "int8-maps.onnx", crops[:4], [], cover(ranges, share))
        with_rows(tmp_path / "int8-maps.onnx", tmp_path / "int8.onnx")
        lost[share] = np.abs(of_onnx(tmp_path / "int8.onnx")(crops[1:])["state"] - real).mean() / real.std()
    assert lost[0.9] < 0.1 and lost[0.9] < lost[1.0] / 4
