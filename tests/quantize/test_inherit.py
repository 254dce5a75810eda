"""A student of another shape begins where a trained one ended."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.model import build_student, fuse  # noqa: E402
from quantize.train.inherit import foreign_parts, inherit  # noqa: E402
from quantize.train.mimic import features_apart  # noqa: E402


def test_the_backbone_learns_and_the_rest_is_copied() -> None:
    torch.manual_seed(1)
    old, new = fuse(build_student("thinned")), build_student("s")
    fresh = fuse(copy.deepcopy(new))
    assert foreign_parts(fresh, old) == ["stem", "stage8", "stage16", "units32"]
    views = torch.randn(2, 3, 64, 64)
    distances: list[float] = []
    before = copy.deepcopy(old.state_dict())
    model = inherit(new, old, (views for _ in range(150)), 150, report=lambda _, apart: distances.append(apart))
    with torch.no_grad():
        apart = features_apart(model.eval().backbone(views), old.backbone(views)).item()
    assert apart < 0.75 * distances[0]
    assert all(torch.equal(v, before[k]) for k, v in old.state_dict().items())
    for name, weight in model.state_dict().items():
        if name.split(".")[0] not in foreign_parts(fresh, old):
            assert torch.equal(weight, before[name]), name
    assert all(p.requires_grad for p in model.parameters())


def test_students_that_differ_elsewhere_are_refused() -> None:
    views = [torch.zeros(1, 3, 64, 64)]
    with pytest.raises(ValueError, match=r"must give \(32, 64, 96\) channels, but got \(64, 64, 64\)"):
        inherit(build_student("s"), build_student("n"), views, 1)
    other = build_student("thinned")
    other.heads[0] = torch.nn.Conv2d(64, 21, 1)
    with pytest.raises(ValueError, match="differ in their backbones alone, but heads differ as well"):
        inherit(build_student("s"), other, views, 1)
