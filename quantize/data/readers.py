"""Readers of public label formats. Each takes a path and returns samples, and a message for every file or face that it
had to skip.

| reader | path | labels |
|---|---|---|
| jsonl | folder with ``labels.jsonl`` | see `quantize.data.jsonl` |
| wider | WIDER FACE's ``wider_face_*_bbx_gt.txt`` | boxes, attributes |
| wider-mat | WIDER FACE's ``wider_face_*.mat`` | boxes, attributes |
| pts | folder of photos with ``.pts`` beside them (300-W) | 68 points |
| mat | folder of photos with ``.mat`` beside them (300W-LP, AFLW2000-3D) | 68 points, rotation |
| voc | folder of ``.xml`` (Pascal VOC), photos beside them or in ``JPEGImages`` or ``images`` | boxes |
| folder | folder of photos | none |
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.images import SUFFIXES
from quantize.data.jsonl import read_jsonl
from quantize.data.pose import rotation_from_300wlp
from quantize.data.sample import FaceLabel, Sample, points5_from_68

Result = tuple[list[Sample], list[str]]

#: No label file of one photo is larger; a larger one is something else.
MAX_LABEL_BYTES = 16 << 20
WIDER_ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "atypical_pose")


def read_set(reader: str, path: Path, name: str) -> Result:
    """Reads one set and calls it ``name``.

    Raises:
        ValueError: there is no such reader.
        FileNotFoundError: there is no such path.
    """
    if reader not in READERS:
        raise ValueError(f"reader must be one of {', '.join(READERS)}, but got {reader}")
    if not path.exists():
        raise FileNotFoundError(f"set {name} must be there, but got no {path}")
    samples, skipped = READERS[reader](path)
    for s in samples:
        s.source = name
    return samples, skipped


def read_wider_text(path: Path) -> Result:
    """The official annotation text: a line with the photo, one with the number of faces, and a line a face."""
    images = _wider_images(path)
    lines = iter(enumerate(path.read_text(errors="replace").splitlines(), 1))
    samples: list[Sample] = []
    skipped: list[str] = []
    for number, line in lines:
        file = line.strip()
        if not _is_photo(Path(file)):
            if not re.fullmatch(r"[\d\s.-]*", file):
                skipped.append(f"{path}:{number}: a photo's name must stand here, but got {file[:80]!r}")
            continue  # the row of zeros after a photo without faces, or the rest of a photo that was skipped
        try:
            count = int(next(lines)[1])
            if not 0 <= count <= 10_000:
                raise ValueError(f"the number of faces must be 0 to 10000, but got {count}")
            rows = [_numbers(next(lines)[1], 10) for _ in range(count)]
            samples.append(_wider_sample(images / file, rows, skipped))
        except StopIteration:
            skipped.append(f"{path}:{number}: {file}: the file must go on, but ended")
        except (ValueError, OSError) as error:
            skipped.append(f"{path}:{number}: {file}: {error}")
    return samples, skipped


def read_wider_mat(path: Path) -> Result:
    """The official ``.mat``: event_list, file_list, face_bbx_list and a list an attribute."""
    samples: list[Sample] = []
    skipped: list[str] = []
    try:
        content = load_mat(path)
        events = [str(unwrap(e)) for e in content["event_list"].ravel()]
        files, boxes = content["file_list"].ravel(), content["face_bbx_list"].ravel()
        attributes = {
            a: content[k].ravel()
            for a in WIDER_ATTRIBUTES
            if (k := f"{a.removeprefix('atypical_')}_label_list") in content
        }
        if not len(events) == len(files) == len(boxes):
            raise ValueError(f"lists must be of equal length, but got {len(events)}, {len(files)}, {len(boxes)}")
    except (KeyError, ValueError, AttributeError) as error:
        return [], [f"{path}: must be WIDER FACE's labels, but got {type(error).__name__}: {error}"]
    images = _wider_images(path)
    for e, event in enumerate(events):
        for i, entry in enumerate(np.atleast_1d(files[e]).ravel()):
            file = f"{event}/{unwrap(entry)}.jpg"
            try:
                xywh = np.asarray(unwrap(boxes[e].ravel()[i]), float).reshape(-1, 4)
                columns = [
                    np.asarray(unwrap(attributes[a][e].ravel()[i]), float).ravel()
                    if a in attributes
                    else np.zeros(len(xywh))
                    for a in WIDER_ATTRIBUTES
                ]
                if any(len(c) != len(xywh) for c in columns):
                    raise ValueError("every attribute must be given for each face, but got fewer or more")
                samples.append(_wider_sample(images / file, np.c_[xywh, np.array(columns).T].tolist(), skipped))
            except (ValueError, IndexError, TypeError, OSError) as error:
                skipped.append(f"{path}: {file}: {error}")
    return samples, skipped


def _wider_images(path: Path) -> Path:
    """Where the photos are: ``WIDER_train/images`` beside the folder of the labels, or ``images`` beside the labels."""
    split = next((s for s in ("train", "val", "test") if s in path.stem), "train")
    for folder in (
        path.parent.parent / f"WIDER_{split}" / "images",
        path.parent / f"WIDER_{split}" / "images",
        path.parent / "images",
    ):
        if folder.is_dir():
            return folder
    return path.parent


def _wider_sample(path: Path, rows: Iterable[Sequence[float]], skipped: list[str]) -> Sample:
    width, height = labelled_size(path)
    faces = []
    for x, y, w, h, *attributes in rows:
        if not (w > 0 and h > 0 and all(map(math.isfinite, (x, y, w, h)))):
            if any((x, y, w, h)):
                skipped.append(f"{path}: a box must have a width and a height, but got {w:g} x {h:g}")
            continue
        if _outside([x, y, x + w, y + h], width, height):
            skipped.append(f"{path}: a box must touch the photo of {width}x{height}, but got one at {x:g} {y:g}")
            continue
        extra = {k: int(v) for k, v in zip(WIDER_ATTRIBUTES, attributes, strict=True)}
        faces.append(_face([x, y, x + w, y + h], ignore=bool(extra.pop("invalid")), extra=extra))
    return Sample(path, width, height, faces, True)


def read_pts(folder: Path) -> Result:
    """300-W: each photo's 68 points in a ``.pts`` of the same name; other faces of the photo are not labelled."""

    def one(path: Path) -> Sample:
        points = parse_pts(_text(path))
        return _pointed(_photo_beside(path), points, {}, None)

    return _each(sorted(folder.rglob("*.pts")), one)


