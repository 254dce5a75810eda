"""Orthogonalised steps against what algebra says of them, and which weights get them."""

import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.config import LossOptions, OptimizerOptions  # noqa: E402
from quantize.models import build_student  # noqa: E402
from quantize.train.losses import Losses  # noqa: E402
from quantize.train.optimizers import Muon, optimizers_of, orthogonalised  # noqa: E402


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 20), (1, 20, 4)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    g = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 30
    u, s, vh = torch.linalg.svd(g, full_matrices=False)
    core = u.mT @ orthogonalised(g) @ vh.mT  # diagonal where the vectors are those of g
    values = core.diagonal(dim1=-2, dim2=-1)
    clear = s > 0.05 * s.norm(dim=-1, keepdim=True)  # five rounds do not lift those that were nearly nothing
    assert ((values > 0.6) & (values < 1.25))[clear].all()
    assert torch.allclose(core, torch.diag_embed(values), atol=1e-3)


def test_a_step_is_as_large_as_adams_whatever_the_gradient() -> None:
    for scale in (1e-6, 1e3):
        weight = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * scale
        optimizer = Muon([weight], lr=0.01, weight_decay=0.0)
        optimizer.step()
        assert weight.detach().pow(2).mean().sqrt().item() == pytest.approx(0.01 * 0.2, rel=0.15)
        assert (weight * weight.grad).sum() < 0  # downhill


def test_momentum_and_decay_by_hand() -> None:
    """For a single row orthogonalising is dividing by the norm, up to the iteration's factor for 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    factor = 1.0
    for _ in range(5):
        factor = a * factor + b * factor**3 + c * factor**5
    weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0]]))
    optimizer = Muon([weight], lr=0.1, weight_decay=0.5, momentum=0.9)
    weight.grad = torch.tensor([[3.0, 4.0]])
    optimizer.step()  # moment (.3, .4); update in the direction (.6, .8)
    rate = 0.1 * 0.2 * 2**0.5 * factor
    first = torch.tensor([[1.0, 2.0]]) * 0.95 - rate * torch.tensor([[0.6, 0.8]])
    assert torch.allclose(weight.detach(), first, atol=1e-6)
    weight.grad = torch.tensor([[-1.0, 0.0]])
    optimizer.step()  # moment .9 (.3, .4) − .1 (1, 0) = (.17, .36); update .9 of it + .1 of the gradient
    update = 0.9 * torch.tensor([[0.17, 0.36]]) + 0.1 * torch.tensor([[-1.0, 0.0]])
    assert torch.allclose(weight.detach(), first * 0.95 - rate * update / update.norm(), atol=1e-6)


@pytest.mark.parametrize("muon", [False, True])
def test_every_weight_has_one_optimizer(muon: bool) -> None:
    model, losses = build_student("edgeface-n"), Losses(LossOptions(), uncertainty=True)
    optimizers = optimizers_of(model, losses, OptimizerOptions(lr=1e-3, weight_decay=0.1, muon=muon))
    placed = [p for o in optimizers for g in o.param_groups for p in g["params"]]
    wanted = [*model.parameters(), *losses.parameters()]
    assert sorted(map(id, placed)) == sorted(map(id, wanted))
    assert len(optimizers) == 1 + muon
    if muon:
        orthogonal = {id(p) for g in optimizers[1].param_groups for p in g["params"]}
        names = {n for n, p in model.named_parameters() if id(p) in orthogonal}
        assert "stem.0.0.weight" in names
        assert "lateral8.pointwise.0.weight" in names
        assert not any("heads" in n or "depthwise" in n or "bias" in n for n in names)
    decayed = {id(p) for o in optimizers for g in o.param_groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {id(p) for p in model.parameters() if p.dim() > 1}
