"""What the gate's reasons of the per-face network are worth: on faces whose eyes, mouth and masks are labelled, and by
kind of degradation.

    python benchmarks/gate_points.py --dev RUN/label/dev.jsonl     to choose thresholds
    python benchmarks/gate_points.py [--markdown FILE]             on val/afw, val/mask_web, val/people_degraded

Eyes and mouths are labelled by drawn contours: shut below .2 of openness, open from .5 on, a mouth open above .3. Masks
are those of the mask sets. Nobody labelled glasses: for them the share of faces is printed alone. Each row has the area
under the ROC curve, and what the threshold of the gate does: the share of true and of false alarms. `--dev` prints the
thresholds with the fewest false alarms that still find half, and nine in ten, and what openness the network says of
eyes and mouths by what is labelled: the events' thresholds come from there.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from quality_gate import markdown
from rich.console import Console
from rich.progress import track
from rich.table import Table

import edgeface
from edgeface.faces import Faces
from edgeface.gate import Reason
from quantize.data.boxes import iou_matrix
from quantize.data.photos import read_photo
from quantize.data.readers import read_set
from quantize.data.sample import FaceLabel, Sample, read_samples
from quantize.points.figures import FRONTAL, NARROW, OPEN, SHUT, roc_area
from quantize.points.labels import yaw_of
from quantize.points.state import drawn_openness

DATA = Path(__file__).parents[2] / "shared" / "data" / "val"
REASONS = (Reason.OCCLUDED, Reason.EYES_CLOSED, Reason.MOUTH_OPEN, Reason.GLASSES, Reason.SUNGLASSES)
#: Per reason: the gate's threshold, the measure, and whether more of it is worse.
TESTS = {
    Reason.OCCLUDED: ("max_cover", "cover", True),
    Reason.EYES_CLOSED: ("min_eyes_open", "eyes_open", False),
    Reason.MOUTH_OPEN: ("max_mouth_open", "mouth_open", True),
    Reason.GLASSES: ("max_glasses", "glasses", True),
    Reason.SUNGLASSES: ("max_sunglasses", "sunglasses", True),
}
MASKED, BARE = ("with_mask",), ("without_mask",)
FOUND = 0.3
LEVELS = (0.0, 0.2, 0.35, 0.5, 0.7, 0.9, 1.01)


class Case(NamedTuple):
    """One described face: the gate's measures, what people labelled, and the kind of its photo."""

    measures: dict[str, float]
    truth: dict[Reason, bool | None]
    kind: str
    openness: tuple[float, float]
    """Of the eye that is less open, and of the mouth, as labelled."""


def gate_of() -> edgeface.QualityGate:
    """All thresholds of the presets that ask about eyes, mouth and cover, without any other test."""
    off: dict[str, Any] = dict.fromkeys(
        "min_score min_quality min_size max_yaw max_pitch max_roll max_cut min_sharpness min_brightness max_brightness "
        "max_dark max_bright min_contrast occlusion_quality".split()
    )
    return edgeface.QualityGate(**off)


def openness_of(face: FaceLabel, found: Any) -> tuple[float, float]:
    """Of the less open eye and of the mouth, by drawn contours; NaN where they do not say."""
    drawn, rotation = face.extra.get("points68"), np.asarray(found.camera_rotations[0], float)
    if drawn is None or abs(yaw_of(rotation)) >= FRONTAL:
        return np.nan, np.nan
    right, left, mouth = drawn_openness(np.array(drawn, float), rotation)
    return (np.nanmin([right, left]) if np.isfinite([right, left]).any() else np.nan), mouth


def truth_of(face: FaceLabel, openness: tuple[float, float]) -> dict[Reason, bool | None]:
    """What people labelled of a face."""
    truth: dict[Reason, bool | None] = {}
    label = face.extra.get("label")
    if label in MASKED + BARE:
        truth[Reason.OCCLUDED] = label in MASKED
    least, mouth = openness
    if least < SHUT or least > NARROW:
        truth[Reason.EYES_CLOSED] = bool(least < SHUT)
    if np.isfinite(mouth):
        truth[Reason.MOUTH_OPEN] = bool(mouth > OPEN)
    return truth


def cases(engine: edgeface.FaceEngine, samples: list[Sample], kinds: dict[str, str]) -> list[Case]:
    """Describes the labelled faces that are found. ``kinds``: the kind of each photo, by its file's name."""
    gate, out = gate_of(), []
    for sample in track(samples, "photos", console=Console(stderr=True), transient=True):
        labelled = [f for f in sample.faces if not f.ignore]
        if not labelled:
            continue
        image = read_photo(sample)
        faces = engine.detect(image, "bgr")
        if not len(faces):
            continue
        overlap = iou_matrix(np.stack([f.box for f in labelled]).astype(np.float32), faces.boxes)
        best = overlap.argmax(1)
        chosen = [(f, int(b)) for f, b, o in zip(labelled, best, overlap, strict=True) if o[b] >= FOUND]
        for face, number in chosen:
            one: Faces = engine.describe(image, faces[[number]], top=1, color="bgr")
            if not one.described[0]:
                continue
            report, openness = gate.check(one)[0], openness_of(face, one)
            kind = kinds.get(sample.path.name, "")
            out.append(Case(dict(report.measures), truth_of(face, openness), kind, openness))
    return out


