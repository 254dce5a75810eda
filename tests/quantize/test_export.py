"""Channel scales, ONNX files and what eight bits do to them, on an untrained student."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from quantize import calibration, ranges  # noqa: E402
from quantize.compress.equalisation import MOST, equalise  # noqa: E402
from quantize.models import ROTATION, STRIDES, Student, build_student, fuse# noqa: E402
from quantize.export.onnx import convolutions, export_float, quantize_onnx  # noqa: E402
from quantize.compress.accuracy import sensitivities  # noqa: E402


@pytest.fixture(scope="module")
def model() -> Student:
    torch.manual_seed(0)
    student = build_student("n")
    with torch.no_grad():
        for head in student.heads:
            head.weight.mul_(8)  # type: ignore[operator,union-attr]
            head.bias[0] = 0  # type: ignore[index]  # half of the cells are relevant
    return fuse(student)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3)).astype(np.uint8)


def test_folded_scales_come_back(model: Student, images: np.ndarray) -> None:
    scales = calibration.channel_scales(model, images)
    folded = calibration.fold_scales(copy.deepcopy(model), scales)
    x = torch.from_numpy(calibration.as_real(images))
    with torch.no_grad():
        for stride, real, stored in zip(STRIDES, model(x), folded(x), strict=True):
            s = torch.from_numpy(scales[stride])[None, :, None, None]
            assert torch.allclose(stored * s, real, atol=1e-4)
            relevant = (real[:, 0] > np.log(0.1 / 0.9))[:, None].expand_as(stored)
            assert float((stored[relevant].abs() <= 1.0).float().mean()) > 0.99
    # a face that fills the largest input is not cut off, whatever the photos showed
    assert (scales[32][4:6] >= np.log(640 / 32) - 1e-6).all()
    both = calibration.channel_scales(model, images, images[:, :32, :32])
    small = calibration.channel_scales(model, images[:, :32, :32])
    assert all(np.array_equal(both[s], np.maximum(scales[s], small[s])) for s in STRIDES)
    assert all(s[0] <= calibration.LOGIT_LIMIT and len(set(s[6:16])) == 1 for s in scales.values())


def test_shifted_scores_keep_their_order(model: Student, images: np.ndarray) -> None:
    shifted = calibration.shift_scores(copy.deepcopy(model), -0.2)
    x = torch.from_numpy(calibration.as_real(images))
    with torch.no_grad():
        for before, after in zip(model(x), shifted(x), strict=True):
            assert torch.allclose(after[:, 0], before[:, 0] - 0.2, atol=1e-5)
            assert torch.equal(after[:, 1:], before[:, 1:])


def test_leaning_scores_grow_with_the_box_and_nothing_else_moves(model: Student, images: np.ndarray) -> None:
    leaning = calibration.lean_scores(copy.deepcopy(model), 0.3)
    x = torch.from_numpy(calibration.as_real(images))
    with torch.no_grad():
        for before, after, stride in zip(model(x), leaning(x), STRIDES, strict=True):
            sides = stride * before[:, 4:6].exp()
            octaves = (sides.prod(1).sqrt() / 32).log2()
            assert torch.allclose(after[:, 0], before[:, 0] + 0.3 * octaves, atol=1e-4)
            assert torch.equal(after[:, 1:], before[:, 1:])


def test_shifted_boxes_keep_their_size_and_all_else(model: Student, images: np.ndarray) -> None:
    shift = [[-0.04, 0.02], [0.0, 0.0], [0.5, -1.0]]
    shifted = calibration.shift_boxes(copy.deepcopy(model), shift)
    x = torch.from_numpy(calibration.as_real(images))
    with torch.no_grad():
        for before, after, by in zip(model(x), shifted(x), shift, strict=True):
            assert torch.allclose(after[:, 2:4] - before[:, 2:4], torch.tensor(by).view(1, 2, 1, 1), atol=1e-5)
            assert torch.equal(after[:, :2], before[:, :2])
            assert torch.equal(after[:, 4:], before[:, 4:])
    with pytest.raises(ValueError, match="shorter"):
        calibration.shift_boxes(copy.deepcopy(model), shift[:2])


def test_boxes_of_turned_faces_move_to_where_these_look(model: Student, images: np.ndarray) -> None:
    moved = calibration.shift_turned_boxes(copy.deepcopy(model), 0.2)
    x = torch.from_numpy(calibration.as_real(images))
    with torch.no_grad():
        for before, after in zip(model(x), moved(x), strict=True):
            assert torch.allclose(after[:, 2], before[:, 2] + 0.2 * before[:, 18], atol=1e-5)
            rest = [c for c in range(22) if c != 2]
            assert torch.equal(after[:, rest], before[:, rest])


def test_a_head_that_looks_to_the_right_says_so() -> None:
    """Of the rotation's first column the z is how far the nose, which is -z of the head, points to the right."""
    from edgeface.angles import angles_to_rotation

    six = np.zeros(22)
    for angles in ([-60.0, 5.0, 0.0], [0.0, 0.0, 0.0], [60.0, 0.0, 10.0]):
        rotation = angles_to_rotation(angles)
        six[ROTATION] = rotation[:, :2].T.ravel()
        nose = -rotation[:, 2]
        assert six[calibration.LOOKS_RIGHT] == pytest.approx(nose[0], abs=0.1)


