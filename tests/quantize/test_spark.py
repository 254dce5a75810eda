"""Masked pre-training (SparK): what is hidden does not leak, and the loss is that of the paper, by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from quantize.models import build_student  # noqa: E402
from quantize.train.methods.spark import SparK, at, masked_norm, random_mask, reconstruction_loss  # noqa: E402


def test_of_each_view_the_same_number_of_patches_is_hidden():
    mask = random_mask(5, 7, 7, 0.6, torch.Generator().manual_seed(3))
    assert mask.shape == (5, 1, 7, 7)
    assert (1 - mask).flatten(1).sum(1).tolist() == [29.0] * 5  # round(.6 · 49)
    assert not torch.equal(mask[0], mask[1])


def test_hidden_pixels_change_no_feature():
    method = SparK(build_student("edgeface-n")).train()
    mask = random_mask(2, 4, 4, 0.6, torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 128, 128)
    other = torch.where(at(mask, x).bool(), x, torch.randn_like(x) * 50)
    for a, b in zip(method.features(x, mask), method.features(other, mask), strict=True):
        assert torch.equal(a, b)
        assert a[~at(mask, a).bool().expand_as(a)].abs().max() == 0
        assert a.abs().max() > 0


def test_visible_pixels_do():
    method = SparK(build_student("edgeface-n")).train()
    mask = random_mask(1, 4, 4, 0.6, torch.Generator().manual_seed(0))
    x = torch.randn(1, 3, 128, 128)
    other = x + at(mask, x) * torch.randn_like(x)
    assert not torch.equal(method.features(x, mask)[0], method.features(other, mask)[0])


def test_norm_takes_statistics_of_visible_positions():
    norm = torch.nn.BatchNorm2d(1, momentum=1.0).train()
    x = torch.tensor([[[[1.0, 3.0], [100.0, 100.0]]]])
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    y = masked_norm(x, mask, norm)
    assert norm.running_mean.item() == pytest.approx(2)
    assert norm.running_var.item() == pytest.approx(2)  # unbiased, of 1 and 3
    assert y.flatten().tolist() == pytest.approx([-1, 1, 0, 0], abs=1e-4)


def test_loss_is_that_of_hidden_patches_with_normalised_pixels():
    x = torch.zeros(1, 3, 32, 64)
    x[:, :, :, :32] = 7  # of the visible patch: does not count
    x[:, :, :16, 32:] = 2  # half of the hidden one is 2, half 0: normalised ±1
    mask = torch.tensor([[[[1.0, 0.0]]]])
    pred = torch.zeros_like(x)
    assert reconstruction_loss(pred, x, mask).item() == pytest.approx(1, abs=1e-3)
    pred[:, :, :16, 32:], pred[:, :, 16:, 32:] = 1, -1
    assert reconstruction_loss(pred, x, mask).item() == pytest.approx(0, abs=1e-3)


def test_it_learns():
    torch.manual_seed(0)
    method = SparK(build_student("edgeface-n"), width=16).train()
    optimizer = torch.optim.AdamW(method.parameters(), 3e-3)
    ramp = torch.linspace(-1, 1, 64)[None, None, None].expand(4, 3, 64, 64)
    mask = random_mask(4, 2, 2, 0.5, torch.Generator().manual_seed(1))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = method(ramp, mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
