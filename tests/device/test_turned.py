"""A camera that is mounted turned: all that a user reads speaks of the upright picture, pixels of the frame given."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import tiny
from support.moving import Person, faces
from typer.testing import CliRunner

from edgeface.align import aligned_crop, face_crop
from edgeface.angles import angles_to_rotation, rotation_to_angles
from edgeface.appearance import measure_appearance
from edgeface.cli.app import app
from edgeface.draw import draw_faces
from edgeface.engine import FaceEngine
from edgeface.errors import InvalidInputError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.gate import QualityGate
from edgeface.images import write_image
from edgeface.regions import detect_regions, tiles
from edgeface.ros import detections, quaternion
from edgeface.tracking import Tracker
from edgeface.web import LiveView

SIZE = (320, 200)
#: Two frontal people, as an upright camera sees them.
UPRIGHT = replace(
    faces([Person(100, 90, 100, quality=0.8), Person(230, 120, 80, score=0.8, quality=0.7)], SIZE, timestamp_ns=7),
    rotations=angles_to_rotation([[3, -9, 2], [-10, 5, -4]]),
)
turned_camera = pytest.mark.parametrize("rotation", [0, 90, 180, 270])


def picture() -> np.ndarray:
    """Smooth, and different everywhere."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    waves = 60 * np.sin(x / 5) * np.cos(y / 7)
    return np.clip(np.stack([x * 0.7, y, 120 + waves], -1), 0, 255).astype(np.uint8)


