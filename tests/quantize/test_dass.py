"""The search for shapes (DASS): gates by hand, a cost that is known, and pruning that leaves the network what it
computes.
"""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from quantize.models import Architecture, Student  # noqa: E402
from quantize.train.methods.dass import (  # noqa: E402
    GROUP,
    GroupGates,
    LayerCosts,
    expected_cost,
    pruned,
    search_loss,
    with_gates,
)

SMALL = Architecture("8/2 16/2", "pool 24 16", "pool 16 16", "pool 24 16", "pool 24 32", 16)


def test_gate_values_are_those_of_the_formula():
    gates = GroupGates(16).eval()
    gates.logit.data = torch.tensor([0.0, -20.0])
    assert gates.values().tolist() == pytest.approx([0.5 * 1.2 - 0.1, 0.0])
    open_share = 1 / (1 + math.exp(-(0.0 - 2 / 3 * math.log(0.1 / 1.1))))
    assert gates.open_share()[0].item() == pytest.approx(open_share)


def test_training_draws_gates_and_their_mean_follows_the_open_share():
    torch.manual_seed(0)
    gates = GroupGates(GROUP).train()
    gates.logit.data = torch.tensor([0.3])
    opened = torch.stack([gates.values() for _ in range(4000)]) > 0
    assert opened.float().mean().item() == pytest.approx(gates.open_share().item(), abs=0.03)


def test_channels_must_be_whole_groups():
    with pytest.raises(ValueError, match="multiple of 8"):
        GroupGates(12)


def rows(stride):
    return [
        {
            "core": "cortex-a72",
            "stride": stride,
            "cin": i,
            "cout": o,
            "side": 10,
            "instructions": 100 * (3 + i + 2 * o + 0.5 * i * o),
        }
        for i in (8, 16, 32)
        for o in (8, 24)
    ]


def test_costs_are_those_of_the_table():
    costs = LayerCosts.of(rows(1) + rows(2), "cortex-a72")
    assert costs.cost(1, torch.tensor(16.0), torch.tensor(24.0), 100).item() == pytest.approx(
        100 * (3 + 16 + 48 + 192), rel=1e-4
    )
    with pytest.raises(ValueError, match="core must be one of cortex-a72"):
        LayerCosts.of(rows(1), "z80")
    with pytest.raises(ValueError, match="four shapes"):
        LayerCosts.of(rows(1)[:3], "cortex-a72")


def test_expected_cost_counts_open_channels():
    costs = LayerCosts({1: (0, 0, 0, 1), 2: (0, 0, 0, 1)})
    student = Student(SMALL)
    gated = with_gates(student)
    for g in gated:
        g.gates.logit.data.fill_(50.0)
    cells = [
        (32 * 32, 3 * 8),
        (16 * 16, 8 * 16),
        (64, 16 * 24),
        (64, 24 * 16),
        (16, 256),
        (16, 256),
        (4, 16 * 24),
        (4, 24 * 16),
    ]
    cells += [(4, 16 * 24), (4, 24 * 32)]
    assert expected_cost(student, costs, 64).item() == pytest.approx(sum(a * b for a, b in cells), rel=1e-4)
    gated[0].gates.logit.data.fill_(-50.0)
    assert expected_cost(student, costs, 64).item() == pytest.approx(sum(a * b for a, b in cells[2:]), rel=1e-4)


def test_gates_mind_the_budget_alone_when_it_is_broken():
    loss, cost = torch.tensor(2.0), torch.tensor(30.0)
    assert search_loss(loss, cost, 40.0, 5.0).item() == 2
    assert search_loss(loss, cost, 20.0, 5.0).item() == pytest.approx(2 + 5 * 0.5)


def test_pruned_students_compute_what_the_open_gates_did():
    torch.manual_seed(1)
    student = Student(SMALL).eval()
    gated = with_gates(student.eval())
    for g in gated:
        g.gates.eval()
        g.gates.logit.data = torch.where(torch.rand(len(g.gates.logit)) < 0.4, -50.0, 1.0)
    small = pruned(student).eval()
    x = torch.randn(1, 3, 64, 96)
    for a, b in zip(student(x), small(x), strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in student.parameters())
