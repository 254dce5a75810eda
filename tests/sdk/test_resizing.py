"""Networks of other input sizes: the same numbers where the borders are far, and clear errors for anything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeface import FaceEngine
from edgeface.bundle import Bundle, bundled_models, write_bundle
from edgeface.cli.app import main
from edgeface.errors import BundleError, InvalidInputError, RuntimeUnavailableError
from edgeface.images import read_image
from edgeface.manifest import DECODE_RULE
from edgeface.resizing import resize_bundle, resize_network

interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")

ROOT = Path(__file__).parents[2]
INT8 = [name for name in bundled_models(DECODE_RULE) if not name.endswith("float32")]


def _network(name: str, size: tuple[int, int]) -> bytes:
    bundle = Bundle.find(name)
    return next(bundle.read(m) for m in bundle.manifest.models if m.format == "tflite" and m.size == size)


def _run(network: bytes, image: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """Outputs by rising stride, (h, w, 22) each."""
    opened = interpreter.Interpreter(model_content=network, num_threads=1)
    opened.allocate_tensors()
    opened.set_tensor(opened.get_input_details()[0]["index"], image[None])
    opened.invoke()
    outputs = [opened.get_tensor(d["index"])[0].copy() for d in opened.get_output_details()]
    return sorted(outputs, key=lambda o: -o.size)


@pytest.mark.parametrize("name", INT8)
def test_what_is_far_from_the_new_border_is_the_same_to_the_bit(name: str) -> None:
    image = np.random.default_rng(1).integers(-128, 128, (640, 640, 3), np.int8)
    network = _network(name, (640, 480))
    old, new = _run(network, image[:480]), _run(resize_network(network, (640, 640)), image)
    assert [o.shape[:2] for o in new] == [(80, 80), (40, 40), (20, 20)]
    for before, after, rows in zip(old, new, (24, 12, 6), strict=True):
        np.testing.assert_array_equal(after[:rows], before[:rows])
        assert (after[: len(before)] != before).any(), "rows at the old border see what is below it now"


@pytest.mark.parametrize("name", INT8)
def test_there_and_back_is_the_same_file(name: str) -> None:
    network = _network(name, (320, 320))
    wide = resize_network(network, (416, 96))
    assert len(wide) == len(network)
    assert wide != network
    assert resize_network(wide, (320, 320)) == network


@pytest.mark.parametrize("size", [(320, 240), (0, 320), (-32, 32), (33, 32), (8224, 32), (32, 1 << 40)])
def test_sides_that_do_not_fit_are_refused(size: tuple[int, int], tmp_path: Path) -> None:
    wanted = r"size must be \(width, height\), multiples of 32 from 32 to 8192, but got"
    with pytest.raises(InvalidInputError, match=wanted):
        resize_network(b"", size)
    with pytest.raises(InvalidInputError, match=wanted):
        resize_bundle(Bundle.find("edgeface-n"), [(64, 64), (size[0], size[1] + 1)], tmp_path / "x.efm")
    assert not list(tmp_path.iterdir())


def test_a_network_of_half_cells_is_taken_too() -> None:
    """240 rows are seven and a half of stride 32, so what is enlarged from them is cropped in the network."""
    image = np.random.default_rng(2).integers(-128, 128, (320, 320, 3), np.int8)
    own = _run(_network("edgeface-n", (320, 320)), image)
    resized = _run(resize_network(_network("edgeface-n", (320, 240)), (320, 320)), image)
    for a, b in zip(own, resized, strict=True):  # the same weights; ranges were taken at another size
        assert np.abs(a.astype(int) - b).mean() < 1
    other = np.random.default_rng(3).integers(-128, 128, (320, 320, 3), np.int8)
    for a, b in zip(own, _run(_network("edgeface-n", (320, 320)), other), strict=True):
        assert np.abs(a.astype(int) - b).mean() > 2, "which says that the figure above is small"


def test_shapes_that_do_not_follow_from_the_image_are_refused() -> None:
    from ai_edge_litert import schema_py_generated as schema

    network = bytearray(_network("edgeface-n", (320, 320)))
    graph = schema.Model.GetRootAs(network, 0).Subgraphs(0)
    graph.Tensors(graph.Operators(3).Outputs(0)).ShapeAsNumpy()[1] += 1
    with pytest.raises(BundleError, match="shapes that follow from its input's"):
        resize_network(bytes(network), (64, 64))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 255)), max_size=8), st.integers(0, 200_000), st.booleans()
)
def test_damaged_files_give_errors_of_ours(changes: list[tuple[int, int]], length: int, cut: bool) -> None:
    """The tables lie among the first and the last of the bytes."""
    network = bytearray(_network("edgeface-n", (320, 320)))
    for at, value in changes:
        network[-at - 1 if at % 2 else at // 2] = value
    try:
        resized = resize_network(bytes(network[:length] if cut else network), (352, 224))
    except BundleError:
        return
    assert len(resized) == len(network[:length] if cut else network)


def test_a_bundle_of_more_sizes_runs_at_them(tmp_path: Path) -> None:
    path = resize_bundle(Bundle.find("edgeface-s"), [(320, 192), (320, 320), (320, 192)], tmp_path / "new" / "wide.efm")
    old, new = Bundle.find("edgeface-s"), Bundle.open(path)
    added = [m for m in new.manifest.models if m not in old.manifest.models]
    assert [(m.file, m.size) for m in added] == [("edgeface-s-int8-320x192.tflite", (320, 192))]
    assert set(old.manifest.models) < set(new.manifest.models)
    assert new.manifest.sizes == (*old.manifest.sizes, (320, 192))
    assert new.manifest.calibration["resized"] == {"320x192": "edgeface-s-int8-320x240.tflite"}
    image = read_image(ROOT / "examples" / "astronaut.jpg")
    found = {}
    for runtime in ("litert", "onnxruntime"):
        with FaceEngine(path, size=(320, 192), runtime=runtime) as engine:
            found[runtime] = engine.detect(image, "bgr")
    assert len(found["litert"]) == len(found["onnxruntime"]) == 1
    assert found["litert"].scores[0] == pytest.approx(found["onnxruntime"].scores[0], abs=0.1)
    side = np.sqrt(found["litert"].widths * found["litert"].heights)[0]
    assert np.abs(found["litert"].boxes - found["onnxruntime"].boxes).max() < 0.05 * side
    assert np.abs(found["litert"].landmarks - found["onnxruntime"].landmarks).max() < 0.05 * side


def test_a_bundle_without_such_a_network_is_refused(tmp_path: Path) -> None:
    bundle = Bundle.find("edgeface-n")
    onnx = tuple(m for m in bundle.manifest.models if m.format == "onnx")
    path = tmp_path / "onnx.efm"
    write_bundle(path, replace(bundle.manifest, models=onnx), {m.file: bundle.read(m) for m in onnx})
    with pytest.raises(BundleError, match="edgeface-n has none"):
        resize_bundle(Bundle.open(path), [(64, 64)], tmp_path / "x.efm")
    assert not (tmp_path / "x.efm").exists()


def test_without_litert_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert", None)
    with pytest.raises(RuntimeUnavailableError, match="pip install ai-edge-litert"):
        resize_network(b"", (64, 64))


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.efm"
    assert main(["resize", "edgeface-n", "--size", "160x96", "--size", "96x96", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert {m.size for m in Bundle.open(out).manifest.models} >= {(160, 96), (96, 96), (320, 240)}
    assert main(["resize", "edgeface-n", "--size", "100x96", "--out", str(out)]) == 1
    assert "multiples of 32" in capsys.readouterr().err
    (tmp_path / "folder.efm").mkdir()
    assert main(["resize", "edgeface-n", "--size", "96x96", "--out", str(tmp_path / "folder.efm")]) == 1
    assert "must be written where files can be" in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"small.efm", "folder.efm"}, "no half of a file is left"


def test_sizes_may_be_of_any_kind_of_whole_numbers(tmp_path: Path) -> None:
    bundle = Bundle.find("edgeface-n")
    path = resize_bundle(bundle, [[64, 32], np.array([96, 64]), (np.int64(64), 32)], tmp_path / "x.efm")  # type: ignore[list-item]
    assert set(Bundle.open(path).manifest.sizes) - set(bundle.manifest.sizes) == {(64, 32), (96, 64)}
    for wrong in ((64, 32), ["64x32"], [(64,)], [(64.0, 32.0)], [(64, 32, 3)]):
        with pytest.raises(InvalidInputError, match=r"size must be \(width, height\)"):
            resize_bundle(bundle, wrong, tmp_path / "y.efm")  # type: ignore[arg-type]
