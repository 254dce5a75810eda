"""Bundles for NPUs and microcontrollers: `compile_bundle`, and the targets that it knows."""

from edgeface.compiling.compile import Compiled, compile_bundle
from edgeface.compiling.targets import TARGETS, Target

__all__ = ["TARGETS", "Compiled", "Target", "compile_bundle"]
