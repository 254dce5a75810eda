"""onnxruntime on the CPU, bound to buffers that are allocated once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.bundle import ModelSpec
from edgeface.errors import BundleError, RuntimeFailedError
from edgeface.runtimes import check_tensor, output_shape, tensor_shape
from edgeface.runtimes.probing import version_of
from edgeface.runtimes.telemetry import switch_off

__all__ = ["load"]

_ERRORS_ONLY = 3
_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}


def load(
    network: bytes, model: ModelSpec, size: tuple[int, int], *, threads: int, exact: bool, package: str = "onnxruntime"
) -> OnnxRuntime:
    """See `edgeface.runtimes.open_runtime`."""
    return OnnxRuntime(network, model, size, threads=threads, exact=exact)


class OnnxRuntime:
    """A session whose threads sleep when there is nothing to do."""

    def __init__(self, network: bytes, model: ModelSpec, size: tuple[int, int], *, threads: int, exact: bool) -> None:
        switch_off()
        import onnxruntime as ort

        self.version = version_of("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _ERRORS_ONLY
        # spinning burns a whole core between frames, and doubles the latency as soon as anything else runs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if exact:
            # without VNNI, x86 adds pairs of U8S8 products in 16 bits that saturate; this takes the exact kernels
            # instead
            options.add_session_config_entry("session.x64quantprecision", "1")
            # KleidiAI's kernels are for some ARM cores only, and round floats in another order
            options.add_session_config_entry("mlas.disable_kleidiai", "1")
        try:
            self._session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise RuntimeFailedError(
                f"{model.file} must be a network that onnxruntime takes, but got {error}"
            ) from error
        self._check(model, size)
        width, height = size
        self._input = np.zeros(tensor_shape(model.input.layout, 3, width, height), model.input.dtype)
        self._outputs = [np.zeros(output_shape(output, size), output.dtype) for output in model.outputs]
        self._binding = self._session.io_binding()
        image = self._input
        self._binding.bind_input(model.input.name, "cpu", 0, image.dtype.type, image.shape, image.ctypes.data)
        for spec, array in zip(model.outputs, self._outputs, strict=True):
            self._binding.bind_output(spec.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def _check(self, model: ModelSpec, size: tuple[int, int]) -> None:
        """The bound buffers are raw addresses: shapes and dtypes have to be right before the first run."""
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        if list(inputs) != [model.input.name]:
            raise BundleError(f"the inputs of {model.file} must be {[model.input.name]}, but got {list(inputs)}")
        missing = [output.name for output in model.outputs if output.name not in outputs]
        if missing:
            raise BundleError(f"{model.file} must have the outputs {missing}, but got {list(outputs)}")
        width, height = size
        wanted: dict[str, Any] = {
            model.input.name: (model.input.dtype, tensor_shape(model.input.layout, 3, width, height))
        }
        for output in model.outputs:
            wanted[output.name] = (output.dtype, output_shape(output, size))
        for name, expected in wanted.items():
            node = inputs.get(name) or outputs[name]
            check_tensor(f"tensor {name}", expected, (_DTYPES.get(node.type, node.type), node.shape))

    @property
    def input(self) -> NDArray[Any]:
        return self._input

    def run(self, tensor: NDArray[Any] | None = None) -> list[NDArray[Any]]:
        if tensor is not None:
            np.copyto(self._input, tensor)
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # as above
            raise RuntimeFailedError(f"onnxruntime failed: {error}") from error
        return self._outputs

    def close(self) -> None:
        del self._binding, self._session
