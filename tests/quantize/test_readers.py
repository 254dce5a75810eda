"""Readers of label formats: what they read, and that whatever bytes they meet, they report and go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantize.data.readers import READERS, parse_pts, read_set
from quantize.data.sample import Sample, points5_from_68

pytest.importorskip("scipy", reason="scipy is not installed (pip install -e '.[quantize]')")

POINTS = np.c_[np.linspace(10, 50, 68), np.linspace(12, 44, 68)].astype(np.float32)


def _photo(path: Path, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    return path


def _pts(points: np.ndarray[Any, Any]) -> str:
    rows = "\n".join(f"{x} {y}" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}\n}}\n"


def test_wider_text(tmp_path: Path) -> None:
    _photo(tmp_path / "WIDER_train/images/0--Parade/a.jpg")
    _photo(tmp_path / "WIDER_train/images/0--Parade/b.jpg")
    labels = tmp_path / "wider_face_split/wider_face_train_bbx_gt.txt"
    labels.parent.mkdir()
    labels.write_text(
        "0--Parade/a.jpg\n3\n1 2 10 12 2 1 0 0 1 0 \n5 5 0 9 0 0 0 0 0 0 \n9 9 8 8 0 0 0 1 0 1 \n"
        "0--Parade/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
        "0--Parade/missing.jpg\n1\n1 1 5 5 0 0 0 0 0 0 \n"
    )
    samples, skipped = read_set("wider", labels, "wider")
    assert [len(s.faces) for s in samples] == [2, 0]
    assert all(s.complete and s.source == "wider" and (s.width, s.height) == (64, 48) for s in samples)
    first, second = samples[0].faces
    assert first.box.tolist() == [1, 2, 11, 14]
    assert (first.extra["blur"], first.extra["occlusion"], first.ignore, second.ignore) == (2, 1, False, True)
    assert len(skipped) == 2
    assert "0 x 9" in skipped[0]
    assert "missing.jpg" in skipped[1]


def test_wider_mat(tmp_path: Path) -> None:
    import scipy.io

    _photo(tmp_path / "images/0--Parade/a.jpg")

    def cells(*values: Any) -> np.ndarray[Any, Any]:
        out = np.empty((len(values), 1), object)
        for i, v in enumerate(values):
            out[i, 0] = v
        return out

    faces = np.array([[1, 2, 10, 12], [3, 3, 4, 5]], float)
    zeros = cells(cells(np.zeros((2, 1))))
    content: dict[str, Any] = {
        "event_list": cells("0--Parade"),
        "file_list": cells(cells("a")),
        "face_bbx_list": cells(cells(faces)),
        "invalid_label_list": cells(cells(np.array([[0], [1]], float))),
        "blur_label_list": cells(cells(np.array([[2], [0]], float))),
    }
    content |= {f"{k}_label_list": zeros for k in ("expression", "illumination", "occlusion", "pose")}
    scipy.io.savemat(tmp_path / "wider_face_val.mat", content)
    samples, skipped = read_set("wider-mat", tmp_path / "wider_face_val.mat", "w")
    assert not skipped
    (sample,) = samples
    assert [f.box.tolist() for f in sample.faces] == [[1, 2, 11, 14], [3, 3, 7, 8]]
    assert [(f.ignore, f.extra["blur"]) for f in sample.faces] == [(False, 2), (True, 0)]


def test_pts_counts_pixel_centres_from_one(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg")
    (tmp_path / "a.pts").write_text(_pts(POINTS))
    (tmp_path / "b.pts").write_text(_pts(POINTS))
    (tmp_path / "c.pts").write_text(_pts(POINTS[:5]))
    samples, skipped = read_set("pts", tmp_path, "helen")
    assert len(skipped) == 2  # b has no photo, c not 68 points
    face = samples[0].faces[0]
    assert face.points is not None
    assert np.allclose(face.points, points5_from_68(POINTS - 0.5), atol=0.01)
    assert not samples[0].complete


@pytest.mark.parametrize("key", ["pt3d_68", "pt2d"])
def test_pose_mat(tmp_path: Path, key: str) -> None:
    import scipy.io

    _photo(tmp_path / "a.jpg")
    points = POINTS.T if key == "pt2d" else np.vstack([POINTS.T, np.zeros(68)])
    pose = np.array([[np.radians(10), np.radians(-30), np.radians(5), 0, 0, 0, 1]])
    scipy.io.savemat(tmp_path / "a.mat", {key: points, "Pose_Para": pose})
    (tmp_path / "bad.mat").write_bytes(b"MATLAB 5.0 MAT-file, but not really")
    samples, skipped = read_set("mat", tmp_path, "aflw")
    assert len(skipped) == 1
    face = samples[0].faces[0]
    assert face.extra["pose_300wlp"] == {"yaw": -30.0, "pitch": 10.0, "roll": 5.0}
    assert face.rotation is not None
    assert np.isclose(face.rotation[0, 2], np.sin(np.radians(-30)))  # R[0, 2] is the sine of the yaw


def test_voc(tmp_path: Path) -> None:
    _photo(tmp_path / "images/a.png")
    (tmp_path / "annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    good = f"<annotation><filename>a.png</filename><object><name>with_mask</name>{box}</object></annotation>"
    (tmp_path / "annotations/a.xml").write_text(good)
    (tmp_path / "annotations/b.xml").write_text(good.replace("30", "1"))
    (tmp_path / "annotations/c.xml").write_text("<annotation>")
    samples, skipped = read_set("voc", tmp_path, "masks")
    assert len(skipped) == 2
    assert samples[0].faces[0].box.tolist() == [1, 2, 30, 40]
    assert samples[0].faces[0].extra["label"] == "with_mask"


def test_folder_of_photos(tmp_path: Path) -> None:
    _photo(tmp_path / "deep/a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff not a photo")
    (tmp_path / "notes.txt").write_text("no photo")
    samples, skipped = read_set("folder", tmp_path, "own")
    assert [(s.path.name, s.complete, s.faces) for s in samples] == [("a.jpg", False, [])]
    assert len(skipped) == 1


def test_jsonl_goes_on_after_a_bad_line(tmp_path: Path) -> None:
    good = {"file": "a.jpg", "width": 9, "height": 9, "complete": True, "faces": [{"box": [0, 0, 5, 5]}]}
    (tmp_path / "labels.jsonl").write_text(
        f"{json.dumps(good)}\n{{\n{json.dumps(good | {'faces': [{}]})}\n{json.dumps(good | {'file': 'b.jpg'})}\n"
    )
    samples, skipped = read_set("jsonl", tmp_path, "x")
    assert (len(samples), len(skipped)) == (2, 2)


def test_unknown_reader_and_missing_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reader must be one of"):
        read_set("cocoa", tmp_path, "x")
    with pytest.raises(FileNotFoundError, match="set x must be there"):
        read_set("voc", tmp_path / "nowhere", "x")


_FILES = {
    "wider": "wider_face_train_bbx_gt.txt",
    "wider-mat": "wider_face_train.mat",
    "pts": "a.pts",
    "mat": "a.mat",
    "voc": "a.xml",
    "coco": "labels.json",
    "yolo": "a.txt",
    "folder": "b.jpg",
    "jsonl": "labels.jsonl",
}
_FRAGMENTS = st.sampled_from(
    [
        b"a.jpg\n",
        b"1\n",
        b"-1\n",
        b"nan ",
        b"1e999 ",
        b"0 0 5 5 0 0 0 0 0 0\n",
        b"version: 1\n",
        b"n_points: 68\n{\n",
        b"}\n",
        b"<annotation>",
        b"<object>",
        b"</object></annotation>",
        b"<bndbox><xmin>1</xmin></bndbox>",
        b'{"file": "a.jpg", "faces": [{"box": [1, 2]}]}\n',
        b"\x00",
        b'{"file": "a.jpg", "width": 9, "height": 9, "complete": true, "faces": [{"points68": 3}]}\n',
        b"[]\n",
        b"MATLAB 5.0 MAT-file" + b" " * 105,
        b'{"file": "a.jpg", "width": 9, "height": 9, "complete": true, "faces": [{"box": [1, NaN, 3, 4]}]}\n',
        b"\x00\x01IM",
        b"\x0e\x00\x00\x00\x30\x00\x00\x00",
        b"0 0.5 0.5 0.2 0.2\n",
        b"0 0.5 0.5 0.2\n",
        b"0 nan 0.5 0.2 0.2\n",
        b'{"images": [], "annotations": []}',
        b'{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "bbox": [1, 2, "x", 4]}]}',
        b'{"images": [{"id": [], "file_name": 3}, 7], "annotations": [{"image_id": {}}, 5, {"image_id": 1}]}',
    ]
)
_GARBAGE = st.one_of(st.binary(max_size=300), st.lists(_FRAGMENTS, max_size=12).map(b"".join))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("garbage")
    _photo(folder / "a.jpg")
    return folder


@pytest.mark.parametrize("reader", sorted(_FILES))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_GARBAGE)
def test_garbage_is_reported_never_raised(reader: str, data: bytes, place: Path) -> None:
    folder = place / reader
    folder.mkdir(exist_ok=True)
    _photo(folder / "a.jpg") if not (folder / "a.jpg").exists() else None
    (folder / _FILES[reader]).write_bytes(data)
    path = folder / _FILES[reader] if reader.startswith("wider") else folder
    samples, skipped = READERS[reader](path)
    assert all(isinstance(m, str) for m in skipped)
    for sample in samples:
        again = Sample.from_json(json.loads(json.dumps(sample.to_json())))
        assert len(again.faces) == len(sample.faces)
        assert all(np.isfinite(f.box).all() for f in sample.faces)


@given(points=st.lists(st.tuples(*[st.floats(-1e4, 1e4, width=32)] * 2), min_size=68, max_size=68))
def test_pts_round_trip(points: list[tuple[float, float]]) -> None:
    array = np.array(points, np.float32)
    assert np.allclose(parse_pts(_pts(array)), array - 0.5, atol=1e-2)


def _turned(path: Path, width: int, height: int, orientation: int) -> Path:
    """A photo that is stored as width x height, and that EXIF turns."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


