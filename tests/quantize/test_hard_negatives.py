"""Hard-negative mining: what a network finds where nothing is labelled, and only that."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")
cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from torch import Tensor, nn  # noqa: E402

from quantize.data.pack import PackedPhotos, pack  # noqa: E402
from quantize.data.sample import FaceLabel, Sample  # noqa: E402
from quantize.models import SCORE  # noqa: E402
from quantize.train.hard_negatives import choose, mine  # noqa: E402


class RedIsAFace(nn.Module):
    """Says that every cell of stride 8 whose pixels are red holds a face of e strides."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # detectors ask for the device

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = []
        for stride in (8, 16, 32):
            cells = nn.functional.avg_pool2d(x, stride)
            out = torch.zeros(len(x), 22, *cells.shape[2:])
            out[:, SCORE] = torch.where((cells[:, 0] > 0.5) & (cells[:, 1] < 0) & torch.tensor(stride == 8), 3.0, -9.0)
            out[:, 4:6], out[:, 16], out[:, 20] = 1.0, 1.0, 1.0
            outputs.append(out)
        return tuple(outputs)


@pytest.fixture
def photos(tmp_path: Path) -> PackedPhotos:
    """Two photos with red squares of 16 px: on a face, in an ignore region, and twice on nothing."""
    image = np.full((128, 128, 3), 128, np.uint8)
    for x, y in ((16, 16), (80, 16), (16, 80)):
        image[y : y + 16, x : x + 16] = (0, 0, 255)
    other = np.full((64, 128, 3), 128, np.uint8)
    other[16:32, 80:96] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.png"), other)
    face = FaceLabel(np.array([12, 12, 36, 36], np.float32))
    doubtful = FaceLabel(np.array([70, 4, 110, 40], np.float32), ignore=True)
    samples = [
        Sample(tmp_path / "a.png", 128, 128, [face, doubtful], True, "drawn"),
        Sample(tmp_path / "b.png", 128, 64, [], True, "empty"),
        Sample(tmp_path / "b.png", 128, 64, [], True, "unwanted"),
    ]
    pack(samples, tmp_path / "packed")
    return PackedPhotos(tmp_path / "packed")


def test_only_finds_on_nothing_are_kept(photos: PackedPhotos) -> None:
    model = RedIsAFace().train()
    hard = mine(model, photos, [0, 1], [128], 0.5)
    assert model.training, "the network is left as it was"
    assert set(hard[:, 0].astype(int)) == {0, 1}
    assert (hard[:, 5] == 1).all()
    for number, centre in ((0, (24, 88)), (1, (88, 24))):
        boxes = hard[hard[:, 0] == number, 1:5]
        assert len(boxes) and np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - centre).max() <= 8
    assert not len(mine(model, photos, [0, 1], [128], 0.99)), "nothing is that sure"


def test_every_size_is_looked_at(photos: PackedPhotos) -> None:
    hard = mine(RedIsAFace(), photos, [1], [128, 256], 0.5)
    assert set(hard[:, 5]) == {1.0, 2.0}


def test_photos_are_chosen_by_set_and_seed(photos: PackedPhotos) -> None:
    assert set(choose(photos, ["drawn", "empty"], 9, [1, 0])) == {0, 1}
    assert list(choose(photos, ["unwanted"], 9, [1, 0])) == [2]
    first = [int(choose(photos, ["drawn", "empty", "unwanted"], 1, [seed, 0])[0]) for seed in range(20)]
    assert set(first) == {0, 1, 2}, "another seed, other photos"
    assert list(choose(photos, ["drawn", "empty"], 1, [3, 1])) == list(choose(photos, ["drawn", "empty"], 1, [3, 1]))


def test_photos_whose_small_faces_may_be_unlabelled_are_not_mined(photos: PackedPhotos) -> None:
    photos.samples[0].unknown_below = 16.0
    photos.samples[1].complete = False
    assert not len(choose(photos, ["drawn", "empty"], 9, [1, 0]))
