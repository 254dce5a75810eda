"""A trained student in another shape computes what it did, and its new weights learn."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.dense import Dense  # noqa: E402
from quantize.model import StudentConfig, bound, build_student, checkpoint_of, fuse, load_student, student_of  # noqa: E402
from quantize.reshape import reshape  # noqa: E402
from quantize.soup import mean  # noqa: E402
from quantize.thinned import Unit  # noqa: E402


@pytest.fixture
def old() -> Dense:
    torch.manual_seed(1)
    built = fuse(build_student("s"))
    for module in built.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.bias is not None
            torch.nn.init.normal_(module.bias, std=0.05)
    for head in built.heads:
        torch.nn.init.normal_(head.weight, std=0.3)  # type: ignore[arg-type]  # else no output would tell anything
    assert isinstance(built, Dense)
    return built


PHOTOS = torch.rand(3, 3, 160, 192, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_a_stem_convolution_more_changes_nothing_and_learns(old: Dense) -> None:
    new = reshape(old, replace(old.config, stem_dense=1), [PHOTOS])
    assert all(torch.equal(a, b) for a, b in zip(old(PHOTOS), new(PHOTOS), strict=True))
    sum(level.square().sum() for level in new.train()(PHOTOS)).backward()
    assert float(new.stem[2][0].weight.grad.abs().max()) > 0
    assert sum(p.numel() for p in new.parameters()) - sum(p.numel() for p in old.parameters()) == 32 * 32 * 9 + 32


@pytest.mark.parametrize(("name", "level"), [("towers.0", 0), ("towers.2", 2)])
def test_a_dense_unit_differs_at_the_border_alone(old: Dense, name: str, level: int) -> None:
    new = reshape(old, replace(old.config, dense_units=(name,)), [PHOTOS])
    for i, (a, b) in enumerate(zip(old(PHOTOS), new(PHOTOS), strict=True)):
        torch.testing.assert_close(a[..., 1:-1, 1:-1], b[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-5)
        assert torch.equal(a, b) == (i != level)
    kernels = new.get_submodule(name)[0].weight  # type: ignore[index]
    assert kernels.shape == (64, 64, 3, 3)


def test_units_of_every_place_become_dense(old: Dense) -> None:
    """Where the pointwise convolution adds nothing, a border is no different either."""
    names = ("lateral8", "lateral16", "lateral32", "towers.0", "towers.1", "towers.2")
    with torch.no_grad():
        for name in names:
            old.get_submodule(name).pointwise[0].bias.zero_()  # type: ignore[index,union-attr]
    new = reshape(
        reshape(old, replace(old.config, dense_units=names[:2]), [PHOTOS]),
        replace(old.config, dense_units=names),
        [PHOTOS],
    )
    assert not any(isinstance(module, Unit) for module in new.modules())
    for a, b in zip(old(PHOTOS), new(PHOTOS), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_channels_that_nobody_reads_go_first_and_what_is_constant_stays(old: Dense) -> None:
    with torch.no_grad():
        for reader in (old.join32, *(b.pointwise for b in old.stage32[1:])):
            reader[0].weight[:, 5:21] = 0  # type: ignore[index]
    new = reshape(old, replace(old.config, widths=(64, 64, 144)), [PHOTOS, PHOTOS[..., :96, :64]])
    for a, b in zip(old(PHOTOS), new(PHOTOS), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        constant = copy.deepcopy(old)
        constant.stage32[0].pointwise[0].weight[5:21] = 0  # type: ignore[index]
        constant.stage32[0].pointwise[0].bias[5:21] = 3  # type: ignore[index]
        for block in constant.stage32[1:]:
            block.pointwise[0].weight[5:21] = 0  # type: ignore[index]
            block.pointwise[0].bias[5:21] = 0  # type: ignore[index]
        constant.join32[0].weight[:, 5:21] = 1  # type: ignore[index]
    new = reshape(constant, replace(old.config, widths=(64, 64, 144)), [PHOTOS])
    for a, b in zip(constant(PHOTOS), new(PHOTOS), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_a_reshaped_checkpoint_comes_back_and_goes_into_means(old: Dense, tmp_path: Path) -> None:
    wanted = replace(old.config, stem_dense=1, dense_units=("lateral8", "towers.0"), widths=(64, 64, 112))
    new = reshape(old, wanted, [PHOTOS])
    torch.save(checkpoint_of(new), tmp_path / "new.pt")
    again = load_student(tmp_path / "new.pt")
    assert again.config == wanted and isinstance(again, Dense)
    both = mean([again, copy.deepcopy(new)])
    assert all(torch.equal(a, b) for a, b in zip(new(PHOTOS), both(PHOTOS), strict=True))
    with pytest.raises(ValueError, match="models of one kind"):
        mean([copy.deepcopy(new), old])


def test_a_bounded_student_stays_bounded(old: Dense) -> None:
    bounded = bound(copy.deepcopy(old))
    bounded.config = replace(old.config, bounded=True)
    assert isinstance(bounded, Dense)
    with torch.no_grad():
        bounded.stem[0][0].weight.mul_(30)
    new = reshape(bounded, replace(bounded.config, stem_dense=1), [])
    assert all(torch.equal(a, b) for a, b in zip(bounded(PHOTOS), new(PHOTOS), strict=True))


@pytest.mark.parametrize(
    "change",
    [{"stem_dense": -1}, {"widths": (64, 64, 176)}, {"depths": (2, 2, 3)}, {"trunk": "yunet"}, {"bounded": True}],
)
def test_what_cannot_be_had_is_refused(old: Dense, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="what is wanted must be"):
        reshape(old, replace(old.config, **change), [PHOTOS])  # type: ignore[arg-type]


def test_channels_cannot_be_compared_on_nothing(old: Dense) -> None:
    with pytest.raises(ValueError, match="there must be photos"):
        reshape(old, replace(old.config, widths=(64, 64, 144)), [])


def test_batch_norm_and_unknown_units_are_refused(old: Dense) -> None:
    fresh = build_student("s")
    assert isinstance(fresh, Dense)
    with pytest.raises(ValueError, match="must have its batch norm folded"):
        reshape(fresh, old.config, [PHOTOS])
    with pytest.raises(ValueError, match=r"dense_units must be of lateral8.*but got join32"):
        student_of(replace(old.config, dense_units=("join32",)))
    with pytest.raises(ValueError, match="trunk must be dense"):
        student_of(StudentConfig(stem_dense=1))