def _voc(path: Path, box: tuple[int, int, int, int], size: tuple[int, int] | None = None) -> None:
    stated = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    path.write_text(f"<annotation>{stated}<object><name>face</name><bndbox>{corners}</bndbox></object></annotation>")


@pytest.mark.parametrize(
    ("size", "box", "message"),
    [
        ((64, 48), (5, 6, 20, 30), None),
        (None, (5, 6, 20, 30), None),
        ((0, 0), (5, 6, 20, 30), None),
        ((64, 48), (-5, -6, 20, 30), None),
        ((640, 480), (5, 6, 20, 30), "labels must be of the upright photo of 64x48, but got some of 640x480"),
        ((48, 64), (5, 6, 20, 30), "labels must be of the upright photo of 64x48, but got some of 48x64"),
        ((64, 48), (5000, 6, 5020, 30), "a box must touch the photo of 64x48, but got 5000 6 5020 30"),
        ((64, 48), (5, 48, 20, 60), "a box must touch the photo"),
        ((64, 48), (-9, 6, 0, 30), "a box must touch the photo"),
    ],
)
def test_voc_boxes_are_held_against_the_photo(
    size: tuple[int, int] | None, box: tuple[int, int, int, int], message: str | None, tmp_path: Path
) -> None:
    _photo(tmp_path / "a.jpg")
    _voc(tmp_path / "a.xml", box, size)
    samples, skipped = read_set("voc", tmp_path, "v")
    if message is None:
        assert [s.faces[0].box.tolist() for s in samples] == [list(box)]
        assert not skipped
    else:
        assert not samples
        assert message in skipped[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_that_exif_turns_are_taken_only_with_labels_that_say_in_which_frame_they_are(
    orientation: int, tmp_path: Path
) -> None:
    stored = (64, 48)
    upright = stored[::-1] if orientation >= 5 else stored
    for name, size in (("upright", upright), ("stored", stored), ("nothing", None)):
        _turned(tmp_path / f"{name}.jpg", *stored, orientation)
        _voc(tmp_path / f"{name}.xml", (5, 6, 20, 30), size)
    samples, _ = read_set("voc", tmp_path, "v")
    taken = {s.path.stem: (s.width, s.height) for s in samples}
    if orientation == 1:
        assert taken == dict.fromkeys(("upright", "stored", "nothing"), stored)
    else:
        assert taken == ({"upright": upright} if orientation >= 5 else {})
    _turned(tmp_path / "p.jpg", *stored, orientation)
    (tmp_path / "p.pts").write_text(_pts(POINTS))
    points, skipped = read_set("pts", tmp_path, "p")
    assert len(points) == (orientation == 1)
    assert orientation == 1 or "stored upright, but got one that EXIF turns" in skipped[0]


def test_faces_wholly_outside_are_left_out(tmp_path: Path) -> None:
    _photo(tmp_path / "images/a.jpg")
    labels = tmp_path / "wider_face_val_bbx_gt.txt"
    labels.write_text("a.jpg\n2\n5000 5 10 10 0 0 0 0 0 0\n60 40 10 12 0 0 0 0 0 0\n")
    samples, skipped = read_set("wider", labels, "w")
    assert [f.box.tolist() for f in samples[0].faces] == [[60, 40, 70, 52]]
    assert "a box must touch the photo of 64x48, but got one at 5000 5" in skipped[0]
    _photo(tmp_path / "pts/b.jpg")
    (tmp_path / "pts/b.pts").write_text(_pts(POINTS + 900))
    samples, skipped = read_set("pts", tmp_path / "pts", "p")
    assert not samples
    assert "points must touch the photo of 64x48" in skipped[0]


def _coco(path: Path, images: list[Any], annotations: list[Any], categories: list[Any] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories or []}))


