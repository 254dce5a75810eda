"""The toolchain behind edgeface's networks: data, label, train, quantize, export, evaluate, package.

Runs from a checkout (``pip install -e '.[quantize]'``); it is never part of the wheel.
"""

from edgeface.runtimes.telemetry import switch_off

switch_off()  # many of its modules import onnxruntime
