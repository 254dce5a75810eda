import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import tiny

from edgeface.affinity import checked_cpus, pinned
from edgeface.batch import detect_files
from edgeface.engine import FaceEngine
from edgeface.errors import ImageError, InvalidInputError
from edgeface.frame import Frame
from edgeface.images import write_image
from edgeface.regions import detect_regions, tiles
from edgeface.sizing import choose_size


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(
        tmp_path_factory.mktemp("bundle") / "tiny.efm", sizes=[[64, 64], [128, 128], [256, 128]], default_size=[64, 64]
    )


def test_tiles_overlap_and_cover_the_frame() -> None:
    assert tiles((100, 60), 2, 2, overlap=0.5) == [
        (0, 0, 67, 40),
        (33, 0, 100, 40),
        (0, 20, 67, 60),
        (33, 20, 100, 60),
    ]


@given(st.integers(20, 4000), st.integers(20, 4000), st.integers(1, 5), st.integers(1, 5), st.floats(0, 0.9))
def test_tiles_cover_every_pixel(width: int, height: int, across: int, down: int, overlap: float) -> None:
    cut = tiles((width, height), across, down, overlap=overlap)
    assert len(cut) == across * down
    columns, rows = np.zeros(width, bool), np.zeros(height, bool)
    for x1, y1, x2, y2 in cut:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        columns[x1:x2] = rows[y1:y2] = True
    assert columns.all()
    assert rows.all()


@pytest.mark.parametrize(
    "arguments", [((100, 100), 0, 1), ((100, 100), 1, True), ((3, 3), 9, 1)], ids=["none", "bool", "tiny"]
)
def test_bad_tiles_are_refused(arguments: tuple) -> None:
    with pytest.raises(InvalidInputError, match="tiles must be"):
        tiles(*arguments)
    with pytest.raises(InvalidInputError, match="overlap must be"):
        tiles((10, 10), 2, 2, overlap=1.0)


def test_regions_find_what_the_whole_frame_is_too_coarse_for(bundle: Path) -> None:
    """A square of 8 pixels in 256x256 shrinks to 2 in an input of 64x64, but fills a cell in a region of 64x64."""
    image = tiny.red_squares((256, 256), [(8, 8), (200, 136)])
    frame = Frame.from_array(image, "bgr")
    with FaceEngine(bundle) as engine:
        assert len(engine.detect(frame)) == 0
        found = detect_regions(engine, frame, tiles(frame.size, 4, 4, overlap=0.0))
        centres = sorted(((found.boxes[:, :2] + found.boxes[:, 2:]) / 2).tolist())
        assert centres == [[12.0, 12.0], [204.0, 140.0]]
        assert found.size == (256, 256)
        assert set(found.timings) == {"preprocess", "infer", "decode"}


def test_what_two_regions_see_is_given_once(bundle: Path) -> None:
    frame = Frame.from_array(tiny.red_squares((128, 64), [(56, 24)]), "bgr")
    with FaceEngine(bundle) as engine:
        regions = [(0, 0, 64, 64), (32, 0, 96, 64), (56, 0, 120, 64)]
        assert len(detect_regions(engine, frame, regions)) == 1
        with pytest.raises(InvalidInputError, match="regions must be at least one"):
            detect_regions(engine, frame, [])


def test_size_auto_takes_the_cheapest_that_suffices(bundle: Path) -> None:
    for min_face, size in ((96, (64, 64)), (48, (128, 128)), (1, (128, 128))):
        with FaceEngine(bundle, size="auto", min_face=min_face, frame_size=(256, 256)) as engine:
            assert engine.info.size == size
    with FaceEngine(bundle, size="auto", min_face=48, frame_size=(512, 256)) as engine:
        assert engine.info.size == (256, 128)
    with pytest.raises(InvalidInputError, match=r"frame_size must be .*which size='auto' needs"):
        FaceEngine(bundle, size="auto", min_face=30)
    with pytest.raises(InvalidInputError, match=r"min_face must be .*which size='auto' needs"):
        FaceEngine(bundle, size="auto", frame_size=(256, 256))


@given(
    st.lists(st.tuples(st.integers(32, 999), st.integers(32, 999)), min_size=1, max_size=6),
    st.tuples(st.integers(32, 4000), st.integers(32, 4000)),
    st.floats(1, 500),
)
def test_a_size_that_was_chosen_suffices_or_none_does(sizes: list, frame: tuple, min_face: float) -> None:
    def in_tensor(size: tuple[int, int]) -> float:
        return min_face * min(size[0] / frame[0], size[1] / frame[1])

    chosen = choose_size(sizes, frame, min_face, smallest=16)
    enough = [size for size in sizes if in_tensor(size) >= 16]
    if enough:
        assert in_tensor(chosen) >= 16
        assert chosen[0] * chosen[1] == min(w * h for w, h in enough)
    else:
        assert in_tensor(chosen) == max(map(in_tensor, sizes))


def test_affinity_is_for_the_inference_only(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = os.sched_getaffinity(0)
    one = min(cpus)
    with FaceEngine(bundle, affinity=[one]) as engine:
        assert engine.info.affinity == (one,)
        assert os.sched_getaffinity(0) == cpus
        seen = []
        runtime = engine._runtime
        assert runtime is not None
        run = runtime.run
        monkeypatch.setattr(runtime, "run", lambda: (seen.append(os.sched_getaffinity(0)), run())[1])
        engine.detect(np.zeros((64, 64, 3), np.uint8), "bgr")
        assert seen == [{one}]
        assert os.sched_getaffinity(0) == cpus
    with FaceEngine(bundle) as engine:
        assert engine.info.affinity is None


@pytest.mark.parametrize("cpus", [[], [100_000], 3, ["0"]])
def test_cores_that_are_not_there_are_refused(cpus: object) -> None:
    with pytest.raises(InvalidInputError, match="affinity must be some of the cores"):
        checked_cpus(cpus)  # type: ignore[arg-type]


def test_affinity_comes_back_after_an_error() -> None:
    cpus = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), pinned(frozenset([min(cpus)])):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == cpus


def test_a_folder_is_done_in_order_and_a_bad_file_stops_nothing(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png", tiny.red_squares((64, 64), [(8, 8)]))
    (tmp_path / "b.png").write_bytes(b"no picture")
    write_image(tmp_path / "c.png", tiny.red_squares((64, 64), []))
    with FaceEngine(bundle) as engine:
        results = list(detect_files(engine, tmp_path, progress=True))
        (tmp_path / "none").mkdir()
        with pytest.raises(ImageError, match="paths must hold pictures"):
            list(detect_files(engine, [tmp_path / "none"]))
        kept = [result.image is not None for result in detect_files(engine, tmp_path / "a.png", images=True)]
    assert [result.path.name for result in results] == ["a.png", "b.png", "c.png"]
    assert [None if result.faces is None else len(result.faces) for result in results] == [1, None, 0]
    assert [result.error is None for result in results] == [True, False, True]
    assert [result.image for result in results] == [None] * 3
    assert kept == [True]
    assert "detect" in capsys.readouterr().err