def parse_pts(text: str) -> NDArray[np.float32]:
    """Points (68, 2) in pixels of the photo. The files count pixel centres from 1, as MATLAB does.

    Raises:
        ValueError: another number of points, or not a ``.pts`` file.
    """
    body = re.fullmatch(r"\s*version:\s*\S+\s+n_points:\s*(\d{1,4})\s*\{(.*)\}\s*", text, re.DOTALL)
    if body is None:
        raise ValueError("a .pts file must be version, n_points and {points}, but got something else")
    rows = [_numbers(line, 2) for line in body[2].strip().splitlines()]
    if int(body[1]) != 68 or len(rows) != 68:
        raise ValueError(f"there must be 68 points, but got {len(rows)} (n_points {body[1]})")
    return np.array(rows, np.float32) - 0.5


def read_pose_mat(folder: Path) -> Result:
    """300W-LP and AFLW2000-3D: each photo's points and Pose_Para in a ``.mat`` of the same name."""

    def one(path: Path) -> Sample:
        content = load_mat(path)
        key = next((k for k in ("pt3d_68", "pt2d") if k in content), None)
        if key is None or "Pose_Para" not in content:
            raise ValueError(
                f"a .mat must hold Pose_Para and pt3d_68 or pt2d, but got {sorted(k for k in content if k[0] != '_')}"
            )
        points = np.asarray(content[key], float)
        pose = np.asarray(content["Pose_Para"], float).ravel()
        if points.ndim != 2 or points.shape[0] not in (2, 3) or points.shape[1] != 68 or len(pose) < 3:
            raise ValueError(
                f"points must be (2 or 3, 68) and Pose_Para at least 3 long, but got {points.shape} and {len(pose)}"
            )
        if not (np.isfinite(points).all() and np.isfinite(pose[:3]).all()):
            raise ValueError("points and pose must be finite, but got others")
        pitch, yaw, roll = (float(v) for v in np.degrees(pose[:3]))
        return _pointed(
            _photo_beside(path),
            (points[:2].T - 0.5).astype(np.float32),
            {"yaw": yaw, "pitch": pitch, "roll": roll},
            None,
        )

    return _each(sorted(folder.rglob("*.mat")), one)


