"""The official easy, medium and hard figures on a ground truth of two photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed (pip install -e '.[quantize]')")

from quantize.data.detections import Found  # noqa: E402
from quantize.evaluate.wider_official import official, read_truth  # noqa: E402


def _cells(*values: Any) -> np.ndarray[Any, Any]:
    out = np.empty((len(values), 1), object)
    for i, v in enumerate(values):
        out[i, 0] = v
    return out


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Photo a: a large and a small face; photo b: a large one. Easy holds the large ones, hard all."""
    files = _cells(_cells("a", "b"))
    boxes = _cells(_cells(np.array([[10, 10, 49, 49], [100, 100, 9, 9]], float), np.array([[20, 20, 59, 59]], float)))
    scipy_io.savemat(
        tmp_path / "wider_face_val.mat",
        {"event_list": _cells("0--Parade"), "file_list": files, "face_bbx_list": boxes},
    )
    large, all_of_them = ([[1]], [[1]]), ([[1], [2]], [[1]])
    for name, kept in (("easy", large), ("medium", large), ("hard", all_of_them)):
        lists = _cells(_cells(*(np.array(k, float) for k in kept)))
        scipy_io.savemat(tmp_path / f"wider_{name}_val.mat", {"gt_list": lists})
    return tmp_path


def _found(*rows: list[float]) -> Found:
    return Found.from_json([{"box": r[:4], "score": r[4]} for r in rows])


def test_subsets_by_hand(truth: Path) -> None:
    labels = read_truth(truth)
    assert {k: len(t.boxes) for k, t in labels.items()} == {"0--Parade/a": 2, "0--Parade/b": 1}
    a = _found([10, 10, 59, 59, 0.9], [200, 200, 240, 240, 0.6], [100, 100, 109, 109, 0.3])
    b = _found([20, 20, 79, 79, 0.5])
    result = official(labels, {"0--Parade/a": a, "0--Parade/b": b})
    # easy: true (.9), false (.6), true (.5), then one on an ignored face: 1/2 + 1/2 * 2/3
    assert result["easy"] == result["medium"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    # hard: true, false, true, true of three faces: 1/3 + 2/3 * 3/4
    assert result["hard"] == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert official(labels, {}) == {"easy": 0.0, "medium": 0.0, "hard": 0.0}


def test_boxes_count_their_last_pixel(truth: Path) -> None:
    labels = read_truth(truth)
    # 50 x 50 pixels against 50 x 25 of them: .5, which would be 24 of 49 without the last pixels
    found = {"0--Parade/a": _found([10, 10, 59, 34, 0.9]), "0--Parade/b": _found([20, 20, 79, 79, 0.8])}
    assert official(labels, found)["easy"] == pytest.approx(1.0)


def test_something_else_is_refused(truth: Path) -> None:
    (truth / "wider_easy_val.mat").write_bytes(b"no")
    with pytest.raises(ValueError, match="must be a MATLAB file"):
        read_truth(truth)
    (truth / "wider_easy_val.mat").unlink()
    with pytest.raises(ValueError, match="must hold the authors' ground truth"):
        read_truth(truth)
