"""What all readers share: photos and their sizes, label files, and messages for what has to be skipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.images import SUFFIXES
from quantize.data.sample import FaceLabel, Sample
from quantize.progress import watched

Result = tuple[list[Sample], list[str]]
"""Samples, and a message for every file or face that was skipped."""

MAX_LABEL_BYTES = 16 << 20
"""No label file of one photo is larger; a larger one is something else."""
FORMATS = (".jpg", ".png", ".jpeg", ".webp", ".bmp", ".JPG", ".PNG", ".JPEG")


def is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def photos_in(folder: Path) -> list[Path]:
    """All photos of a folder and of the folders in it."""
    return [p for p in sorted(folder.rglob("*")) if is_photo(p) and p.is_file()]


def photo_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright photo. Raises ValueError for what is not a photo."""
    image = _decoded(path, cv2.IMREAD_COLOR)
    return image.shape[1], image.shape[0]


def labelled_size(path: Path, stated: tuple[int, int] | None = None) -> tuple[int, int]:
    """(width, height) of the upright photo, in which its labels must be.

    Args:
        path: of the photo.
        stated: what the labels say of its size; None where they say nothing.

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


def outside(box: Sequence[float], width: int, height: int) -> bool:
    """Whether no part of a box lies in the photo."""
    x1, y1, x2, y2 = box
    return x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height


def inside(sample: Sample, skipped: list[str]) -> None:
    """Takes faces that lie outside of the photo out of the sample; each is a message in ``skipped``.

    The photo is no longer complete then: the face of a wrong box may be anywhere in it.
    """
    wrong = [f for f in sample.faces if outside(f.box.tolist(), sample.width, sample.height)]
    for f in wrong:
        at = f"{f.box[0]:g} {f.box[1]:g}"
        skipped.append(
            f"{sample.path}: a box must touch the photo of {sample.width}x{sample.height}, but got one at {at}"
        )
    if wrong:
        sample.faces, sample.complete = [f for f in sample.faces if not any(f is w for w in wrong)], False


def once(samples: list[Sample], skipped: list[str]) -> list[Sample]:
    """The samples without those whose photo came before, each a message in ``skipped``; a photo with one labelled face
    a row may come often.

    Where the rows differ the photo is no longer complete: the faces of one would be background in the other.
    """
    first: dict[Path, Sample] = {}
    kept = []
    for s in samples:
        before = first.setdefault(s.path, s)
        if before is s or not (s.complete or before.complete):
            kept.append(s)
            continue
        skipped.append(f"{s.path}: a photo must be labelled once, but got it again: its first labels are kept")
        if [f.box.tolist() for f in s.faces] != [f.box.tolist() for f in before.faces]:
            before.complete = False
    return kept


def each(paths: Iterable[Path], one: Callable[[Path], Sample]) -> Result:
    """``one`` of every path; what it raises becomes a message."""
    samples: list[Sample] = []
    skipped: list[str] = []
    for path in watched(list(paths), "reading"):
        try:
            samples.append(one(path))
        except (ValueError, OSError) as error:
            skipped.append(f"{path}: {error}")
    return samples, skipped


def face(box: list[float], ignore: bool = False, extra: dict[str, Any] | None = None) -> FaceLabel:
    return FaceLabel(np.array(box, np.float32), ignore=ignore, extra={"box_from": "label", **(extra or {})})


def numbers(line: str, count: int) -> list[float]:
    """``count`` finite numbers of a line. Raises ValueError for another line."""
    try:
        values = [float(v) for v in line.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ValueError(f"there must be {count} finite numbers in a row, but got {line[:80]!r}")
    return values


def text_of(path: Path) -> str:
    """Content of a label file. Raises ValueError for one that is too large to be one photo's."""
    if path.stat().st_size > MAX_LABEL_BYTES:
        raise ValueError(f"a label file must be at most {MAX_LABEL_BYTES} bytes, but got {path.stat().st_size}")
    return path.read_text("utf-8-sig", errors="replace")  # Windows puts a mark before UTF-8


def _candidates(path: Path) -> Iterator[Path]:
    yield from (path.with_suffix(s) for s in FORMATS)


def photo_beside(path: Path) -> Path:
    """The photo of the same name. Raises ValueError where there is none."""
    found = next((p for p in _candidates(path) if p.is_file()), None)
    if found is None:
        raise ValueError("there must be a photo of the same name beside it, but got none")
    return found


def photo_of(path: Path, name: str) -> Path:
    """The photo of an annotation: of its own name, or of the one it states, here or in the usual folders."""
    for folder in (path.parent, path.parent.parent / "JPEGImages", path.parent.parent / "images", path.parent.parent):
        stated = [folder / Path(name.replace("\\", "/")).name] if name and "\0" not in name else []
        for candidate in (*stated, *_candidates(folder / path.name)):
            if is_photo(candidate) and candidate.is_file():
                return candidate
    raise ValueError(f"there must be a photo for it, but got none called {name[:80]!r} or {path.stem}")
