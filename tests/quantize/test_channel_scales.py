"""Channel scales on an untrained student: folded in, they come back."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.compress.calibration import as_real  # noqa: E402
from quantize.compress.channel_scales import LOGIT_LIMIT, channel_scales, fold_scales, shift_scores  # noqa: E402
from quantize.models import STRIDES, Student  # noqa: E402


def test_folded_scales_come_back(model: Student, images: np.ndarray) -> None:
    scales = channel_scales(model, images)
    folded = fold_scales(copy.deepcopy(model), scales)
    x = torch.from_numpy(as_real(images))
    with torch.no_grad():
        for stride, real, stored in zip(STRIDES, model(x), folded(x), strict=True):
            s = torch.from_numpy(scales[stride])[None, :, None, None]
            assert torch.allclose(stored * s, real, atol=1e-4)
            relevant = (real[:, 0] > np.log(0.1 / 0.9))[:, None].expand_as(stored)
            assert float((stored[relevant].abs() <= 1.0).float().mean()) > 0.98
    # a face that fills the largest input is not cut off, whatever the photos showed
    assert (scales[32][4:6] >= np.log(640 / 32) - 1e-6).all()
    both = channel_scales(model, images, images[:, :32, :32])
    small = channel_scales(model, images[:, :32, :32])
    assert all(np.array_equal(both[s], np.maximum(scales[s], small[s])) for s in STRIDES)
    assert all(s[0] <= LOGIT_LIMIT and len(set(s[6:16])) == 1 for s in scales.values())


def test_shifted_scores_keep_their_order(model: Student, images: np.ndarray) -> None:
    shifted = shift_scores(copy.deepcopy(model), -0.2)
    x = torch.from_numpy(as_real(images))
    with torch.no_grad():
        for before, after in zip(model(x), shifted(x), strict=True):
            assert torch.allclose(after[:, 0], before[:, 0] - 0.2, atol=1e-5)
            assert torch.equal(after[:, 1:], before[:, 1:])
