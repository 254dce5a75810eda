"""COCO: one JSON file with ``images``, ``annotations`` and ``categories`` for all photos."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from quantize.data.readers.photos import Result, face, labelled_size
from quantize.data.sample import FaceLabel, Sample
from quantize.progress import watched


def read_coco(path: Path) -> Result:
    """A JSON file, or a folder that holds one (in it or in ``annotations``); photos in the file's folder or near it.

    Categories with "face" in their name are taken; where none has it, all are. Crowds (``iscrowd``) are ignore regions.
    Photos that share an ``id`` are skipped: nothing tells whose an annotation is.
    """
    try:
        file, content = _content(path)
    except (ValueError, OSError, RecursionError) as error:
        return [], [f"{path}: {error or 'must be JSON that is nested less deeply'}"]
    samples: list[Sample] = []
    skipped: list[str] = []
    wanted = _face_categories(content.get("categories"))
    by_photo: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, said in enumerate(content["annotations"]):
        if not isinstance(said, dict) or not isinstance(said.get("image_id"), (int, str)):
            skipped.append(f"{file}: annotation {number} must name its image_id, but got {str(said)[:80]}")
        elif wanted is None or said.get("category_id") in wanted:
            by_photo[said["image_id"]].append(said)
    places = _places(path, file)
    names = _names(content["images"])
    if unknown := [key for key in by_photo if key not in names]:
        count = sum(len(by_photo[key]) for key in unknown)
        skipped.append(
            f"{file}: annotations must be of an image in the file, but got {count} of others: image_id {unknown[:5]}"
        )
    for image in watched(content["images"], "reading"):
        try:
            if len(names[image["id"]]) > 1:
                raise ValueError(f"its id must be its own, but got {len(names[image['id']])} photos of {image['id']!r}")
            photo = _photo(places, image["file_name"])
            stated = (int(image.get("width") or 0), int(image.get("height") or 0))
            width, height = labelled_size(photo, stated if min(stated) > 0 else None)
            faces = [f for said in by_photo[image["id"]] if (f := _face(said, photo, skipped))]
        except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
            name = image.get("file_name") if isinstance(image, dict) else image
            skipped.append(f"{file}: {str(name)[:80]}: {error if isinstance(error, ValueError) else repr(error)[:200]}")
            continue
        samples.append(Sample(photo, width, height, faces, True))
    return samples, skipped


def _names(images: list[Any]) -> dict[Any, set[str]]:
    """File names by the number of the image."""
    names: dict[Any, set[str]] = defaultdict(set)
    for image in images:
        if isinstance(image, dict) and isinstance(image.get("id"), (int, float, str)):
            names[image["id"]].add(str(image.get("file_name")))
    return names


def _content(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file and what it says. Raises ValueError where that is not COCO, or there are several files."""
    if path.is_dir():
        files = [*sorted(path.glob("*.json")), *sorted((path / "annotations").glob("*.json"))]
        files = files or sorted((path.parent / "annotations").glob("*.json"))
        if len(files) != 1:
            names = ", ".join(f.name for f in files) or "none"
            raise ValueError(f"must hold one .json of COCO, but got {names}: name the file as the set's path")
        path = files[0]
    content = json.loads(path.read_text("utf-8-sig", errors="replace"))
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise ValueError(f"{path.name} must be COCO's, with lists of images and annotations, but has none")
    return path, content


def _face_categories(categories: Any) -> set[Any] | None:
    """Numbers of the categories that are faces; None for all of them."""
    named = {
        c["id"]
        for c in (categories if isinstance(categories, list) else [])
        if isinstance(c, dict) and isinstance(c.get("id"), (int, str)) and "face" in str(c.get("name", "")).lower()
    }
    return named or None


def _places(path: Path, file: Path) -> list[Path]:
    """Folders that photos may lie in, likeliest first."""
    around = {file.parent, file.parent.parent}
    near = [folder for parent in sorted(around) for folder in sorted(parent.iterdir()) if folder.is_dir()]
    return [*([path] if path.is_dir() else []), *around, *near]


def _photo(places: list[Path], name: Any) -> Path:
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"file_name must be text, but got {str(name)[:80]!r}")
    for folder in places:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"there must be a photo for it, but got none called {name[:80]!r}")


def _face(said: dict[str, Any], photo: Path, skipped: list[str]) -> FaceLabel | None:
    """The face of an annotation; a message instead of one whose box is none."""
    box = said.get("bbox")
    numbers = [float(v) for v in box] if isinstance(box, list) and len(box) == 4 else []
    if not numbers or not all(map(math.isfinite, numbers)) or min(numbers[2:]) <= 0:
        skipped.append(f"{photo}: bbox must be x, y and a width and a height above 0, but got {str(box)[:80]}")
        return None
    x, y, w, h = numbers
    return face([x, y, x + w, y + h], ignore=bool(said.get("iscrowd")))
