"""The figures that int8 is held to: a network's own, on training photos, through the path that ships."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from edgeface.angles import rotation_to_angles
from quantize.compress.channel_scales import Scales
from quantize.data.metrics import average_precision, landmark_errors, pose_errors
from quantize.data.photos import every_nth, read_photo
from quantize.data.sample import Sample
from quantize.models.bundle_detector import BundleDetector
from quantize.models.bundles import make_manifest, onnx_spec, write_bundle
from quantize.run import console

LEAST_FACES = 100
"""A figure over fewer faces is not judged: one face more or less would be more than a percent."""


def control_samples(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Training photos to measure int8 against float on: fully boxed ones, and ones with points and a rotation.

    A teacher's rotation serves as the label: the difference between float and int8 is what is asked for, not the error.
    """
    boxed = [
        s
        for s in samples
        if s.complete and any(f.extra.get("box_from", "label") == "label" and not f.ignore for f in s.faces)
    ]
    faces = [
        s for s in samples if any(f.points is not None and f.rotation is not None and not f.ignore for f in s.faces)
    ]
    chosen = []
    for s in map(copy.deepcopy, [*every_nth(boxed, count), *every_nth(faces, count)]):
        for f in s.faces:
            if f.rotation is not None and f.points is not None and "pose_300wlp" not in f.extra:
                angles = rotation_to_angles(f.rotation)
                f.extra["pose_300wlp"] = dict(zip(("yaw", "pitch", "roll"), map(float, angles), strict=True))
        chosen.append(s)
    return list({s.path: s for s in chosen}.values())


def figures(
    path: Path, precision: str, scales: Scales, samples: Sequence[Sample], side: int = 320, least: int = LEAST_FACES
) -> dict[str, float]:
    """AP ≥16 px (``ap``), pose MAE (``degrees``) and 5-point error over box size, % (``nme``) of one ONNX file.

    A figure over fewer than ``least`` faces is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "candidate.efm"
        manifest = make_manifest("candidate", "0", [onnx_spec(path, precision)], scales, [(side, side)])
        write_bundle(bundle, manifest, path.parent)
        detector = BundleDetector(str(bundle), (side, side), precision=precision)
        bar = track(samples, f"measure {path.stem}", console=console)
        found = {s.key: detector.detect(read_photo(s)) for s in bar}
    ap, boxed = average_precision(samples, found, 16)
    pose, points = pose_errors(samples, found), landmark_errors(samples, found)
    values = [
        ("ap", ap, boxed),
        ("degrees", pose.get("pose_mae"), pose.get("n_pose", 0)),
        ("nme", points.get("nme5_box"), points.get("n5", 0)),
    ]
    return {key: float(value) for key, value, faces in values if value is not None and faces >= least}


def loss_of(quantised: dict[str, float], reference: dict[str, float]) -> dict[str, float]:
    """What int8 loses: AP absolute, degrees absolute, NME relative. Figures that only one of both has are left out."""
    losses = {
        "ap": lambda int8, full: full - int8,
        "degrees": lambda int8, full: int8 - full,
        "nme": lambda int8, full: int8 / max(full, 1e-9) - 1,
    }
    shared = [key for key in losses if key in quantised and key in reference]
    loss = {key: losses[key](quantised[key], reference[key]) for key in shared}
    return {key: value for key, value in loss.items() if math.isfinite(value)}
