"""Other people's detectors, so that they can be measured on the same photos with the same scorer.

A peer is named ``ADAPTER:FILE``. To add one, write a class with ``name``, ``rule`` (the input rule, for the table)
and ``detect``, as in `quantize.evaluate.peers.yunet`, and name it in `ADAPTERS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from quantize.models.detector import Detector

ADAPTERS = {
    "yunet": "quantize.evaluate.peers.yunet:YuNetPeer",
    "scrfd": "quantize.evaluate.peers.scrfd:ScrfdPeer",
    "mediapipe": "quantize.evaluate.peers.mediapipe:MediaPipePeer",
}


class OtherInputError(ValueError):
    """A peer's file has one input size, and it is not the trial's."""


def open_peer(spec: str, size: tuple[int, int], min_score: float) -> Detector:
    """Opens ``ADAPTER:FILE`` for an input of ``size`` (width, height).

    Raises:
        ValueError: there is no such adapter.
        OtherInputError: the file has another input size, and only that.
        FileNotFoundError: there is no such file.
    """
    adapter, _, file = spec.partition(":")
    if adapter not in ADAPTERS:
        raise ValueError(f"peer must be ADAPTER:FILE with an adapter of {', '.join(ADAPTERS)}, but got {spec}")
    module, _, name = ADAPTERS[adapter].partition(":")
    peer: Detector = getattr(importlib.import_module(module), name)(Path(file), size, min_score)
    return peer