def test_coco(tmp_path: Path) -> None:
    for name in "abc":
        _photo(tmp_path / f"train/{name}.jpg")
    images = [
        {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48},
        {"id": "two", "file_name": "b.jpg"},
        {"id": 3, "file_name": "c.jpg", "width": 128, "height": 96},
        {"id": 4, "file_name": "missing.jpg"},
    ]
    annotations = [
        {"image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 12]},
        {"image_id": 1, "category_id": 7, "bbox": [5, 5, 0, 9]},
        {"image_id": 1, "category_id": 8, "bbox": [0, 0, 60, 40]},
        {"image_id": "two", "category_id": 7, "bbox": [3, 3, 4, 5], "iscrowd": 1},
        {"image_id": "two", "category_id": 7, "bbox": [500, 3, 4, 5]},
    ]
    names = [{"id": 7, "name": "Face"}, {"id": 8, "name": "person"}]
    _coco(tmp_path / "annotations/faces.json", images, annotations, names)
    for path in (tmp_path, tmp_path / "annotations/faces.json", tmp_path / "train"):
        samples, skipped = read_set("coco", path, "own")
        assert [s.path.name for s in samples] == ["a.jpg", "b.jpg"]
        assert [f.box.tolist() for f in samples[0].faces] == [[1, 2, 11, 14]], "only the category of faces"
        assert [(f.box.tolist(), f.ignore) for f in samples[1].faces] == [([3, 3, 7, 8], True)]
        assert [s.complete for s in samples] == [True, False]
        assert len(skipped) == 4
        said = "\n".join(skipped)
        assert "bbox must be x, y and a width and a height above 0, but got [5, 5, 0, 9]" in said
        assert "labels must be of the upright photo of 64x48, but got some of 128x96" in said
        assert "none called 'missing.jpg'" in said
        assert "a box must touch the photo of 64x48, but got one at 500 3" in said


def test_coco_without_a_category_of_faces_takes_all(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg")
    annotations = [{"image_id": 1, "category_id": k, "bbox": [1, 2, 10, 12]} for k in (1, 2)]
    names = [{"id": 1, "name": "with_mask"}, {"id": 2, "name": "without_mask"}]
    _coco(tmp_path / "x.json", [{"id": 1, "file_name": "a.jpg"}], annotations, names)
    assert len(read_set("coco", tmp_path, "m")[0][0].faces) == 2
    _coco(tmp_path / "y.json", [], [])
    samples, (message,) = read_set("coco", tmp_path, "m")
    assert not samples
    assert "must hold one .json of COCO, but got x.json, y.json: name the file" in message


@pytest.mark.parametrize("beside", [True, False])
def test_yolo(tmp_path: Path, beside: bool) -> None:
    photos, labels = (tmp_path, tmp_path) if beside else (tmp_path / "images/train", tmp_path / "labels/train")
    for name in "abcd":
        _photo(photos / f"{name}.jpg")
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n\n1 0.125 0.25 0.25 0.25\n")
    (labels / "b.txt").write_text("0 32 24 10 10\n")  # pixels
    (labels / "c.txt").write_text("0 0.5 0.5 0.25\n")
    if not beside:
        (labels / "z.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    samples, skipped = read_set("yolo", tmp_path, "own")
    assert [(s.path.name, len(s.faces), s.complete) for s in samples] == [("a.jpg", 2, True), ("d.jpg", 0, True)]
    assert [f.box.tolist() for f in samples[0].faces] == [[24, 12, 40, 36], [0, 6, 16, 18]]
    assert [f.extra["label"] for f in samples[0].faces] == ["0", "1"]
    assert "centre and size must be shares of the photo's sides, but got '0 32 24 10 10'" in skipped[0]
    assert "c.txt: there must be 5 finite numbers in a row" in skipped[1]
    assert [Path(m.partition(": ")[0]).name for m in skipped[2:]] == ([] if beside else ["z.txt"])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30), st.floats(0.5, 24), st.floats(0.5, 18)), max_size=4))
