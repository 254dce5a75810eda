"""The report by layer names the layer that eight bits ruin."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.compress.report import sensitivities  # noqa: E402
from quantize.models import Student  # noqa: E402


def test_a_layer_that_eight_bits_ruin_is_the_worst(model: Student, images: np.ndarray) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        weight = broken.stage16[1][0].weight  # type: ignore[index,union-attr]
        weight[:, 0, 0, 0] = 300 * weight.abs().max()  # the other taps fall between two steps of one channel's scale
    before = {k: v.clone() for k, v in broken.state_dict().items()}
    decibels = sensitivities(broken, images)
    assert all(torch.equal(v, before[k]) for k, v in broken.state_dict().items())
    plain = sensitivities(model, images)
    assert decibels.keys() == plain.keys()
    assert decibels["stage16.1.0"] < plain["stage16.1.0"]
