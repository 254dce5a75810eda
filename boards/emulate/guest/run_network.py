"""Runs inside the emulated root: NETWORK RUNTIME WIDTH HEIGHT REPEATS; a marker before and after every inference.

Prints the shapes, types and sha256 of the outputs, by which runs on other machines can be compared. It runs on x86 too.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
from collections.abc import Callable

import numpy as np

MARK_MAGIC = 0xED6EFACE  # as in counter.c
GETPID = 172
_syscall = ctypes.CDLL(None).syscall
_syscall.argtypes = [ctypes.c_long] * 3


def mark(number: int) -> None:
    """Tell the counting plugin where we are; without the plugin a plain getpid()."""
    _syscall(GETPID, MARK_MAGIC, number)


def fixed_input(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A repeatable picture-like tensor; pixels as integers, or around zero for float networks."""
    values = np.random.default_rng(0).integers(0, 256, shape)
    if np.issubdtype(dtype, np.floating):
        return ((values - 128) / 128).astype(dtype)
    return (values - 128 if dtype == np.int8 else values).astype(dtype)


def onnx_session(path: str, width: int, height: int) -> Callable[[], list[np.ndarray]]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # no effect on ARM; on x86 without VNNI the kernels whose integer sums are exact, as they are on ARM
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    dtypes = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
    (node,) = session.get_inputs()
    last = node.shape[-1] == 3  # NHWC
    free = (1, height, width, 3) if last else (1, 3, height, width)
    shape = tuple(have if isinstance(have, int) else want for have, want in zip(node.shape, free, strict=True))
    feed = {node.name: fixed_input(shape, np.dtype(dtypes[node.type]))}
    return lambda: session.run(None, feed)


def litert_session(path: str, width: int, height: int) -> Callable[[], list[np.ndarray]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    (node,) = interpreter.get_input_details()
    interpreter.set_tensor(node["index"], fixed_input(tuple(node["shape"]), np.dtype(node["dtype"])))
    outputs = interpreter.get_output_details()

    def run() -> list[np.ndarray]:
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in outputs]

    return run


def main() -> None:
    path, runtime, width, height, repeats = sys.argv[1:6]
    make = {"onnxruntime": onnx_session, "litert": litert_session}[runtime]
    run = make(path, int(width), int(height))
    outputs: list[np.ndarray] = []
    for repeat in range(int(repeats)):
        mark(2 * repeat)
        outputs = run()
        mark(2 * repeat + 1)
    described = [
        {
            "shape": list(output.shape),
            "dtype": str(output.dtype),
            "sha256": hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest(),
            "sum": float(np.abs(output.astype(np.float64)).sum()),
        }
        for output in outputs
    ]
    print(json.dumps({"outputs": described}))


if __name__ == "__main__":
    main()