def test_boxes_come_back_from_every_format(rows: list[tuple[float, ...]], place: Path) -> None:
    folder = place / "formats"
    wanted = np.array([[x, y, x + w, y + h] for x, y, w, h in rows]).reshape(-1, 4)
    if not (folder / "images/a.jpg").exists():
        _photo(folder / "images/a.jpg")
    _coco(folder / "coco.json", [{"id": 1, "file_name": "images/a.jpg"}], [{"image_id": 1, "bbox": r} for r in rows])
    (folder / "labels").mkdir(exist_ok=True)
    text = "".join(f"0 {(x + w / 2) / 64!r} {(y + h / 2) / 48!r} {w / 64!r} {h / 48!r}\n" for x, y, w, h in rows)
    (folder / "labels/a.txt").write_text(text)
    keys = ("xmin", "ymin", "xmax", "ymax")
    corners = ["".join(f"<{k}>{v!r}</{k}>" for k, v in zip(keys, r, strict=True)) for r in wanted.tolist()]
    objects = "".join(f"<object><bndbox>{c}</bndbox></object>" for c in corners)
    (folder / "xml").mkdir(exist_ok=True)
    (folder / "xml/a.xml").write_text(f"<annotation><filename>a.jpg</filename>{objects}</annotation>")
    (folder / "x_bbx_gt.txt").write_text(
        f"a.jpg\n{len(rows)}\n" + "".join(f"{x!r} {y!r} {w!r} {h!r} 0 0 0 0 0 0\n" for x, y, w, h in rows)
    )
    faces = [{"box": r} for r in wanted.tolist()]
    line = {"file": "images/a.jpg", "width": 64, "height": 48, "complete": True, "faces": faces}
    (folder / "labels.jsonl").write_text(json.dumps(line) + "\n")
    for reader in ("coco", "yolo", "voc", "wider", "jsonl"):
        samples, skipped = read_set(reader, folder, reader)
        assert not skipped, (reader, skipped)
        (sample,) = samples
        assert (sample.width, sample.height, sample.source) == (64, 48, reader)
        found = np.array([f.box for f in sample.faces]).reshape(-1, 4)
        assert np.allclose(found, wanted, atol=1e-3), reader


