"""A trained student that gets more blocks computes what it did until they learn."""

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.model import build_student, checkpoint_of, fuse, grow, load_student  # noqa: E402


@pytest.mark.parametrize("folded", [False, True])
def test_a_grown_student_begins_as_it_was_and_learns(folded: bool) -> None:
    torch.manual_seed(0)
    small = build_student("n").eval()
    if folded:
        fuse(small)
    x = torch.randn(2, 3, 64, 96)
    before = small(x)
    grown = grow(copy.deepcopy(small), (4, 3, 3))
    assert all(torch.equal(a, b) for a, b in zip(before, grown.eval()(x), strict=True))
    assert grown.config.depths == (4, 3, 3)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in grown.modules()) != folded
    sum(level.square().sum() for level in grown.train()(x)).backward()
    assert all(
        float(s[-1].pointwise[0 if folded else 1].weight.grad.abs().max()) > 0 for s in (grown.stage8, grown.stage32)
    )
    with pytest.raises(ValueError, match="depths must be three"):
        grow(grown, (3, 3, 3))
    with pytest.raises(ValueError, match="depths must be three"):
        grow(grown, (4, 3))


def test_a_grown_checkpoint_comes_back(tmp_path: Path) -> None:
    grown = grow(fuse(build_student("n")), (3, 2, 3))
    torch.save(checkpoint_of(grown), tmp_path / "grown.pt")
    again = load_student(tmp_path / "grown.pt")
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(grown.eval()(x), again(x), strict=True))
