"""Runs inside the emulated root: three inferences of each of NETWORK:RUNTIME:WIDTHxHEIGHT …, one thread.

The third has a marker before and after it, numbered 2k and 2k + 1 for the k-th network: the first two are warm-up, in
which engines pack weights and plan memory. Prints one line a network, with the shapes of its outputs; after ``--save
FOLDER`` writes them to FOLDER/K.npz.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

MARK_MAGIC = 0xED6EFACE  # as in counter.c
GETPID = {"aarch64": 172, "x86_64": 39}[platform.machine()]
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
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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


def is_int8(param: str) -> bool:
    """Whether an ncnn network computes in int8: parameter 8 of a convolution says so."""
    return re.search(r"^(Convolution|InnerProduct)\w* .* 8=[1-9]", param, re.MULTILINE) is not None


def ncnn_session(path: str, width: int, height: int) -> Callable[[], list[np.ndarray]]:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    if is_int8(Path(path).read_text(encoding="utf-8")):  # in the way of edgeface.runtimes.ncnn
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(path) or net.load_model(path.removesuffix("param") + "bin"):
        raise SystemExit(f"ncnn must load {path}, but did not")
    image = fixed_input((3, height, width), np.dtype(np.float32))
    (name,) = net.input_names()
    names = net.output_names()

    def run() -> list[np.ndarray]:
        extractor = net.create_extractor()
        extractor.input(name, ncnn.Mat(image))
        return [np.asarray(extractor.extract(output)[1]) for output in names]

    return run


def main() -> None:
    arguments = sys.argv[1:]
    folder = None
    if arguments[0] == "--save":
        folder, arguments = arguments[1], arguments[2:]
    for number, argument in enumerate(arguments):
        path, runtime, size = argument.rsplit(":", 2)
        width, height = map(int, size.split("x"))
        open_session = {"onnxruntime": onnx_session, "litert": litert_session, "ncnn": ncnn_session}[runtime]
        run = open_session(path, width, height)
        run()
        run()
        mark(2 * number)
        outputs = run()
        mark(2 * number + 1)
        if not all(np.isfinite(output).all() for output in outputs):
            raise SystemExit(f"{path} must give finite numbers, but did not")
        if folder is not None:
            np.savez(f"{folder}/{number}.npz", *outputs)
        print(path, [output.shape for output in outputs], flush=True)


if __name__ == "__main__":
    main()