def _read_coco(folder: Path, images: list[Any], annotations: list[Any]) -> tuple[list[Sample], list[str]]:
    _coco(folder / "labels.json", images, annotations)
    return read_set("coco", folder / "labels.json", "mine")


def test_coco_with_ids_that_fit_nothing_says_so(tmp_path: Path) -> None:
    for name in "abc":
        _photo(tmp_path / f"{name}.png")
    box = [4, 4, 20, 20]
    samples, skipped = _read_coco(tmp_path, [{"id": 1, "file_name": "a.png"}], [{"image_id": "1", "bbox": box}])
    assert [len(s.faces) for s in samples] == [0]
    assert len(skipped) == 1 and "annotations must be of an image in the file, but got 1 of others" in skipped[0]
    assert _read_coco(tmp_path, [{"id": 1.0, "file_name": "a.png"}], [{"image_id": 1, "bbox": box}])[1] == []
    images = [{"id": i, "file_name": f"{name}.png"} for name, i in (("a", 1), ("b", 1), ("c", 2))]
    samples, skipped = _read_coco(tmp_path, images, [{"image_id": i, "bbox": box} for i in (1, 2)])
    assert [s.path.name for s in samples] == ["c.png"]
    assert sum("its id must be its own, but got 2 photos of 1" in message for message in skipped) == 2


