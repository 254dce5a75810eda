"""Quality targets: tiles of one photo do not depend on the others, and a run that was cut goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("openvino", reason="the toolchain's extra is not installed")

from quantize.data.sample import FaceLabel, Sample  # noqa: E402
from quantize.label.quality import make_tiles  # noqa: E402

TEACHERS = Path(__file__).parents[2] / ".." / "shared" / "teachers"
pytestmark = pytest.mark.skipif(not TEACHERS.is_dir(), reason="../shared is not there")

POINTS = np.array([[60, 70], [100, 70], [80, 95], [65, 115], [95, 115]], np.float32)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    rng, out = np.random.default_rng(1), []
    for n in range(3):
        image = cv2.GaussianBlur(rng.integers(0, 255, (160, 160, 3), np.uint8), (0, 0), 4)
        cv2.imwrite(str(tmp_path / f"{n}.png"), image)
        face = FaceLabel(np.array([40, 40, 120, 130], np.float32), POINTS)
        out.append(Sample(tmp_path / f"{n}.png", 160, 160, [face], True, "drawn"))
    small = FaceLabel(np.array([40, 40, 60, 60], np.float32), POINTS)
    return [*out, Sample(tmp_path / "0.png", 160, 160, [small], True, "drawn")]


def test_tiles_have_a_target_and_carry_the_points(samples: list[Sample], tmp_path: Path) -> None:
    tiles = make_tiles(samples, TEACHERS, tmp_path / "tiles", 5, variants=2)
    assert len(tiles) == 6, "two of each face of 48 px and more"
    for tile in tiles:
        image = cv2.imread(str(tile.path))
        assert image.shape[:2] == (tile.height, tile.width)
        (face,) = tile.faces
        assert face.quality is not None and 0 <= face.quality <= 1
        assert face.points is not None and (face.points > 0).all() and (face.points < image.shape[0]).all()
    assert len({t.faces[0].quality for t in tiles}) == 6


def test_a_photos_tiles_do_not_depend_on_the_others(samples: list[Sample], tmp_path: Path) -> None:
    together = make_tiles(samples, TEACHERS, tmp_path / "a", 5, variants=1)
    alone = make_tiles(samples[1:2], TEACHERS, tmp_path / "b", 5, variants=1)
    assert together[1].path.name == alone[0].path.name
    assert together[1].path.read_bytes() == alone[0].path.read_bytes()
    assert together[1].faces[0].quality == alone[0].faces[0].quality
    (tmp_path / "elsewhere.png").write_bytes(samples[1].path.read_bytes())
    moved = replace(samples[1], path=tmp_path / "elsewhere.png")
    assert make_tiles([moved], TEACHERS, tmp_path / "c", 5, variants=1)[0].path.name == alone[0].path.name
    other = make_tiles(samples[1:2], TEACHERS, tmp_path / "b", 6, variants=1)
    assert other[0].path.name != alone[0].path.name, "another seed, other tiles"


def test_what_is_made_is_not_made_again(samples: list[Sample], tmp_path: Path) -> None:
    first = make_tiles(samples[:2], TEACHERS, tmp_path / "tiles", 5, variants=1)
    for tile in first:
        tile.path.write_bytes(b"as it was")
    again = make_tiles(samples, TEACHERS, tmp_path / "tiles", 5, variants=1)
    assert [t.path for t in again[:2]] == [t.path for t in first]
    assert all(t.path.read_bytes() == b"as it was" for t in again[:2])
    assert again[2].path.read_bytes()[:4] == b"RIFF"
