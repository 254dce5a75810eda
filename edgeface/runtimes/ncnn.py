"""ncnn on the CPU: the fewest instructions on most ARM cores, float in 16 bits where the core has such arithmetic."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.bundle import ModelSpec
from edgeface.errors import BundleError, RuntimeFailedError
from edgeface.runtimes import check_tensor, output_shape, tensor_shape

__all__ = ["load"]

#: Read by libgomp when ncnn brings it in: threads sleep at once where an inference leaves them nothing to do.
_SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def load(
    network: bytes,
    model: ModelSpec,
    size: tuple[int, int],
    *,
    threads: int,
    exact: bool,
    package: str = "ncnn",
    weights: bytes = b"",
) -> NcnnRuntime:
    """See `edgeface.runtimes.open_runtime`. int8 always computes in the way that is the same on all ARM cores."""
    return NcnnRuntime(network, weights, model, size, threads=threads)


class NcnnRuntime:
    """A network, run on the calling thread and those that OpenMP adds.

    ncnn's Python package releases the interpreter lock while it computes, from 1.0.20261020 on.
    """

    def __init__(
        self, network: bytes, weights: bytes, model: ModelSpec, size: tuple[int, int], *, threads: int
    ) -> None:
        with _no_spinning():
            ncnn = importlib.import_module("ncnn")
        self.version: str = ncnn.__version__
        self._name = model.file
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        if model.precision == "int8":
            # 16-bit floats between layers differ from core to core, and int8 gains nothing from them
            options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        with _as_file(network) as param, _as_file(weights) as bin_file:
            if self._net.load_param(param) or self._net.load_model(bin_file):
                raise RuntimeFailedError(f"{model.file} must be a network that ncnn takes, with its weights")
        names = [model.input.name], [output.name for output in model.outputs]
        for what, wanted, got in zip(
            ("inputs", "outputs"), names, (self._net.input_names(), self._net.output_names()), strict=True
        ):
            if sorted(wanted) != sorted(got):
                raise BundleError(f"the {what} of {model.file} must be {wanted}, but got {got}")
        width, height = size
        self._input = np.zeros(tensor_shape(model.input.layout, 3, width, height), model.input.dtype)
        check_tensor(f"tensor {model.input.name}", ("float32", (1, 3, height, width)), _described(self._input))
        self._image = ncnn.Mat(self._input[0])  # a view: ncnn does not keep the array alive, this object does
        self._found = [(output.name, ncnn.Mat()) for output in model.outputs]
        self._outputs = [np.zeros(output_shape(output, size), output.dtype) for output in model.outputs]
        self._input_name = model.input.name
        for array, (name, mat) in zip(self._outputs, self._compute(), strict=True):  # ncnn knows its shapes afterwards
            got = np.asarray(mat)
            check_tensor(f"tensor {name}", _described(array), (str(got.dtype), (1, *got.shape)))

    @property
    def input(self) -> NDArray[Any]:
        return self._input

    def run(self, tensor: NDArray[Any] | None = None) -> list[NDArray[Any]]:
        if tensor is not None:
            np.copyto(self._input, tensor)
        for array, (_, mat) in zip(self._outputs, self._compute(), strict=True):
            np.copyto(array[0], np.asarray(mat))
        return self._outputs

    def _compute(self) -> list[tuple[str, Any]]:
        extractor = self._net.create_extractor()
        failed = extractor.input(self._input_name, self._image)
        for name, mat in self._found:
            failed = failed or extractor.extract(name, mat)
        if failed:
            raise RuntimeFailedError(f"ncnn must run {self._name}, but got status {failed}")
        return self._found

    def close(self) -> None:
        self._found.clear()
        self._net.clear()
        del self._image, self._net


@contextmanager
def _no_spinning() -> Iterator[None]:
    """libgomp's settings, in force while it is loaded; what the user has set stays."""
    mine = {name: value for name, value in _SLEEPING.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path of these bytes in memory: ncnn reads beyond the end of bytes that are too few, and not beyond a file's."""
    descriptor = os.memfd_create("edgeface")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _described(array: NDArray[Any]) -> tuple[str, tuple[int, ...]]:
    return str(array.dtype), array.shape