def test_labels_of_a_photo_that_comes_again_are_no_background_of_the_first(tmp_path: Path) -> None:
    _photo(tmp_path / "a.png")
    images = [{"id": i, "file_name": "a.png"} for i in (1, 2)]
    (sample,), skipped = _read_coco(tmp_path, images, [{"image_id": i, "bbox": [4 * i, 4, 20, 20]} for i in (1, 2)])
    assert len(sample.faces) == 1 and not sample.complete
    assert "a photo must be labelled once" in skipped[0]
    (sample,), _ = _read_coco(tmp_path, images, [{"image_id": i, "bbox": [4, 4, 20, 20]} for i in (1, 2)])
    assert sample.complete
    row = {"file": "a.png", "width": 64, "height": 48, "complete": False, "faces": []}
    (tmp_path / "labels.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    assert len(read_set("jsonl", tmp_path, "mine")[0]) == 2


def test_marks_of_windows_and_odd_ends_of_lines(tmp_path: Path) -> None:
    _photo(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.5\r\n", "utf-8-sig")
    assert [len(s.faces) for s in read_set("yolo", tmp_path, "mine")[0]] == [1]
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": []}', "utf-8-sig")
    assert read_set("coco", tmp_path / "coco.json", "mine") == ([], [])
    row = {"file": "a.png", "width": 64, "height": 48, "complete": True, "faces": [], "event": "one\u2028two\x85"}
    text = json.dumps(row, ensure_ascii=False)
    (tmp_path / "labels.jsonl").write_text(f"{text}\r\n\r\n{text}", "utf-8-sig")
    samples, skipped = read_set("jsonl", tmp_path, "mine")
    assert [s.event for s in samples] == [row["event"]]
    assert len(skipped) == 1 and "labelled once" in skipped[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"complete": "false"}, "complete must be true or false, but got 'false'"),
        ({"faces": [{"box": [1, 1, 9, 9], "ignore": "no"}]}, "ignore must be true or false, but got 'no'"),
        ({"faces": [{"box": [30, 20, 10, 10]}]}, "box must be x1, y1, x2, y2 with x1 < x2"),
    ],
)
def test_jsonl_of_other_meanings_is_skipped(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    row = {"file": "a.png", "width": 64, "height": 48, "complete": True, "faces": []}
    (tmp_path / "labels.jsonl").write_text(json.dumps(row | change))
    samples, skipped = read_set("jsonl", tmp_path, "mine")
    assert not samples and len(skipped) == 1 and message in skipped[0]
