"""LiteRT (ai-edge-litert), and its predecessor tflite-runtime for old boards: both have the same interpreter class."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.bundle import ModelSpec
from edgeface.errors import BundleError, RuntimeFailedError, RuntimeUnavailableError
from edgeface.runtimes import check_tensor, output_shape, tensor_shape
from edgeface.runtimes.probing import version_of
from edgeface.runtimes.quiet import without_line

__all__ = ["load"]


def load(
    network: bytes, model: ModelSpec, size: tuple[int, int], *, threads: int, exact: bool, package: str
) -> LiteRtRuntime:
    """See `edgeface.runtimes.open_runtime`.

    LiteRT's int8 kernels (XNNPACK) give the same bits on x86 and on ARM, with the dot product or without: `exact` has
    nothing to do. TFLite's reference kernels, which tflite-runtime and TFLite Micro may run, differ from them by some
    steps of the output.
    """
    return LiteRtRuntime(network, model, size, threads=threads, package=package)


class LiteRtRuntime:
    """An interpreter whose input tensor is filled in place."""

    def __init__(self, network: bytes, model: ModelSpec, size: tuple[int, int], *, threads: int, package: str) -> None:
        if package == "tflite_runtime" and int(np.__version__.split(".")[0]) >= 2:
            # its extension prints a wall of text about _ARRAY_API and fails much later
            raise RuntimeUnavailableError(
                f"tflite-runtime must be used with numpy 1, but got numpy {np.__version__} "
                "(pip install 'numpy<2' 'opencv-python-headless<4.12', or take runtime='litert')"
            )
        self.version = version_of(package)
        interpreter = importlib.import_module(f"{package}.interpreter").Interpreter
        try:
            self._interpreter = interpreter(model_content=network, num_threads=threads)
            inputs = {detail["name"]: detail for detail in self._interpreter.get_input_details()}
            outputs = {detail["name"]: detail for detail in self._interpreter.get_output_details()}
            if list(inputs) != [model.input.name]:
                raise BundleError(f"the inputs of {model.file} must be {[model.input.name]}, but got {list(inputs)}")
            missing = [output.name for output in model.outputs if output.name not in outputs]
            if missing:
                raise BundleError(f"{model.file} must have the outputs {missing}, but got {list(outputs)}")
            width, height = size
            image = tensor_shape(model.input.layout, 3, width, height)
            index = inputs[model.input.name]["index"]
            if tuple(inputs[model.input.name]["shape"]) != image:
                self._interpreter.resize_tensor_input(index, image)
            # the first one tells that it uses XNNPACK, and its logger has no switch
            with without_line(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            if isinstance(error, BundleError):
                raise
            raise RuntimeFailedError(f"{model.file} must be a network that {package} takes, but got {error}") from error
        self._tensor = self._interpreter.tensor(index)
        check_tensor(f"tensor {model.input.name}", (model.input.dtype, image), _described(self._tensor()))
        self._outputs = []
        for spec in model.outputs:
            shape = output_shape(spec, size)
            view = self._interpreter.tensor(outputs[spec.name]["index"])
            check_tensor(f"tensor {spec.name}", (spec.dtype, shape), _described(view()))
            self._outputs.append((view, np.zeros(shape, spec.dtype)))

    @property
    def input(self) -> NDArray[Any]:
        view: NDArray[Any] = self._tensor()  # a fresh view each time: the interpreter refuses to run while one is alive
        return view

    def run(self, tensor: NDArray[Any] | None = None) -> list[NDArray[Any]]:
        if tensor is not None:
            np.copyto(self._tensor(), tensor)
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise RuntimeFailedError(f"the interpreter failed: {error}") from error
        for view, array in self._outputs:
            np.copyto(array, view())  # a few kB; keeps the caller free of the rule above
        return [array for _, array in self._outputs]

    def close(self) -> None:
        self._outputs.clear()
        del self._tensor, self._interpreter


def _described(array: NDArray[Any]) -> tuple[str, tuple[int, ...]]:
    return str(array.dtype), array.shape
