"""Means of checkpoints."""

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.model import LANDMARKS, build_student, checkpoint_of, fuse, grow, load_student  # noqa: E402
from quantize.soup import mean, mean_checkpoint  # noqa: E402


def test_the_mean_of_two_by_hand() -> None:
    torch.manual_seed(0)
    a, b = fuse(build_student("n")), fuse(build_student("n"))
    wanted = {k: (v + b.state_dict()[k]) / 2 for k, v in a.state_dict().items()}
    got = mean([copy.deepcopy(a), copy.deepcopy(b)]).state_dict()
    assert wanted.keys() == got.keys()
    assert all(torch.allclose(wanted[k], v, atol=1e-7) for k, v in got.items())


def test_landmarks_of_one_are_kept() -> None:
    torch.manual_seed(0)
    a, b = fuse(build_student("n")).eval(), fuse(build_student("n")).eval()
    got = mean([copy.deepcopy(a), copy.deepcopy(b)], landmarks=1).state_dict()
    half = mean([copy.deepcopy(a), copy.deepcopy(b)]).state_dict()
    for k, v in got.items():
        head = k.startswith("heads.")
        kept = b.state_dict()[k]
        for row in range(len(v)) if head else ():
            wanted = kept if row in range(22)[LANDMARKS] else half[k]
            assert torch.equal(v[row], wanted[row]), (k, row)
            assert not torch.equal(kept[row], half[k][row]) or k.endswith("bias")
        assert head or torch.equal(v, half[k])


def test_a_block_that_one_lacks_counts_as_nothing() -> None:
    torch.manual_seed(0)
    small = fuse(build_student("n"))
    large = grow(copy.deepcopy(small), (4, 2, 3))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for stage in (large.stage8, large.stage32):
            stage[-1].pointwise[0].weight.normal_()
        half = copy.deepcopy(large)
        for stage in (half.stage8, half.stage32):
            stage[-1].pointwise[0].weight.mul_(0.5)
            stage[-1].pointwise[0].bias.mul_(0.5)
        for order in ([small, large], [large, small]):
            got = mean([copy.deepcopy(m) for m in order])
            assert got.config.depths == (4, 2, 3)
            assert all(torch.allclose(p, q, atol=1e-5) for p, q in zip(got(x), half(x), strict=True))
            assert not all(torch.allclose(p, q, atol=1e-3) for p, q in zip(got(x), small(x), strict=True))


def test_batch_norm_is_folded_before() -> None:
    torch.manual_seed(0)
    small = build_student("n").eval()
    large = grow(copy.deepcopy(small), (4, 2, 2)).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = small(x)
        for order in ([small, large], [large, small]):
            got = mean([copy.deepcopy(m) for m in order])
            assert all(torch.allclose(p, q, atol=1e-4) for p, q in zip(got(x), wanted, strict=True))


def test_a_checkpoint_says_what_it_is_the_mean_of(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name in ("a.pt", "b.pt"):
        torch.save(checkpoint_of(build_student("n")), tmp_path / name)
    state = mean_checkpoint([tmp_path / "a.pt", tmp_path / "b.pt"])
    assert [text.split(" sha256:")[0] for text in state["mean_of"]] == ["a.pt", "b.pt"]
    kept = mean_checkpoint([tmp_path / "a.pt", tmp_path / "b.pt"], tmp_path / "b.pt")["mean_of"]
    assert kept == [state["mean_of"][0], state["mean_of"][1] + " (whose landmarks are kept)"]
    torch.save(state, tmp_path / "mean.pt")
    assert load_student(tmp_path / "mean.pt").config == build_student("n").config


def test_what_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="models of one kind"):
        mean([])
    with pytest.raises(ValueError, match="models of one kind"):
        mean([build_student("n"), build_student("s")])
    with pytest.raises(ValueError, match=r"landmarks must be of one of the checkpoints, but got c\.pt"):
        mean_checkpoint([Path("a.pt")], Path("c.pt"))
