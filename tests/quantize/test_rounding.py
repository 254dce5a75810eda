"""Weights rounded together: on the grid that exporters find again, and better than each by itself."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from torch import nn  # noqa: E402

from quantize.models import build_student, fuse# noqa: E402
from quantize.compress.rounding import SPREAD, _rounded, round_weights, rounded_result  # noqa: E402


def nearest(weight: torch.Tensor) -> torch.Tensor:
    step = weight.abs().amax((1, 2, 3), keepdim=True) / 127
    return (weight / step).round() * step


@pytest.mark.parametrize("groups", [1, 6])
def test_what_one_weight_loses_the_others_make_up_for(groups: int) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(6, 6 // groups, 3, 3, generator=generator)
    size = weight[0].numel()
    common = torch.randn(4000, groups, 1, generator=generator)  # inputs that go together
    x = (common + 0.1 * torch.randn(4000, groups, size, generator=generator)).transpose(0, 1).double()
    moments = x.transpose(1, 2) @ x / 4000
    together = _rounded(weight, moments, 41)

    def error(rounded: torch.Tensor) -> float:
        lost = (rounded - weight).reshape(groups, -1, size).double()
        return float((x @ lost.transpose(1, 2)).square().mean())

    assert error(together) < 0.3 * error(nearest(weight))
    assert torch.allclose(nearest(together), together, atol=1e-7)  # whoever rounds again changes nothing
    assert torch.allclose(together.abs().amax((1, 2, 3)), weight.abs().amax((1, 2, 3)), rtol=SPREAD + 1e-5)
    of_one_grid = _rounded(weight, moments, 1)
    assert torch.allclose(of_one_grid.abs().amax((1, 2, 3)), weight.abs().amax((1, 2, 3)))
    assert error(together) < 0.9 * error(of_one_grid)


def test_two_weights_by_hand() -> None:
    """The same input twice: .4 steps up here are taken back there. The first weight fixes a step of 1."""
    weight = torch.tensor([127.0, 10.4, 20.4]).reshape(1, 3, 1, 1)
    moments = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 1, 1]]]).double()
    assert _rounded(weight, moments, 1).flatten().tolist() == [127, 10, 21]
    assert nearest(weight).flatten().tolist() == [127, 10, 20]


def test_a_student_stays_close_and_its_float_self_as_it_was() -> None:
    torch.manual_seed(0)
    model = fuse(build_student("n"))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), dtype=np.uint8)
    rounded = round_weights(model, [images, images[:2, :32, :32]])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in rounded.modules())
    for m in rounded.modules():
        if isinstance(m, nn.Conv2d):
            assert torch.allclose(nearest(m.weight), m.weight, atol=1e-6)
    x = torch.from_numpy((images.astype(np.float32) - 128) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        for a, b in zip(model(x), rounded(x), strict=True):
            scale = a.std()
            assert (a - b).square().mean().sqrt() < 0.2 * scale
    again = round_weights(model, [images, images[:2, :32, :32]]).state_dict()
    assert all(torch.equal(v, again[k]) for k, v in rounded.state_dict().items())


def test_what_cannot_be_rounded_is_refused() -> None:
    images = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="batch norm folded"):
        round_weights(build_student("n"), [images])
    with pytest.raises(ValueError, match="must be calibration photos"):
        round_weights(fuse(build_student("n")), [images[:0]])
    for grids in (0, 2):
        with pytest.raises(ValueError, match="grids must be an odd number"):
            round_weights(fuse(build_student("n")), [images], grids=grids)


def test_results_by_hand() -> None:
    value = torch.tensor([-1.0, 0.0, 0.003, 1.55])
    rounded = rounded_result(nn.Identity(), None, value)
    assert torch.allclose(rounded, torch.tensor([-1.0, 0.0, 0.0, 1.55]), atol=1e-6)  # 255 steps of .01
