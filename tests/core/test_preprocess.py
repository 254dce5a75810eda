"""The core's preprocess against the NumPy reference: every integer equal, whatever the frame."""

from __future__ import annotations

import numpy as np
from core_strategies import Case, cases
from hypothesis import given, settings

from edgeface import _core, reference


@settings(max_examples=400, deadline=None)
@given(cases())
def test_equals_reference(case: Case) -> None:
    expected, got = case.empty(), case.empty()
    affine = reference.preprocess(*case.arguments(expected), **case.options)
    result = _core.preprocess(*case.arguments(got), **case.options)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(result, affine, rtol=1e-12, atol=1e-9)
