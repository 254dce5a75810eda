"""What all readers share: photos and their sizes, label files, and messages for what has to be skipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

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
    """(width, height) of the photo as it is shown, turned by its EXIF tag. Raises ValueError for what is not a photo."""
    if not path.is_file():
        raise ValueError(f"photo must be there, but got no {path}")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if image is None:
        raise ValueError(f"photo must be readable, but got {path}")
    return image.shape[1], image.shape[0]


def labelled_size(path: Path, stated: tuple[int, int] | None = None) -> tuple[int, int]:
    """(width, height) of a photo with boxes or points in pixels, or in shares of the sides.

    Args:
        path: the photo.
        stated: the size that the labels say they were made at; None where they do not say.

    Raises:
        ValueError: not a photo; labels of another size; a photo that is turned by its EXIF tag, whose labels may have been made
            before the turn.
    """
    size = photo_size(path)
    if stated is not None and min(stated) > 0 and stated != size:
        turned = " (it is turned by its EXIF tag, and was not when it was labelled)" if stated == size[::-1] else ""
        raise ValueError(
            f"labels must be made at the photo's size of {size[0]}x{size[1]}, but say {stated[0]}x{stated[1]}{turned}"
        )
    sides_told = stated is not None and min(stated) > 0 and size[0] != size[1]
    if (turn := _turn(path)) and not (turn == "side" and sides_told):
        raise ValueError(
            f"photo must be stored upright, but {path.name} is turned by its EXIF tag, and its labels do not say "
            "whether they were made before or after the turn: save it without the tag"
        )
    return size


def _turn(path: Path) -> str:
    """ "side" for a photo that its EXIF tag turns by a quarter, "over" for another turn or mirror, "" for none."""
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8
    shown, stored = (cv2.imread(str(path), f) for f in (flags, flags | cv2.IMREAD_IGNORE_ORIENTATION))
    if shown is None or stored is None or (shown.shape == stored.shape and np.array_equal(shown, stored)):
        return ""
    # stored turned back by a quarter either way is what is shown, be it square or not
    return "side" if any(np.array_equal(np.rot90(stored, k), shown) for k in (1, 3)) else "over"


def inside(sample: Sample, skipped: list[str]) -> Sample:
    """The sample without faces whose box has its centre outside of the photo, in place; each is a message in ``skipped``.

    Such a photo is no longer complete: the face of a wrong box may be anywhere in it.
    """
    kept = []
    for face in sample.faces:
        x, y = (face.box[:2] + face.box[2:]) / 2
        if 0 <= x <= sample.width and 0 <= y <= sample.height:
            kept.append(face)
            continue
        box = " ".join(f"{v:g}" for v in face.box)
        skipped.append(f"{sample.path}: a box must lie in the {sample.width}x{sample.height} photo, but got {box}")
    if len(kept) < len(sample.faces):
        sample.faces, sample.complete = kept, False
    return sample


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
    return path.read_text(errors="replace")


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
