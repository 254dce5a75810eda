"""Losses of edgeface-points, by hand values."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

import torch

from quantize.points.config import PointsLossOptions
from quantize.points.losses import LEAST_SPREAD, Guides, PointsLosses, kd_points, laplace, wing
from quantize.points.metrics import auc, failure_rate, nme
from quantize.points.model import OUTPUTS, build_points
from quantize.points.views import Batch


def test_laplace_is_the_sum_of_both_coordinates() -> None:
    points, truth = torch.zeros(1, 1, 2), torch.tensor([[[0.02, -0.01]]])
    got = laplace(points, torch.full((1, 1), math.log(0.01)), truth)
    assert got.item() == pytest.approx(3 + 2 * math.log(0.02), abs=1e-5)


def test_laplace_is_least_where_the_spread_is_the_mean_error() -> None:
    points, truth = torch.zeros(1, 1, 2), torch.full((1, 1, 2), 0.03)
    losses = [laplace(points, torch.full((1, 1), math.log(b)), truth).item() for b in (0.02, 0.03, 0.045)]
    assert losses[1] == min(losses)


def test_a_spread_below_the_least_gains_nothing() -> None:
    zero = torch.zeros(1, 1, 2)
    at, below = (laplace(zero, torch.full((1, 1), LEAST_SPREAD + d), zero).item() for d in (0.0, -5.0))
    assert at == below


def test_wing_by_hand() -> None:
    truth = torch.zeros(1, 1, 2)
    small, large = (wing(torch.tensor([[[e, 0.0]]]), truth).item() for e in (0.02, 0.3))
    assert small == pytest.approx(0.1 * math.log(2), abs=1e-6)
    assert large == pytest.approx(0.3 - (0.1 - 0.1 * math.log1p(5)), abs=1e-6)


def test_kd_loss_pulls_in_beyond_the_teachers_and_is_nothing_at_the_truth() -> None:
    truth = torch.zeros(1, 1, 2)
    teacher = torch.full((1, 1, 2), 0.1)
    assert kd_points(truth, truth, teacher, teacher).item() == 0
    # one coordinate at .2: main 2·(.04 + .3 − .01), reflected teachers at .1: 1.9·.1 and 1.8·.1
    one = kd_points(torch.tensor([[[0.2, 0.0]]]), truth, teacher, teacher).item()
    assert one == pytest.approx(2 * (0.04 + 0.3 - 0.01) + 0.19 + 0.18, abs=1e-6)


def outputs_of(points: torch.Tensor) -> tuple[torch.Tensor, ...]:
    n = len(points)
    made = {name: torch.zeros(n, length, 1, 1) for name, length in OUTPUTS.items()}
    made["points"] = points.reshape(n, 136, 1, 1)
    return tuple(made.values())


def test_unknown_states_and_weightless_points_teach_nothing() -> None:
    truth = torch.zeros(2, 68, 2)
    state = torch.full((2, 9), float("nan"))
    weight = torch.ones(2, 68)
    weight[1] = 0
    batch = Batch(truth, torch.zeros(2, 68), torch.ones(2, 68), weight, state)
    wrong = torch.zeros(2, 68, 2)
    wrong[1] = 0.4
    losses = PointsLosses(PointsLossOptions())
    _, terms = losses(outputs_of(wrong), batch)
    assert terms["distance"] == 0 and terms["state"] == terms["openness"] == 0
    state[0, 2] = 1.0
    terms = losses(outputs_of(wrong), batch)[1]
    assert terms["openness"].item() == pytest.approx(math.log(2), abs=1e-6) and terms["state"] == 0
    state[0, 2], state[1, 5] = float("nan"), 1.0
    terms = losses(outputs_of(wrong), batch)[1]
    assert terms["state"].item() == pytest.approx(math.log(2), abs=1e-6) and terms["openness"] == 0


def test_teachers_take_the_place_of_the_distance() -> None:
    truth = torch.zeros(1, 68, 2)
    batch = Batch(truth, torch.zeros(1, 68), torch.ones(1, 68), torch.ones(1, 68), torch.zeros(1, 9))
    losses = PointsLosses(PointsLossOptions(teachers=5.0))
    _, terms = losses(outputs_of(truth), batch, Guides(truth, truth))
    assert "distance" not in terms and terms["teachers"] == 0


def test_figures_by_hand() -> None:
    truth = np.zeros((1, 68, 2))
    truth[:, 45] = [50, 0]
    found = truth + np.array([3, 4])
    assert nme(found, truth)[0] == pytest.approx(10)
    errors = np.array([2.0, 6.0, 10.0, np.nan])
    assert failure_rate(errors) == 0.5  # a face without points is a failure
    assert auc(errors) == pytest.approx((6 + 2) / 8 / 4)


def test_the_network_keeps_its_budget_of_parameters_and_begins_with_a_face() -> None:
    model = build_points("edgeface-points").eval()
    assert sum(p.numel() for p in model.parameters()) <= 400_000
    points = model(torch.zeros(1, 3, 112, 112))[0].reshape(68, 2)
    assert points[:17, 1].argmax() == 8  # the chin is lowest
    assert points[36, 0] < 0 < points[45, 0]
