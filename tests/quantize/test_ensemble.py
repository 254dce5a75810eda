"""The ensemble that labels: each detector's outputs, and the fusion by hand; all three on one drawn face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from quantize.data.boxes import iou_matrix
from quantize.label import centerface, retinaface, yunet
from quantize.label.centerface import CenterFace
from quantize.label.ensemble import Ensemble, padded, resized
from quantize.label.fusion import Detections, Trust, best_of_overlapping, fuse, joined, within_range
from quantize.label.retinaface import RetinaFace
from quantize.label.yunet import YuNet

SHARED = Path(__file__).parents[2] / ".." / "shared"


def found(*scores_and_boxes: tuple[float, Any]) -> Detections:
    """Detections whose five points are the box's corner."""
    boxes = np.array([box for _, box in scores_and_boxes], np.float32).reshape(-1, 4)
    scores = np.array([score for score, _ in scores_and_boxes], np.float32)
    return Detections(boxes, np.repeat(boxes[:, None, :2], 5, 1), scores)


# --- the networks' outputs -------------------------------------------------------------------------------------------


def test_yunet_decodes_each_stride() -> None:
    width, height = 96, 64
    outputs = {
        f"{name}_{s}": np.zeros((1, (width // s) * (height // s), channels), np.float32)
        for s in (8, 16, 32)
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }
    cell = 1 * (width // 16) + 2  # row 1, column 2 of stride 16
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.81, 0.64
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs["kps_16"][0, cell] = [0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]
    outputs["cls_32"][0, 0], outputs["obj_32"][0, 0] = 0.02, 0.0199  # just under what a run keeps
    boxes, points, scores = yunet.decode(outputs, width)
    assert scores == pytest.approx([0.72])
    np.testing.assert_allclose(boxes, [[40 - 16, 20 - 24, 40 + 16, 20 + 24]], atol=1e-4)
    np.testing.assert_allclose(points, [[[32, 16], [48, 16], [40, 24], [32, 32], [48, 32]]])


def test_centerface_decodes_rows_before_columns() -> None:
    outputs = {
        name: np.zeros((1, c, 8, 16), np.float32) for name, c in (("537", 1), ("538", 2), ("539", 2), ("540", 10))
    }
    outputs["537"][0, 0, 3, 10], outputs["537"][0, 0, 0, 0] = 0.6, 0.02
    outputs["538"][0, :, 3, 10] = np.log([4, 2])  # height 16, width 8
    outputs["539"][0, :, 3, 10] = [0.25, -0.5]
    outputs["540"][0, :, 3, 10] = [0.25, 0, 0.25, 1, 0.5, 0.5, 0.75, 0, 0.75, 1]
    boxes, points, scores = centerface.decode(outputs)
    assert scores == pytest.approx([0.6])
    np.testing.assert_allclose(boxes, [[40 - 4, 15 - 8, 40 + 4, 15 + 8]], atol=1e-5)
    np.testing.assert_allclose(points, [[[36, 11], [44, 11], [40, 15], [36, 19], [44, 19]]], atol=1e-5)


def test_retinaface_decodes_around_its_anchors() -> None:
    height, width = 64, 96
    assert retinaface.anchors(height, width).shape == (2 * (8 * 12 + 4 * 6 + 2 * 3), 3)
    index = 2 * 8 * 12 + 2 * (1 * 6 + 2) + 1  # stride 16, row 1, column 2, the larger side: centre 40, 24, side 128
    count = len(retinaface.anchors(height, width))
    outputs = {"loc": np.zeros((1, count, 4), np.float32), "landmarks": np.zeros((1, count, 10), np.float32)}
    outputs["conf"] = np.tile(np.array([0.99, 0.01], np.float32), (1, count, 1))
    outputs["conf"][0, index] = [0.3, 0.7]
    outputs["loc"][0, index] = [0.5, -0.25, 5 * np.log(0.5), 0]
    outputs["landmarks"][0, index] = [0, 0, 1, 0, 0, 1, -1, 0, 0, -1]
    boxes, points, scores = retinaface.decode(outputs, height, width)
    assert scores == pytest.approx([0.7])
    x, y = 40 + 0.1 * 128 * 0.5, 24 - 0.1 * 128 * 0.25
    np.testing.assert_allclose(boxes, [[x - 32, y - 64, x + 32, y + 64]], rtol=1e-5)
    want: Any = [[[40, 24], [52.8, 24], [40, 36.8], [27.2, 24], [40, 11.2]]]
    np.testing.assert_allclose(points, want, rtol=1e-5)


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("longest", "yunet_factors", "centerface_factors", "retinaface_factors"),
    [
        (500, (1, 2), (1, 1.5), (1,)),
        (501, (0.5, 1, 2), (0.5, 1, 1.5), (1,)),
        (700, (0.5, 1, 2), (0.5, 1, 1.5), (1,)),
        (701, (0.5, 1, 2), (0.5, 1, 1.5), (0.5, 1)),
        (1400, (0.5, 1, 2), (0.5, 1, 1.5), (0.5, 1)),
        (1401, (0.5, 1), (0.5, 1, 1.5), (0.5, 1)),
    ],
)
def test_factors(longest: int, yunet_factors: Any, centerface_factors: Any, retinaface_factors: Any) -> None:
    assert YuNet.factors(longest) == yunet_factors
    assert CenterFace.factors(longest) == centerface_factors
    assert RetinaFace.factors(longest) == retinaface_factors


def test_what_each_detector_is_trusted_with() -> None:
    assert [d.trust for d in (YuNet, CenterFace, RetinaFace)] == [
        Trust(9, 400, 0.4),
        Trust(9, 500, 0.4),
        Trust(12, 700, 0.2),
    ]


@pytest.mark.parametrize(
    ("height", "factor", "share"),
    [(6, 1, 0), (8, 1, 0.5), (4, 2, 0.5), (10, 1, 1), (100, 1, 1), (120, 1, 0.5), (240, 0.5, 0.5), (140, 1, 0)],
)
def test_size_range_counts_in_the_resized_photo(height: float, factor: float, share: float) -> None:
    out = within_range(found((0.8, [0, 5, 3, 5 + height])), Trust(10, 100, 1), factor)
    assert out.scores.tolist() == pytest.approx([0.8 * share] if share else [], rel=1e-5)


def test_suppression_compares_with_what_stays_only() -> None:
    # 4 px apart: an IoU of 6/14 = .43; 8 px apart: 2/18
    row = found((0.9, [0, 0, 10, 10]), (0.7, [8, 0, 18, 10]), (0.8, [4, 0, 14, 10]))
    out = best_of_overlapping(row, 0.4)
    assert out.boxes[:, 0].tolist() == [0, 8]
    assert best_of_overlapping(row, 0.43).boxes[:, 0].tolist() == [0, 4, 8]
    assert best_of_overlapping(row, 0.4, most=2).boxes[:, 0].tolist() == [0]


def test_suppression_of_many_is_that_of_one_by_one() -> None:
    random = np.random.default_rng(0)
    corner, side = random.uniform(0, 300, (700, 2)), random.uniform(10, 60, (700, 2))
    boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
    scores = np.linspace(1, 0.1, 700, dtype=np.float32)
    out = best_of_overlapping(Detections(boxes, np.zeros((700, 5, 2), np.float32), scores), 0.4)
    kept: list[Any] = []
    for box in boxes:
        if not (iou_matrix(box[None], np.array(kept).reshape(-1, 4)) > 0.4).any():
            kept.append(box)
    assert 256 < len(kept) < 700
    np.testing.assert_array_equal(out.boxes, np.array(kept, np.float32))


TRUSTS = (Trust(9, 400, 0.4), Trust(9, 500, 0.4), Trust(12, 700, 0.2))


def test_fused_by_hand() -> None:
    parts = [
        found((0.8, [0, 0, 10, 10]), (0.6, [0, 0, 10, 10.5])),  # one detector at two factors: its best counts
        found((0.4, [2, 0, 12, 10])),  # IoU .67
        found((0.2, [50, 0, 60, 10])),  # elsewhere, alone
    ]
    boxes, points, scores = fuse(parts, TRUSTS)
    np.testing.assert_allclose(scores, [0.4 * 0.8 + 0.4 * 0.4, 0.2 * 0.2], rtol=1e-5)
    w = np.array([0.64, 0.36, 0.16]) / 1.16
    np.testing.assert_allclose(boxes[0], [2 * w[2], 0, 10 + 2 * w[2], 10 + 0.5 * w[1]], rtol=1e-5)
    np.testing.assert_allclose(points[0], np.tile([2 * w[2], 0], (5, 1)), rtol=1e-5)
    np.testing.assert_allclose(boxes[1], [50, 0, 60, 10], rtol=1e-5)


def test_a_detection_joins_the_cluster_that_it_overlaps_most() -> None:
    # openers 6 px apart (IoU .25); the third lies 4 px from the better one (.43) and 2 px from the other (.67)
    parts = [found((0.9, [0, 0, 10, 10]), (0.8, [6, 0, 16, 10])), found((0.5, [4, 0, 14, 10])), found()]
    scores = fuse(parts, TRUSTS).scores
    np.testing.assert_allclose(sorted(scores), sorted([0.4 * 0.9, 0.4 * 0.8 + 0.4 * 0.5]), rtol=1e-5)


def test_an_overlap_of_two_fifths_joins_and_less_opens() -> None:
    assert len(fuse([found((0.9, [0, 0, 10, 10])), found((0.5, [0, 0, 10, 4])), found()], TRUSTS).scores) == 1
    assert len(fuse([found((0.9, [0, 0, 10, 10])), found((0.5, [0, 0, 10, 3.99])), found()], TRUSTS).scores) == 2


def test_of_two_clusters_at_one_place_the_better_stays() -> None:
    # the openers overlap by .34; the second one's member draws it nearer, to .46
    parts = [found((0.9, [0, 0, 10, 10])), found((0.8, [4.9, 0, 14.9, 10])), found((0.79, [2.5, 0, 12.5, 10]))]
    boxes, _, scores = fuse(parts, TRUSTS)
    np.testing.assert_allclose(scores, [0.4 * 0.8 + 0.2 * 0.79], rtol=1e-5)
    assert boxes[0, 0] == pytest.approx((4.9 * 0.64 + 2.5 * 0.6241) / (0.64 + 0.6241), rel=1e-5)


def test_nothing_found() -> None:
    assert len(fuse([found(), found(), found()], TRUSTS).scores) == 0
    assert joined([]).points.shape == (0, 5, 2)


# --- photos ----------------------------------------------------------------------------------------------------------


def test_views_are_black_on_the_right_and_below() -> None:
    view = padded(np.full((33, 64, 3), 9, np.uint8))
    assert view.shape == (64, 64, 3) and (view[:33] == 9).all() and not view[33:].any()
    assert resized(np.zeros((31, 51, 3), np.uint8), 0.5).shape[:2] in ((16, 26), (15, 25), (16, 25), (15, 26))
    assert resized(np.zeros((31, 51, 3), np.uint8), 2).shape == (62, 102, 3)


def test_the_ensemble_agrees_with_labels_of_people() -> None:
    """One photo of one large face at three sizes: found with a high score where its 68 points are."""
    ensemble = Ensemble(SHARED / "teachers")
    folder = SHARED / "data" / "train" / "helen"
    row = json.loads((folder / "labels.jsonl").read_text().splitlines()[0])
    image = np.asarray(cv2.imread(str(folder / row["file"])), np.uint8)
    drawn = np.array(row["faces"][0]["points68"])
    want = np.stack([drawn[36:42].mean(0), drawn[42:48].mean(0), drawn[30], drawn[48], drawn[54]])
    for factor in (0.5, 1.0, 1.5):
        boxes, points, scores = ensemble(resized(image, factor))
        assert scores[0] > 0.8 and (scores > 0.05).all() and (np.diff(scores) <= 0).all()
        assert {a.dtype for a in (boxes, points, scores)} == {np.dtype(np.float32)}
        side = np.sqrt(np.prod(boxes[0, 2:] - boxes[0, :2]))
        assert np.linalg.norm(points[0] - want * factor, axis=1).mean() < 0.06 * side
        assert (boxes[0, :2] < want.min(0) * factor).all() and (boxes[0, 2:] > want.max(0) * factor).all()


def test_a_teacher_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="yunet_n_dynamic"):
        Ensemble(tmp_path)
