"""Equalised channels: the same float function, more even ranges."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.compress.calibration import as_real  # noqa: E402
from quantize.compress.equalisation import MOST, equalise  # noqa: E402
from quantize.models import Student, build_student  # noqa: E402


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_equalised_channels_compute_the_same(model: Student, images: np.ndarray, strength: float) -> None:
    even = equalise(copy.deepcopy(model), images, strength)
    x = torch.from_numpy(as_real(images))
    with torch.no_grad():
        for a, b in zip(model(x), even(x), strict=True):
            assert torch.allclose(a, b, atol=1e-3 * float(a.abs().max()))
        before, after = (m.stem[0](x).amax((0, 2, 3)) for m in (model, even))
    alive = before > before.max() / MOST
    spread = [float((t[alive].max() / t[alive].min()).log()) for t in (before, after)]
    assert spread[1] == pytest.approx(spread[0] * (1 - strength), abs=0.01)


def test_equalise_refuses(model: Student, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="strength must be in 0 to 1"):
        equalise(model, images, 1.5)
    with pytest.raises(ValueError, match="batch norm folded"):
        equalise(build_student("edgeface-n"), images)
