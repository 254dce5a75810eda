"""The toolchain behind edgeface's networks, from photos to a bundle that ships; see docs/toolchain.md.

It runs from a checkout and is never part of the wheel. The compiled core of edgeface is taken from where it is
installed.
"""

from quantize.installed import use_installed_core

use_installed_core()

from edgeface.runtimes.telemetry import switch_off  # noqa: E402 - from where the core is

switch_off()  # many of its modules import onnxruntime
