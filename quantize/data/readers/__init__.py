"""Readers of public label formats, one file a format: a path in, samples and messages for what was skipped out.

| reader | path | labels |
|---|---|---|
| jsonl | folder with ``labels.jsonl`` | see `quantize.data.jsonl` |
| wider | WIDER FACE's ``wider_face_*_bbx_gt.txt``, or a folder that holds one | boxes, attributes |
| wider-mat | WIDER FACE's ``wider_face_*.mat`` | boxes, attributes |
| pts | folder of photos with ``.pts`` beside them (300-W) | 68 points |
| mat | folder of photos with ``.mat`` beside them (300W-LP, AFLW2000-3D) | 68 points, rotation |
| voc | folder of ``.xml`` (Pascal VOC), photos beside them or in ``JPEGImages`` or ``images`` | boxes |
| coco | COCO's ``.json``, or a folder that holds one | boxes |
| yolo | folder of photos, ``.txt`` beside them or in ``labels`` | boxes |
| folder | folder of photos | none |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantize.data.jsonl import read_jsonl
from quantize.data.readers.coco import read_coco
from quantize.data.readers.folder import read_folder
from quantize.data.readers.matlab import load_mat, read_pose_mat, unwrap
from quantize.data.readers.photos import Result, inside, once, photo_size
from quantize.data.readers.points import parse_pts, read_pts
from quantize.data.readers.voc import read_voc
from quantize.data.readers.wider import read_wider_mat, read_wider_text
from quantize.data.readers.yolo import read_yolo

READERS: dict[str, Callable[[Path], Result]] = {
    "jsonl": read_jsonl,
    "wider": read_wider_text,
    "wider-mat": read_wider_mat,
    "pts": read_pts,
    "mat": read_pose_mat,
    "voc": read_voc,
    "coco": read_coco,
    "yolo": read_yolo,
    "folder": read_folder,
}


def read_set(reader: str, path: Path, name: str) -> Result:
    """Reads one set and calls it ``name``. Boxes outside of their photo are skipped, and the labels of a photo that
    comes again.

    Raises:
        ValueError: there is no such reader.
        FileNotFoundError: there is no such path, or not what the reader reads.
    """
    if reader not in READERS:
        raise ValueError(f"reader must be one of {', '.join(READERS)}, but got {reader}")
    if not path.exists():
        raise FileNotFoundError(f"set {name} must be there, but got no {path}")
    samples, skipped = READERS[reader](path)
    for s in samples:
        s.source = name
        inside(s, skipped)
    return once(samples, skipped), skipped


__all__ = [
    "READERS",
    "Result",
    "load_mat",
    "parse_pts",
    "photo_size",
    "read_folder",
    "read_jsonl",
    "read_pose_mat",
    "read_pts",
    "read_set",
    "read_voc",
    "read_wider_mat",
    "read_wider_text",
    "unwrap",
]
