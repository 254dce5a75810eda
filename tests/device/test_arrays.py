"""Whatever takes a `Frame` takes an array with `color=`, and refuses an array without one in words of ours."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny
from support.moving import Person, faces

from edgeface.affinity import checked_cpus
from edgeface.align import align_transform, aligned_crop, face_crop
from edgeface.appearance import measure_appearance
from edgeface.engine import FaceEngine
from edgeface.errors import InvalidInputError
from edgeface.frame import Frame, as_frame
from edgeface.gate import QualityGate
from edgeface.pixels import to_bgr
from edgeface.regions import detect_regions, tiles
from edgeface.tracking import Tracker
from edgeface.web import LiveView

IMAGE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
SEEN = faces([Person(160, 120, 100)], (320, 240))


def show(frame: Any, **options: Any) -> Any:
    with LiveView(port=0) as view:
        view.show(frame, SEEN, **options)
        return view._board.latest().record


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> FaceEngine:
    return FaceEngine(tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm"), runtime="onnxruntime")


TAKERS: dict[str, Any] = {
    "detect": lambda e, frame, **o: e.detect(frame, **o).boxes,
    "track": lambda e, frame, **o: e.track(frame, tracker=Tracker(min_hits=1), **o).boxes,
    "detect_regions": lambda e, frame, **o: detect_regions(e, frame, tiles((320, 240), 2, 1), **o).boxes,
    "gate.check": lambda _, frame, **o: QualityGate().check(SEEN, frame, **o)[0].measures["sharpness"],
    "gate.on": lambda _, frame, **o: SEEN.filter(QualityGate(min_sharpness=0.9).on(frame, **o)).boxes,
    "aligned_crop": lambda _, frame, **o: aligned_crop(frame, SEEN.landmarks[0], **o),
    "face_crop": lambda _, frame, **o: face_crop(frame, SEEN[0], **o),
    "measure_appearance": lambda _, frame, **o: measure_appearance(frame, SEEN[0], **o),
    "to_bgr": lambda _, frame, **o: to_bgr(frame, **o),
    "tracker.update": lambda _, frame, **o: _tracked(frame, **o).best_shots()[1].aligned,
    "tracker.predict": lambda _, frame, **o: Tracker(detect_every=2, between="flow").predict(frame, **o).size,
    "view.show": lambda _, frame, **o: show(frame, **o),
}


def _tracked(frame: Any, **options: Any) -> Tracker:
    tracker = Tracker(min_hits=1)
    tracker.update(SEEN, frame, **options)
    return tracker


@pytest.mark.parametrize("name", TAKERS)
def test_arrays_do_where_frames_do(engine: FaceEngine, name: str) -> None:
    take = TAKERS[name]
    np.testing.assert_array_equal(take(engine, IMAGE, color="bgr"), take(engine, Frame.from_array(IMAGE, "bgr")))
    with pytest.raises(InvalidInputError, match=r"color must be given with an array \(bgr for cv2"):
        take(engine, IMAGE)
    with pytest.raises(InvalidInputError, match="color must be left out with a Frame"):
        take(engine, Frame.from_array(IMAGE, "bgr"), color="bgr")
    with pytest.raises(InvalidInputError, match="frame must be a numpy array"):
        take(engine, "photo.jpg", color="bgr")
    with pytest.raises(InvalidInputError, match="color must be one of"):
        take(engine, IMAGE, color=["bgr"])


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "112", None, 10**9, (112, 112)])
def test_sizes_of_crops(size: Any) -> None:
    for crop in (
        lambda: align_transform(SEEN.landmarks[0], size),
        lambda: aligned_crop(IMAGE, SEEN.landmarks[0], size, color="bgr"),
    ):
        with pytest.raises(InvalidInputError, match="size must be a whole number of pixels from 1 to 16384, but got"):
            crop()
    with pytest.raises(InvalidInputError, match="max_side must be a whole number of pixels"):
        face_crop(IMAGE, SEEN[0], max_side=size, color="bgr")


@pytest.mark.parametrize("margin", [-1, float("nan"), float("inf"), "0.3", None])
def test_margins_of_crops(margin: Any) -> None:
    with pytest.raises(InvalidInputError, match="margin must be a finite number of at least 0"):
        face_crop(IMAGE, SEEN[0], margin=margin, color="bgr")


@pytest.mark.parametrize("landmarks", ["five", None, [[1, 2], [3]], [["a", "b"]] * 5])
def test_landmarks_that_are_none(landmarks: Any) -> None:
    with pytest.raises(InvalidInputError, match="landmarks must be a finite array of shape"):
        align_transform(landmarks)


def test_a_region_may_be_an_array(engine: FaceEngine) -> None:
    roi = np.array([10, 20, 110, 120])
    assert Frame.from_array(IMAGE, "bgr", roi=roi).roi == (10, 20, 110, 120)
    assert engine.detect(IMAGE, "bgr", roi=roi).size == (320, 240)
    assert engine.track(IMAGE, "bgr", roi=roi).size == (320, 240)
    np.testing.assert_array_equal(to_bgr(IMAGE, roi=roi, size=np.array([50, 50]), color="bgr").shape, (50, 50, 3))
    detect_regions(engine, IMAGE, np.array(tiles((320, 240), 2, 2)), color="bgr")
    with pytest.raises(InvalidInputError, match="roi must be left out with a Frame"):
        engine.detect(Frame.from_array(IMAGE, "bgr"), roi=roi)


@pytest.mark.parametrize(
    "roi",
    [
        np.array([0.0, 0, 5, 5]),
        np.zeros((2, 2), int),
        np.array([]),
        5,
        "0,0,5,5",
        (0, 0, True, 5),
        np.array([5, 5, 1, 1]),
    ],
    ids=repr,
)
def test_regions_that_are_none(engine: FaceEngine, roi: Any) -> None:
    for use in (
        lambda: engine.detect(IMAGE, "bgr", roi=roi),
        lambda: Frame.from_array(IMAGE, "bgr", roi=roi),
        lambda: to_bgr(IMAGE, roi=roi, color="bgr"),
        lambda: detect_regions(engine, IMAGE, [roi], color="bgr"),
    ):
        with pytest.raises(InvalidInputError, match="roi must be"):
            use()


@pytest.mark.parametrize("size", [0, (0, 5), (5,), "5x5", (5.0, 5), np.zeros((2, 2))], ids=repr)
def test_sizes_that_are_none(size: Any) -> None:
    for use in (
        lambda: to_bgr(IMAGE, size=size, color="bgr"),
        lambda: Frame.from_buffer(bytes(75), "bgr", size),
        lambda: tiles(size, 2, 2),
    ):
        with pytest.raises(InvalidInputError, match="size must be"):
            use()


def test_numbers_of_an_array_do_for_the_engine(engine: FaceEngine) -> None:
    assert as_frame(IMAGE, "bgr", rotation=np.int64(90)).rotation == 90
    assert engine.detect(Frame.from_array(IMAGE, "bgr"), rotation=np.int64(0)).rotation == 0


@pytest.mark.parametrize("cpus", [[0.0], [False], ["0"], [[0]], [None], "0", 0, [], [-1], [10**6], {0: 1.0}.values()])
def test_cores_are_numbers(cpus: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"affinity must be some of the cores \[\d"):
        checked_cpus(cpus)
    with pytest.raises(InvalidInputError, match="affinity must be"):
        FaceEngine(tmp_path / "never read.efm", affinity=cpus)


def test_cores_may_come_from_an_array() -> None:
    (core,) = checked_cpus(np.array([min(os.sched_getaffinity(0))]))
    assert type(core) is int


@pytest.mark.parametrize(
    ("argument", "value"), [("lost_after", "1"), ("lost_after", None), ("low_score", "x"), ("fps", "30"), ("fps", None)]
)
def test_numbers_of_a_tracker(argument: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"{argument} must be .*, but got {value!r}"):
        Tracker(**{argument: value})