def given(upright: np.ndarray, rotation: int) -> np.ndarray:
    """The picture as a camera gives it that has to be turned clockwise by `rotation`."""
    return np.ascontiguousarray(np.rot90(upright, rotation // 90))


def points_given(points: np.ndarray, rotation: int) -> np.ndarray:
    width, height = SIZE
    x, y = points[..., 0], points[..., 1]
    return np.stack({0: (x, y), 90: (y, width - x), 180: (width - x, height - y), 270: (height - y, x)}[rotation], -1)


def faces_given(rotation: int) -> Faces:
    """`UPRIGHT` as an engine has to report it of the turned camera."""
    corners = points_given(UPRIGHT.boxes.reshape(-1, 2, 2), rotation)
    return replace(
        UPRIGHT,
        boxes=np.concatenate([corners.min(1), corners.max(1)], 1),
        landmarks=points_given(UPRIGHT.landmarks, rotation),
        size=SIZE[::-1] if rotation % 180 else SIZE,
        rotation=rotation,
    )


def turned_back(rotation: int) -> np.ndarray:
    """Directions of the upright picture, as the turned camera sees them."""
    a = np.radians(-rotation)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceEngine]:
    with FaceEngine(tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm"), runtime="onnxruntime") as opened:
        yield opened


@turned_camera
def test_faces_speak_of_the_upright_picture_and_of_the_camera_where_they_say_so(rotation: int) -> None:
    seen = faces_given(rotation)
    np.testing.assert_allclose(seen.angles, UPRIGHT.angles)
    np.testing.assert_allclose(seen.camera_rotations, turned_back(rotation) @ UPRIGHT.rotations, atol=1e-6)
    for face, upright in zip(seen[::-1], UPRIGHT[::-1], strict=True):
        assert (face.yaw, face.pitch, face.roll) == (upright.yaw, upright.pitch, upright.roll)
        np.testing.assert_allclose(face.camera_rotation, turned_back(rotation) @ upright.rotation, atol=1e-6)
    again = seen.upright()
    assert (again.size, again.rotation, again.timestamp_ns) == (SIZE, 0, 7)
    for name in ("boxes", "landmarks", "rotations"):
        np.testing.assert_allclose(getattr(again, name), getattr(UPRIGHT, name), atol=1e-4)


@turned_camera
def test_the_engine(engine: FaceEngine, rotation: int) -> None:
    upright = tiny.red_squares((64, 48), [(8, 24), (40, 8)])
    wanted, seen = (
        engine.detect(upright, color="bgr"),
        engine.detect(given(upright, rotation), "bgr", rotation=rotation),
    )
    assert (len(seen), seen.rotation) == (2, rotation)
    np.testing.assert_allclose(seen.angles, [tiny.ANGLES] * 2, atol=1e-3)
    np.testing.assert_allclose(seen.rotations, wanted.rotations, atol=1e-6)
    np.testing.assert_allclose(
        rotation_to_angles(turned_back(rotation).T @ seen.camera_rotations), [tiny.ANGLES] * 2, atol=1e-3
    )
    order = np.argsort(seen.upright().boxes[:, 0])
    np.testing.assert_allclose(seen.upright().boxes[order], wanted.boxes[np.argsort(wanted.boxes[:, 0])], atol=1e-3)


@turned_camera
@pytest.mark.parametrize("every", [1, 3])
def test_tracks(engine: FaceEngine, rotation: int, every: int) -> None:
    image = given(tiny.red_squares((64, 48), [(8, 24)]), rotation)
    tracker = Tracker(detect_every=every, min_hits=1)
    for i in range(8):
        seen = engine.track(image, "bgr", rotation=rotation, timestamp_ns=i * 33_000_000, tracker=tracker)
        assert (seen.track_ids.tolist(), seen.rotation) == ([1], rotation)
        np.testing.assert_allclose(seen.angles, [tiny.ANGLES], atol=1e-2)


@turned_camera
def test_regions(engine: FaceEngine, rotation: int) -> None:
    image = given(tiny.red_squares((64, 48), [(8, 24)]), rotation)
    cut = tiles((image.shape[1], image.shape[0]), 1, 1)
    seen = detect_regions(engine, image, cut, color="bgr", rotation=rotation)
    assert seen.rotation == rotation
    np.testing.assert_allclose(seen.angles, [tiny.ANGLES], atol=1e-3)


@turned_camera
@pytest.mark.parametrize("name", ["default", "verify", "attention"])
def test_the_gate(rotation: int, name: str) -> None:
    gate = QualityGate() if name == "default" else QualityGate.preset(name)
    seen = faces_given(rotation)
    assert gate(seen).all()
    wanted = gate.check(UPRIGHT, picture(), "bgr")
    for report, upright in zip(gate.check(seen, given(picture(), rotation), "bgr"), wanted, strict=True):
        assert report.reasons == upright.reasons
        assert report.measures == pytest.approx(upright.measures, abs=1.0)
        assert [report.measures[angle] for angle in ("yaw", "pitch", "roll")] == [
            upright.measures[angle] for angle in ("yaw", "pitch", "roll")
        ]


@turned_camera
def test_crops_and_best_shots_are_upright(rotation: int) -> None:
    frame = Frame.from_array(given(picture(), rotation), "bgr", rotation=rotation, timestamp_ns=7)
    tracker = Tracker(min_hits=1)
    tracker.update(faces_given(rotation), frame)
    for i, upright in enumerate(UPRIGHT):
        best, face = tracker.best_shots()[i + 1], faces_given(rotation)[i]
        np.testing.assert_allclose(best.crop, face_crop(picture(), upright, color="bgr"), atol=1)
        np.testing.assert_array_equal(best.crop, face_crop(frame.planes[0], face, color="bgr"))
        np.testing.assert_allclose(
            best.aligned.astype(int), aligned_crop(picture(), upright.landmarks, color="bgr"), atol=3
        )
        assert best.face.yaw == upright.yaw
        np.testing.assert_allclose(best.face.camera_rotation, face.camera_rotation)
        measured = measure_appearance(frame, face)
        assert measured == pytest.approx(measure_appearance(picture(), upright, color="bgr"), rel=0.03)


@turned_camera
@pytest.mark.parametrize("inplace", [False, True])
def test_drawings_read_upright(rotation: int, inplace: bool) -> None:
    numbered = replace(faces_given(rotation), track_ids=np.array([3, 4]))
    wanted = draw_faces(picture(), replace(UPRIGHT, track_ids=np.array([3, 4])))
    image = given(picture(), rotation)
    drawn = draw_faces(image, numbered, inplace=inplace)
    assert (drawn is image) == inplace
    assert np.mean(drawn != given(wanted, rotation)) < 0.002  # boxes are rounded from the other side
    np.testing.assert_array_equal(draw_faces(picture(), numbered.upright()), wanted)


@turned_camera
def test_json(rotation: int) -> None:
    for record, face, upright in zip(
        faces_given(rotation).to_dicts(), faces_given(rotation), UPRIGHT.to_dicts(), strict=True
    ):
        assert [record[key] for key in ("yaw", "pitch", "roll", "rotation")] == [
            upright[key] for key in ("yaw", "pitch", "roll", "rotation")
        ]
        assert record["box"] == pytest.approx(face.box.tolist(), abs=0.01)


@turned_camera
def test_the_live_view(rotation: int) -> None:
    frame = Frame.from_array(given(picture(), rotation), "bgr", rotation=rotation)
    pages = []
    for show, seen in ((frame, faces_given(rotation)), (frame.planes[0], faces_given(rotation)), (picture(), UPRIGHT)):
        with LiveView(port=0) as view:
            view._board.watch(1)
            view.show(show, seen, color=None if isinstance(show, Frame) else "bgr")
            pages.append(view._board.latest())
    record = pages[0].record
    assert (record["rotation"], record["width"], record["height"]) == (rotation, *frame.size)
    assert record["faces"] == faces_given(rotation).to_dicts()
    pictures = [cv2.imdecode(np.frombuffer(page.jpeg, np.uint8), cv2.IMREAD_COLOR) for page in pages]
    for shown in pictures[:2]:
        assert shown.shape == (SIZE[1], SIZE[0], 3)
        assert np.abs(shown.astype(int) - pictures[2]).mean() < 1


@turned_camera
def test_ros(rotation: int) -> None:
    def orientations(seen: Faces, **options: Any) -> list[dict[str, float]]:
        message = detections(seen, stamp=(0, 0), frame_id="camera_optical_frame", **options)
        return [d["results"][0]["pose"]["pose"]["orientation"] for d in message["detections"]]

    seen = faces_given(rotation)
    assert orientations(seen) == [pytest.approx(o) for o in orientations(UPRIGHT)]
    for found, face in zip(orientations(seen, orientation="camera"), UPRIGHT, strict=True):
        wanted = quaternion(turned_back(rotation) @ face.rotation)
        np.testing.assert_allclose(np.abs(np.dot(list(found.values()), wanted)), 1, atol=1e-6)
    with pytest.raises(InvalidInputError, match="orientation must be upright or camera, but got 'tf'"):
        detections(seen, stamp=(0, 0), frame_id="", orientation="tf")


@turned_camera
def test_the_command(rotation: int, tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "tiny.efm")
    frames = tmp_path / "frames"
    frames.mkdir()
    write_image(frames / "turned.png", given(tiny.red_squares((64, 48), [(8, 24)]), rotation))
    words = ["camera", "--source", str(frames), "--model", str(bundle), "--runtime", "onnxruntime"]
    options = ["--rotation", str(rotation), "--no-track"]
    result = CliRunner().invoke(app, [*words, *options, "--format", "jsonl"])
    face = json.loads(result.stdout)["faces"][0]
    assert [face[key] for key in ("yaw", "pitch", "roll")] == pytest.approx(tiny.ANGLES, abs=0.02)
    assert "yaw+20° pitch-10° roll+5°" in CliRunner().invoke(app, [*words, *options]).stdout


def test_another_rotation_is_another_scene() -> None:
    tracker = Tracker(min_hits=1)
    assert tracker.update(faces_given(0)).track_ids.tolist() == [1, 2]
    assert tracker.update(replace(faces_given(180), timestamp_ns=8)).track_ids.tolist() == [3, 4]
    assert [track.track_id for track in tracker.take_ended()] == [1, 2]


@pytest.mark.parametrize("rotation", [45, 360, -90, True, 90.0, "90", None])
def test_other_turns_are_refused(rotation: Any) -> None:
    for make in (lambda: Faces.empty(rotation=rotation), lambda: Frame.from_array(picture(), "bgr", rotation=rotation)):
        with pytest.raises(InvalidInputError, match="rotation must be one of 0, 90, 180, 270, but got"):
            make()


def test_faces_of_an_unknown_size_cannot_be_turned() -> None:
    with pytest.raises(InvalidInputError, match=r"Faces.size must be known to turn faces upright, but got \(0, 0\)"):
        Faces.empty(rotation=90).upright()
