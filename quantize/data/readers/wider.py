"""WIDER FACE's labels: the text files and the MATLAB files of the authors. Boxes and attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from quantize.data.readers.matlab import load_mat, unwrap
from quantize.data.readers.photos import Result, face, is_photo, labelled_size, numbers
from quantize.data.sample import Sample
from quantize.progress import watched

ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "atypical_pose")


def read_wider_text(path: Path) -> Result:
    """``wider_face_*_bbx_gt.txt``, or a folder that holds one: lines of a photo, a number of faces, and one a face."""
    if path.is_dir():
        files = sorted(path.rglob("*_bbx_gt.txt"))
        if len(files) != 1:
            names = ", ".join(str(f.relative_to(path)) for f in files) or "none"
            return [], [f"{path}: must hold one file *_bbx_gt.txt, but got {names}: name the file as the set's path"]
        path = files[0]
    images = _images(path)
    lines = iter(enumerate(watched(path.read_text("utf-8-sig", errors="replace").splitlines(), "reading"), 1))
    samples: list[Sample] = []
    skipped: list[str] = []
    for number, line in lines:
        file = line.strip()
        if not is_photo(Path(file)):
            if not re.fullmatch(r"[\d\s.-]*", file):
                skipped.append(f"{path}:{number}: a photo's name must stand here, but got {file[:80]!r}")
            continue  # the row of zeros after a photo without faces, or the rest of a photo that was skipped
        try:
            count = int(next(lines)[1])
            if not 0 <= count <= 10_000:
                raise ValueError(f"the number of faces must be 0 to 10000, but got {count}")
            rows = [numbers(next(lines)[1], 10) for _ in range(count)]
            samples.append(_sample(images / file, rows, skipped))
        except StopIteration:
            skipped.append(f"{path}:{number}: {file}: the file must go on, but ended")
        except (ValueError, OSError) as error:
            skipped.append(f"{path}:{number}: {file}: {error}")
    return samples, skipped


def read_wider_mat(path: Path) -> Result:
    """``wider_face_*.mat``: event_list, file_list, face_bbx_list and a list an attribute."""
    samples: list[Sample] = []
    skipped: list[str] = []
    try:
        content = load_mat(path)
        events = [str(unwrap(e)) for e in content["event_list"].ravel()]
        files, boxes = content["file_list"].ravel(), content["face_bbx_list"].ravel()
        attributes = {
            a: content[k].ravel() for a in ATTRIBUTES if (k := f"{a.removeprefix('atypical_')}_label_list") in content
        }
        if not len(events) == len(files) == len(boxes):
            raise ValueError(f"lists must be of equal length, but got {len(events)}, {len(files)}, {len(boxes)}")
    except (KeyError, ValueError, AttributeError, OSError) as error:
        return [], [f"{path}: must be WIDER FACE's labels, but got {type(error).__name__}: {error}"]
    images = _images(path)
    for e, event in enumerate(events):
        for i, entry in enumerate(np.atleast_1d(files[e]).ravel()):
            file = f"{event}/{unwrap(entry)}.jpg"
            try:
                xywh = np.asarray(unwrap(boxes[e].ravel()[i]), float).reshape(-1, 4)
                columns = [
                    np.asarray(unwrap(attributes[a][e].ravel()[i]), float).ravel()
                    if a in attributes
                    else np.zeros(len(xywh))
                    for a in ATTRIBUTES
                ]
                if any(len(c) != len(xywh) for c in columns):
                    raise ValueError("every attribute must be given for each face, but got fewer or more")
                samples.append(_sample(images / file, np.c_[xywh, np.array(columns).T].tolist(), skipped))
            except (ValueError, IndexError, TypeError, OSError) as error:
                skipped.append(f"{path}: {file}: {error}")
    return samples, skipped


def _images(path: Path) -> Path:
    """Where the photos are: ``WIDER_train/images`` beside the folder of the labels, or ``images`` beside the labels."""
    split = next((s for s in ("train", "val", "test") if s in path.stem), "train")
    for folder in (
        path.parent.parent / f"WIDER_{split}" / "images",
        path.parent / f"WIDER_{split}" / "images",
        path.parent / "images",
        path.parent.parent / "images",
    ):
        if folder.is_dir():
            return folder
    return path.parent


def _sample(path: Path, rows: Iterable[Sequence[float]], skipped: list[str]) -> Sample:
    width, height = labelled_size(path)
    faces = []
    for x, y, w, h, *attributes in rows:
        if not (w > 0 and h > 0 and all(map(math.isfinite, (x, y, w, h)))):
            if any((x, y, w, h)):
                skipped.append(f"{path}: a box must have a width and a height, but got {w:g} x {h:g}")
            continue
        extra = {k: int(v) for k, v in zip(ATTRIBUTES, attributes, strict=True)}
        faces.append(face([x, y, x + w, y + h], ignore=bool(extra.pop("invalid")), extra=extra))
    return Sample(path, width, height, faces, True, event=path.parent.name)
