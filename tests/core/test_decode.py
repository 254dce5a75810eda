"""The core's decode against the NumPy reference."""

from __future__ import annotations

import numpy as np
from core_strategies import Heads, heads
from hypothesis import given, settings

from edgeface import _core, reference


@settings(max_examples=300, deadline=None)
@given(heads())
def test_equals_reference(case: Heads) -> None:
    expected = reference.decode(*case.arguments, **case.options)
    got = _core.decode(*case.arguments, **case.options)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-5)