@pytest.mark.parametrize(
    ("float_outputs", "kept"), [(True, 0), (False, 0), (True, 1), (True, 4)], ids=["", "rounded", "first", "four float"]
)
def test_int8_network_takes_bytes_of_any_size(
    model: Student, images: np.ndarray, tmp_path: Path, float_outputs: bool, kept: int
) -> None:
    """Also where accuracy control has left the first layers in float."""
    folded = calibration.fold_scales(copy.deepcopy(model), calibration.channel_scales(model, images))
    export_float(folded, tmp_path / "f.onnx")
    keep = convolutions(tmp_path / "f.onnx")[:kept]
    quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [images], keep_float=keep, float_outputs=float_outputs)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(str(tmp_path / "q.onnx"), options)
    assert [(i.name, i.type) for i in session.get_inputs()] == [("image", "tensor(uint8)")]
    pixels = np.random.default_rng(1).integers(0, 256, (1, 240, 320, 3)).astype(np.uint8)
    outputs = session.run(None, {"image": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))})
    assert [o.shape for o in outputs] == [(1, 22, 30, 40), (1, 22, 15, 20), (1, 22, 8, 10)]
    with torch.no_grad():
        real = folded(torch.from_numpy(calibration.as_real(pixels)))
    for o, r in zip(outputs, real, strict=True):
        assert o.dtype == np.float32
        assert np.abs(o - r.numpy().clip(-1, 1) if not float_outputs else o - r.numpy()).mean() < 0.05
    rounded = [len(np.unique(o)) <= 256 for o in outputs]
    assert all(rounded) != float_outputs


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_equalised_channels_compute_the_same(model: Student, images: np.ndarray, strength: float) -> None:
    even = equalise(copy.deepcopy(model), images, strength)
    x = torch.from_numpy(calibration.as_real(images))
    with torch.no_grad():
        for a, b in zip(model(x), even(x), strict=True):
            assert torch.allclose(a, b, atol=1e-3 * float(a.abs().max()))
        before, after = (m.stem[0](x).amax((0, 2, 3)) for m in (model, even))
    alive = before > before.max() / MOST
    spread = [float((t[alive].max() / t[alive].min()).log()) for t in (before, after)]
    assert spread[1] == pytest.approx(spread[0] * (1 - strength), abs=0.01)


def test_equalise_refuses(model: Student, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="strength must be in 0 to 1"):
        equalise(model, images, 1.5)
    with pytest.raises(ValueError, match="batch norm folded"):
        equalise(build_student("n"), images)


def test_a_range_leaves_out_the_outlier_of_one_photo_but_no_kind_of_photo() -> None:
    def of_photos(highest: list[float]) -> dict[str, dict[str, np.ndarray]]:
        entry: dict[str, np.ndarray] = {"min": np.float32([0]), "max": np.float32([highest[0]])}
        for value in highest[1:]:
            entry = ranges.beside(entry, {"min": np.float32([-value]), "max": np.float32([value])})
        return {"value": entry, "weight": {"min": np.float32([-2, -3]), "max": np.float32([1, 9])}}

    usual, filled = of_photos([1.0] * 20 + [50.0]), of_photos([4.0, 4.0, 4.0])
    assert ranges.cover(usual, 1.0)["value"]["max"] == 50 and ranges.cover(usual, 0.9)["value"]["max"] == 1
    found = ranges.widest([ranges.cover(usual, 0.9), ranges.cover(filled, 0.9)])
    assert found["value"]["max"].tolist() == [4] and found["value"]["min"].tolist() == [-4]
    assert found["weight"]["max"].tolist() == [1, 9]  # of every channel, as it was
    one = of_photos([7.0])
    assert ranges.cover(one, 0.9)["value"]["max"].tolist() == [7]
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share of the photos must be above 0 and at most 1"):
            ranges.cover(one, share)


def test_the_same_weights_give_the_same_bytes(model: Student, images: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_float(model, tmp_path / f"{name}.onnx")
        quantize_onnx(tmp_path / f"{name}.onnx", tmp_path / f"{name}8.onnx", [images])
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a8.onnx").read_bytes() == (tmp_path / "b8.onnx").read_bytes()


def test_a_layer_that_eight_bits_ruin_is_the_worst(model: Student, images: np.ndarray) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        weight = broken.stage16[1].depthwise[0].weight  # type: ignore[index,union-attr]
        weight[:, 0, 0, 0] = 300 * weight.abs().max()  # the other taps fall between two steps of one channel's scale
    before = {k: v.clone() for k, v in broken.state_dict().items()}
    decibels = sensitivities(broken, images)
    assert all(torch.equal(v, before[k]) for k, v in broken.state_dict().items())
    plain = sensitivities(model, images)
    assert decibels.keys() == plain.keys()
    assert decibels["stage16.1.depthwise.0"] < plain["stage16.1.depthwise.0"]
