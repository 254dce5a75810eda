import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeface.angles import angles_to_rotation
from edgeface.errors import InvalidInputError
from edgeface.faces import Face, Faces


@pytest.fixture
def faces() -> Faces:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (3, 2))
    return Faces(
        boxes=np.concatenate([corner, corner + 50], axis=1),
        scores=np.array([0.9, 0.8, 0.7]),
        landmarks=rng.uniform(0, 100, (3, 5, 2)),
        rotations=angles_to_rotation([[10, 0, 0], [0, 20, 0], [0, 0, 30]]),
        quality=np.array([0.2, 0.9, 0.5]),
        track_ids=np.array([7, 8, 9]),
        size=(640, 480),
        timestamp_ns=5,
        sequence=1,
    )


def test_arrays_are_float32(faces: Faces) -> None:
    assert {
        faces.boxes.dtype,
        faces.scores.dtype,
        faces.landmarks.dtype,
        faces.rotations.dtype,
        faces.quality.dtype,
    } == {np.dtype(np.float32)}


def test_index_gives_a_face(faces: Faces) -> None:
    face = faces[1]
    assert isinstance(face, Face)
    assert face.score == pytest.approx(0.8)
    assert face.track_id == 8
    assert face.pitch == pytest.approx(20, abs=1e-4)
    assert (face.width, face.height) == pytest.approx((50, 50), abs=1e-4)
    np.testing.assert_array_equal(faces[-1].box, faces.boxes[2])
    assert faces[np.int64(0)].score == faces[0].score
    for bad in (3, -4):
        with pytest.raises(IndexError):
            faces[bad]


def test_slices_masks_and_index_arrays_keep_rows_together(faces: Faces) -> None:
    for part in (
        faces[1:],
        faces[faces.scores < 0.85],
        faces[[1, 2]],
        faces[[False, True, True]],
        faces[np.array([1, 2])],
    ):
        assert part.track_ids is not None
        assert part.track_ids.tolist() == [8, 9]
        np.testing.assert_array_equal(part.boxes, faces.boxes[1:])
        np.testing.assert_array_equal(part.rotations, faces.rotations[1:])
        assert (part.size, part.timestamp_ns, part.sequence) == ((640, 480), 5, 1)
    assert faces[::-1].quality.tolist() == faces.quality[::-1].tolist()
    assert len(faces[[]]) == len(faces[np.zeros(3, bool)]) == 0


def test_bad_indices_are_refused(faces: Faces) -> None:
    with pytest.raises(InvalidInputError, match=r"mask must be as long as there are faces \(3\), but got 2"):
        faces[np.array([True, False])]
    with pytest.raises(InvalidInputError, match="index must be"):
        faces[np.array([0.5])]
    with pytest.raises(InvalidInputError, match="index must be"):
        faces[True]


def test_iteration_and_filter(faces: Faces) -> None:
    assert [face.track_id for face in faces] == [7, 8, 9]
    assert faces.filter(lambda f: f.quality >= 0.5).quality.tolist() == [np.float32(0.9), 0.5]
    with pytest.raises(InvalidInputError, match="must be an array of bools"):
        faces.filter(lambda f: f.quality)


def test_angles_are_a_view_of_the_rotations(faces: Faces) -> None:
    np.testing.assert_allclose(faces.angles, [[10, 0, 0], [0, 20, 0], [0, 0, 30]], atol=1e-4)
    np.testing.assert_allclose([faces.yaw[0], faces.pitch[1], faces.roll[2]], [10, 20, 30], atol=1e-4)


def test_empty_has_its_shapes() -> None:
    empty = Faces.empty((64, 48), sequence=3)
    assert (len(empty), list(empty), empty.size, empty.sequence) == (0, [], (64, 48), 3)
    assert empty.boxes.shape == (0, 4)
    assert empty.landmarks.shape == (0, 5, 2)
    assert empty.rotations.shape == (0, 3, 3)
    assert empty.angles.shape == (0, 3)
    assert empty[:5].scores.shape == (0,)
    assert empty.to_dicts() == []


def test_wrong_shapes_are_refused(faces: Faces) -> None:
    with pytest.raises(InvalidInputError, match=r"Faces.landmarks must be of shape \(3, 5, 2\), but got \(3, 10\)"):
        Faces(faces.boxes, faces.scores, np.zeros((3, 10), np.float32), faces.rotations, faces.quality)
    with pytest.raises(InvalidInputError, match="track_ids"):
        Faces(
            faces.boxes, faces.scores, faces.landmarks, faces.rotations, faces.quality, track_ids=np.zeros(2, np.int64)
        )


def test_json_is_the_documented_object(faces: Faces) -> None:
    first = json.loads(json.dumps(faces.to_dicts()))[0]
    assert list(first) == ["box", "score", "landmarks", "rotation", "yaw", "pitch", "roll", "quality", "track_id"]
    assert np.array(first["rotation"]).shape == (3, 3)
    assert first["yaw"] == 10.0
    assert "track_id" not in Faces.empty().to_dicts()


def test_repr_is_short(faces: Faces) -> None:
    assert repr(faces) == "Faces(n=3, size=(640, 480), track_ids=[7, 8, 9])"


def test_joined_faces_keep_their_track_ids(faces: Faces) -> None:
    joined = Faces.join([faces[:1], Faces.empty(), faces[1:]], size=faces.size)
    assert joined.track_ids is not None
    assert joined.track_ids.tolist() == [7, 8, 9]
    untracked = replace(faces, track_ids=None)
    assert Faces.join([untracked, untracked]).track_ids is None
    with pytest.raises(InvalidInputError, match="parts must be all of `track`, or none"):
        Faces.join([faces, untracked])
    with pytest.raises(InvalidInputError, match="parts must be one or more results"):
        Faces.join([])


def test_a_list_of_no_answers_is_one_for_no_faces(faces: Faces) -> None:
    def gate(some: Faces) -> Any:
        return [face.score > 0 for face in some]

    assert len(faces.filter(gate)) == len(faces)
    assert len(Faces.empty().filter(gate)) == 0
