"""Trainings that end before their time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quantize.train.loop import Trainer


@contextlib.contextmanager
def cut_off(when: Callable[[Trainer], bool]) -> Iterator[None]:
    """A training within ends with an error in the first step that ``when`` names, which must come."""
    from quantize.train.loop import Trainer  # needs torch, which the tests' files ask for first

    class CutError(Exception):
        pass

    def loss(self: Trainer, *given: Any) -> Any:
        if when(self):
            raise CutError
        return plain(self, *given)

    plain = Trainer._loss
    with pytest.MonkeyPatch.context() as m, pytest.raises(CutError):
        m.setattr(Trainer, "_loss", loss)
        yield
