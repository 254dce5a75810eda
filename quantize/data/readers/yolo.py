"""YOLO: a ``.txt`` a photo, a row a face: class, centre and size in shares of the photo's sides."""

from __future__ import annotations

from pathlib import Path

from quantize.data.readers.photos import Result, face, labelled_size, numbers, photos_in, text_of
from quantize.data.sample import FaceLabel, Sample
from quantize.progress import watched


def read_yolo(folder: Path) -> Result:
    """A folder of photos with their ``.txt`` beside them, or in ``labels`` where the photos are in ``images``.

    Every class counts as a face, with its number in ``extra["label"]``. A photo without a ``.txt`` has no faces, as in
    YOLO itself.
    """
    samples: list[Sample] = []
    skipped: list[str] = []
    used: set[Path] = set()
    for photo in watched(photos_in(folder), "reading"):
        labels = next(
            (p for p in (photo.with_suffix(".txt"), _in_labels(photo)) if p is not None and p.is_file()), None
        )
        try:
            width, height = labelled_size(photo)
            faces = []
            if labels is not None:
                used.add(labels)
                faces = _faces(labels, width, height)
        except (ValueError, OSError) as error:
            skipped.append(f"{labels or photo}: {error}")
            continue
        samples.append(Sample(photo, width, height, faces, True))
    orphans = [p for p in sorted(folder.rglob("labels/**/*.txt")) if p not in used and p.stem != "classes"]
    known = {Path(message.partition(": ")[0]) for message in skipped}
    skipped += [f"{p}: there must be a photo for it in images, but got none" for p in orphans if p not in known]
    return samples, skipped


def _in_labels(photo: Path) -> Path | None:
    """``…/images/train/a.jpg`` to ``…/labels/train/a.txt``."""
    parts = list(photo.parts)
    if "images" not in parts[:-1]:
        return None
    at = len(parts) - 2 - parts[:-1][::-1].index("images")
    return Path(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt")


def _faces(labels: Path, width: int, height: int) -> list[FaceLabel]:
    faces = []
    for line in text_of(labels).splitlines():
        if not line.strip():
            continue
        kind, x, y, w, h = numbers(line, 5)
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
            raise ValueError(f"centre and size must be shares of the photo's sides, but got {line.strip()[:80]!r}")
        box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        faces.append(face(box, extra={"label": f"{kind:g}"}))
    return faces
