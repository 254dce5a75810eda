"""Documents and files that somebody else has written, for hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["\ud800", "a\udcff", 2**70, -1, 1e308, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def changed(draw: Any, document: Any) -> Any:
    """A copy with one value, anywhere, replaced or left out."""
    copy = json.loads(json.dumps(document))
    place, key = None, None
    here = copy
    while isinstance(here, (dict, list)) and here:
        keys = sorted(here) if isinstance(here, dict) else range(len(here))
        place, key = here, draw(st.sampled_from(list(keys)))
        here = here[key]
        if draw(st.integers(0, 3)) == 0:
            break
    if place is not None:
        if isinstance(place, dict) and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(strange)
    return copy


def flipped(draw: Any, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        out[draw(st.integers(0, len(out) - 1))] = draw(st.integers(0, 255))
    return bytes(out[: draw(st.integers(0, len(out)))]) if draw(st.integers(0, 3)) == 0 else bytes(out)
