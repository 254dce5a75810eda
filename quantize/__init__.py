"""The toolchain behind edgeface's networks: data, label, train, quantize, export, evaluate, package.

Runs from a checkout (``pip install -e '.[quantize]'``); it is never part of the wheel.
"""