def told_apart(name: str, some: list[Case], table: Table, choose: bool) -> None:
    """A row for each reason that something is known about."""
    for reason in REASONS:
        threshold, measure, more = TESTS[reason]
        known = [(c.measures[measure], c.truth[reason]) for c in some if c.truth.get(reason) is not None]
        if not known or len({t for _, t in known}) < 2:
            continue
        values, truth = np.array([v for v, _ in known]), np.array([t for _, t in known])
        scores = values if more else -values
        cells = []
        for preset in ("default", "verify", "enrol"):
            gate = edgeface.QualityGate() if preset == "default" else edgeface.QualityGate.preset(preset)
            limit = getattr(gate, threshold)
            if limit is None:
                cells.append("off")
                continue
            alarm = scores > (limit if more else -limit)
            cells.append(f"{limit:g}: {alarm[truth].mean():.2f} / {alarm[~truth].mean():.2f}")
        if choose:
            for share in (0.5, 0.9):
                limit = np.quantile(scores[truth], 1 - share)
                cells.append(f"{limit if more else -limit:.2f}: {(scores[~truth] >= limit).mean():.2f}")
        table.add_row(name, str(reason), f"{truth.sum()} / {(~truth).sum()}", f"{roc_area(scores, truth):.3f}", *cells)


def by_openness(some: list[Case], table: Table) -> None:
    """A row for each level of labelled openness: what the network says of such eyes and mouths."""
    for k, measure in enumerate(("eyes_open", "mouth_open")):
        labelled, said = (np.array(v) for v in zip(*((c.openness[k], c.measures[measure]) for c in some), strict=True))
        for low, high in pairwise(LEVELS):
            here = said[(labelled >= low) & (labelled < high)]
            if len(here):
                cells = [f"{q:.2f}" for q in np.quantile(here, [0.1, 0.5, 0.9])]
                table.add_row(measure, f"{low:g} to {min(high, 1):g}", str(len(here)), *cells)


def by_kind(some: list[Case], table: Table) -> None:
    """A row for each kind of degradation: the share of faces with each reason at the thresholds of "enrol"."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in some:
        groups[case.kind].append(case)
    limits = {r: getattr(edgeface.QualityGate.preset("enrol"), TESTS[r][0]) for r in REASONS}
    for kind, group in sorted(groups.items()):
        cells = []
        for reason in REASONS:
            _, measure, more = TESTS[reason]
            limit = 0.5 if limits[reason] is None else limits[reason]
            values = np.array([c.measures[measure] for c in group])
            cells.append(f"{(values > limit if more else values < limit).mean():.0%}")
        table.add_row(kind, str(len(group)), *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--points", default="edgeface-points", help="per-face bundle: name or path")
    parser.add_argument("--size", default="480x480")
    parser.add_argument("--dev", type=Path, help="dev.jsonl of a run, in place of the held-out sets")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    console = Console(width=160)
    columns = ["set", "reason", "so / not so", "AUC", "default: true / false alarms", "verify", "enrol"]
    if options.dev is not None:
        columns += ["half found: false alarms", "nine in ten found"]
    apart, kinds = Table(*columns), Table("degradation", "faces", *map(str, REASONS))
    levels = Table("measure", "labelled", "faces", "one in ten below", "half below", "nine in ten below")
    with edgeface.FaceEngine(
        options.model, size=options.size, points=options.points, points_top=0, min_score=0.3
    ) as engine:
        if options.dev is not None:
            faces = cases(engine, read_samples(options.dev), {})
            told_apart("dev", faces, apart, choose=True)
            by_openness(faces, levels)
        else:
            for name in ("afw", "mask_web"):
                told_apart(name, cases(engine, read_set("jsonl", DATA / name, name)[0], {}), apart, choose=False)
            rows = map(json.loads, (DATA / "people_degraded" / "labels.jsonl").read_text().splitlines())
            of = {Path(row["file"]).name: row["degradation"] for row in rows}
            by_kind(cases(engine, read_set("jsonl", DATA / "people_degraded", "people")[0], of), kinds)
        network = f"`{options.points}` on faces of `{engine.info.model}` ({options.size})"
    first = f"{network}, faces that are found; thresholds with their shares of true / false alarms:"
    parts = [markdown(first, apart)]
    if options.dev is not None:
        parts.append(markdown("Openness that the network says, by what is labelled:", levels))
    else:
        parts.append(markdown('val/people_degraded, share of found faces; thresholds of "enrol", else .5:', kinds))
    text = "\n\n".join(parts) + "\n"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if options.markdown is not None:
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
