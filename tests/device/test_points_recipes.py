"""The recipes of docs/guides/points.md do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.heads import faces_of

from edgeface import Faces, angles_to_rotation, camera_matrix

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "points.md"
K = camera_matrix((1280, 720), 70)
AWAY = angles_to_rotation([50, 0, 0])


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    found: dict[str, Any] = {}
    blocks = re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["who_looks", "mask_on", "Attention", "blur_others"]
    for _, code in blocks:
        exec(code, found)
    return found


def test_who_looks(recipes: dict[str, Any]) -> None:
    faces = faces_of(K, [(0, 0, 1), (0, 0, 2)], [np.eye(3), AWAY], track_ids=[4, 5])
    assert recipes["who_looks"](faces, K).tolist() == [4]
    bare = faces_of(K, [(0, 0, 1), (0, 0, 2)], [np.eye(3), AWAY], track_ids=[4, 5], points=False)
    assert recipes["who_looks"](bare, K).tolist() == [4]


def test_mask_on(recipes: dict[str, Any]) -> None:
    cover = np.array([[0, 0, 0.9, 0.9, 0, 0], [0, 0, 0, 0.1, 0, 0]])
    faces = faces_of(K, [(0, 0, 1), (0.3, 0, 1)], [np.eye(3)] * 2, cover=cover)
    assert recipes["mask_on"](faces).tolist() == [True, False]
    assert recipes["mask_on"](faces_of(K, [(0, 0, 1)], [np.eye(3)], points=False)).tolist() == [False]
    assert recipes["mask_on"](Faces.empty((64, 48))).tolist() == []


def test_attention(recipes: dict[str, Any]) -> None:
    attention = recipes["Attention"](K)
    for k in range(101):
        looks = np.eye(3) if k < 50 else AWAY
        share = attention.update(faces_of(K, [(0, 0, 1)], [looks], track_ids=[3], timestamp_ns=k * 200_000_000))
    # twenty seconds: of the last ten, the second half, none is left
    assert share == {3: pytest.approx(0, abs=0.03)}
    assert attention.update(Faces.empty((1280, 720), timestamp_ns=60 * 10**9, track_ids=np.zeros(0, int))) == {}
    half = recipes["Attention"](K)
    for k in range(40):
        looks = np.eye(3) if k < 20 else AWAY
        share = half.update(faces_of(K, [(0, 0, 1)], [looks], track_ids=[3], timestamp_ns=k * 200_000_000))
    assert share == {3: pytest.approx(0.5)}


def test_blur_others(recipes: dict[str, Any]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    faces = faces_of(K, [(-0.5, 0, 1.5), (0.3, 0, 1)], [np.eye(3)] * 2)
    shown = recipes["blur_others"](image, faces, K)
    far, near = faces.boxes.astype(int)
    kept = slice(near[1] + 2, near[3] - 2), slice(near[0] + 2, near[2] - 2)
    assert np.array_equal(shown[kept], image[kept])
    inside = slice(far[1] + 20, far[3] - 20), slice(far[0] + 20, far[2] - 20)
    assert not np.array_equal(shown[inside], image[inside])
    assert np.array_equal(recipes["blur_others"](image, Faces.empty((1280, 720)), K), image)
