"""Pascal VOC: an ``.xml`` a photo."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from quantize.data.readers.photos import Result, each, face, labelled_size, numbers, outside, photo_of, text_of
from quantize.data.sample import Sample


def read_voc(folder: Path) -> Result:
    """A folder of ``.xml``, photos beside them or in ``JPEGImages`` or ``images``.

    Every object counts as a face, with its name in ``extra["label"]``. A file whose ``<size>`` is not the photo's, or
    with a box outside of it, is skipped.
    """

    def one(path: Path) -> Sample:
        try:
            root = ElementTree.fromstring(text_of(path))
        except ElementTree.ParseError as error:
            raise ValueError(f"must be XML, but got {error}") from None
        photo = photo_of(path, root.findtext("filename") or "")
        width, height = labelled_size(photo, _stated(root))
        faces = []
        for item in root.iter("object"):
            box = item.find("bndbox")
            values = [box.findtext(k) if box is not None else None for k in ("xmin", "ymin", "xmax", "ymax")]
            x1, y1, x2, y2 = numbers(" ".join(v or "missing" for v in values), 4)
            if not (x2 > x1 and y2 > y1):
                raise ValueError(f"a box must have a width and a height, but got {x1:g} {y1:g} {x2:g} {y2:g}")
            if outside([x1, y1, x2, y2], width, height):
                raise ValueError(f"a box must touch the photo of {width}x{height}, but got {x1:g} {y1:g} {x2:g} {y2:g}")
            faces.append(face([x1, y1, x2, y2], extra={"label": (item.findtext("name") or "")[:80]}))
        return Sample(photo, width, height, faces, True)

    return each(sorted(folder.rglob("*.xml")), one)


def _stated(root: ElementTree.Element) -> tuple[int, int] | None:
    """What ``<size>`` says; None where there is none, or zeros as some programs write."""
    texts = [root.findtext(f"size/{side}") for side in ("width", "height")]
    if texts == [None, None]:
        return None
    width, height = numbers(" ".join(text or "missing" for text in texts), 2)
    return (int(width), int(height)) if width or height else None