def read_voc(folder: Path) -> Result:
    """Pascal VOC: a box and a name for each object; all of them count as faces, with the name in ``extra["label"]``."""

    def one(path: Path) -> Sample:
        try:
            root = ElementTree.fromstring(_text(path))
        except ElementTree.ParseError as error:
            raise ValueError(f"must be XML, but got {error}") from None
        photo = _photo_of(path, root.findtext("filename") or "")
        width, height = labelled_size(photo, _voc_size(root))
        faces = []
        for item in root.iter("object"):
            box = item.find("bndbox")
            values = [box.findtext(k) if box is not None else None for k in ("xmin", "ymin", "xmax", "ymax")]
            x1, y1, x2, y2 = _numbers(" ".join(v or "missing" for v in values), 4)
            if not (x2 > x1 and y2 > y1):
                raise ValueError(f"a box must have a width and a height, but got {x1:g} {y1:g} {x2:g} {y2:g}")
            if _outside([x1, y1, x2, y2], width, height):
                raise ValueError(f"a box must touch the photo of {width}x{height}, but got {x1:g} {y1:g} {x2:g} {y2:g}")
            faces.append(_face([x1, y1, x2, y2], extra={"label": (item.findtext("name") or "")[:80]}))
        return Sample(photo, width, height, faces, True)

    return _each(sorted(folder.rglob("*.xml")), one)


def read_folder(folder: Path) -> Result:
    """Photos without labels: teachers find what is in them, and nothing counts as background before."""

    def one(path: Path) -> Sample:
        width, height = photo_size(path)
        return Sample(path, width, height, [], False)

    return _each([p for p in sorted(folder.rglob("*")) if p.is_file() and _is_photo(p)], one)


READERS: dict[str, Callable[[Path], Result]] = {
    "jsonl": read_jsonl,
    "wider": read_wider_text,
    "wider-mat": read_wider_mat,
    "pts": read_pts,
    "mat": read_pose_mat,
    "voc": read_voc,
    "folder": read_folder,
}


def photo_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright photo. Raises ValueError for what is not a photo."""
    image = _decoded(path, cv2.IMREAD_COLOR)
    return image.shape[1], image.shape[0]


def labelled_size(path: Path, stated: tuple[int, int] | None = None) -> tuple[int, int]:
    """(width, height) of the upright photo, in which its labels must be.

    Args:
        path: of the photo.
        stated: what the labels say of its size.

    Raises:
        ValueError: not a photo; of another size than stated; or EXIF turns it, and nothing tells whether the labels are
            of the stored picture or of the upright one.
    """
    upright = _decoded(path, cv2.IMREAD_COLOR)
    size = (upright.shape[1], upright.shape[0])
    if stated is not None and stated != size:
        raise ValueError(
            f"labels must be of the upright photo of {size[0]}x{size[1]}, but got some of {stated[0]}x{stated[1]}"
        )
    with path.open("rb") as file:
        may_turn = b"xif" in file.read(1 << 16).lower() or path.suffix.lower() in (".tif", ".tiff")
    if may_turn:
        stored = _decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        told = stated is not None and stored.shape != upright.shape
        if not told and (stored.shape != upright.shape or bool((stored != upright).any())):
            raise ValueError("a labelled photo must be stored upright, but got one that EXIF turns")
    return size


def _decoded(path: Path, flags: int) -> NDArray[Any]:
    if not path.is_file():
        raise ValueError(f"photo must be there, but got no {path}")
    image = cv2.imread(str(path), flags) if path.stat().st_size else None
    if image is None:
        raise ValueError(f"photo must be readable, but got {path}")
    return image


def _voc_size(root: ElementTree.Element) -> tuple[int, int] | None:
    """What ``<size>`` says; None where there is none, or zeros as some programs write."""
    texts = [root.findtext(f"size/{side}") for side in ("width", "height")]
    if texts == [None, None]:
        return None
    width, height = _numbers(" ".join(text or "missing" for text in texts), 2)
    return (int(width), int(height)) if width or height else None


def _outside(box: Sequence[float], width: int, height: int) -> bool:
    """Whether no part of a box lies in the photo."""
    x1, y1, x2, y2 = box
    return x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height


def load_mat(path: Path) -> dict[str, Any]:
    """A MATLAB file up to version 7. Raises ValueError for anything else, whatever its bytes are."""
    import scipy.io

    if path.stat().st_size > MAX_LABEL_BYTES * 8:
        raise ValueError(f"a .mat must be at most {MAX_LABEL_BYTES * 8} bytes, but got {path.stat().st_size}")
    try:
        content: dict[str, Any] = scipy.io.loadmat(path)
    except MemoryError:
        raise ValueError("must be a MATLAB file, but got one that claims to be larger than memory") from None
    except Exception as error:  # the parser raises whatever the bytes lead it to
        raise ValueError(f"must be a MATLAB file of version 4 to 7, but got {type(error).__name__}: {error}") from None
    return content


def _each(paths: Iterable[Path], one: Callable[[Path], Sample]) -> Result:
    samples: list[Sample] = []
    skipped: list[str] = []
    for path in paths:
        try:
            samples.append(one(path))
        except (ValueError, OSError) as error:
            skipped.append(f"{path}: {error}")
    return samples, skipped


def _pointed(photo: Path, points: NDArray[np.float32], pose: dict[str, float], quality: float | None) -> Sample:
    width, height = labelled_size(photo)
    hull = np.r_[points.min(0), points.max(0)].astype(np.float32)
    if _outside(hull.tolist(), width, height):
        raise ValueError(
            f"points must touch the photo of {width}x{height}, but got some around {hull.round().tolist()}"
        )
    extra: dict[str, Any] = {"points68": points.round(2).tolist(), "box_from": "points"}
    rotation = None
    if pose:
        extra["pose_300wlp"] = {k: round(v, 4) for k, v in pose.items()}
        rotation = rotation_from_300wlp(pose["yaw"], pose["pitch"], pose["roll"]).astype(np.float32)
    return Sample(
        photo, width, height, [FaceLabel(hull, points5_from_68(points), rotation, quality, False, extra)], False
    )


def _face(box: list[float], ignore: bool = False, extra: dict[str, Any] | None = None) -> FaceLabel:
    return FaceLabel(np.array(box, np.float32), ignore=ignore, extra={"box_from": "label", **(extra or {})})


def _numbers(line: str, count: int) -> list[float]:
    """``count`` finite numbers of a line; WIDER's rows may have a blank at the end."""
    values = [float(v) for v in line.split()]
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ValueError(f"there must be {count} finite numbers in a row, but got {line[:80]!r}")
    return values


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_LABEL_BYTES:
        raise ValueError(f"a label file must be at most {MAX_LABEL_BYTES} bytes, but got {path.stat().st_size}")
    return path.read_text(errors="replace")


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _candidates(path: Path) -> Iterator[Path]:
    yield from (path.with_suffix(s) for s in (".jpg", ".png", ".jpeg", ".webp", ".bmp", ".JPG", ".PNG"))


def _photo_beside(path: Path) -> Path:
    found = next((p for p in _candidates(path) if p.is_file()), None)
    if found is None:
        raise ValueError("there must be a photo of the same name beside it, but got none")
    return found


def _photo_of(path: Path, name: str) -> Path:
    """The photo of an annotation: of its own name, or of the one it states, here or in the usual folders."""
    for folder in (path.parent, path.parent.parent / "JPEGImages", path.parent.parent / "images", path.parent.parent):
        stated = [folder / Path(name.replace("\\", "/")).name] if name and "\0" not in name else []
        for candidate in (*stated, *_candidates(folder / path.name)):
            if _is_photo(candidate) and candidate.is_file():
                return candidate
    raise ValueError(f"there must be a photo for it, but got none called {name[:80]!r} or {path.stem}")


def unwrap(value: Any) -> Any:
    """MATLAB cells come as arrays of one object each, nested."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1:
        return value.ravel()[0]
    return value
