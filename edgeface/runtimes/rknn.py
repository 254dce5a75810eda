"""Rockchip's NPU by its C library ``librknnrt.so``, bound with ctypes.

Rockchip's Python package for boards has no wheel for Python 3.13. Layouts and numbers are those of ``rknn_api.h`` in
rknn-toolkit2 2.3.2 (``rknpu2/runtime/Linux/librknn_api/include``).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_char, c_float, c_int8, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.bundle import ModelSpec
from edgeface.compiling.drivers import rknn_library
from edgeface.errors import BundleError, EdgeFaceError, RuntimeFailedError, RuntimeUnavailableError
from edgeface.runtimes import check_tensor, output_shape, tensor_shape

__all__ = ["InOutNum", "Input", "Output", "SdkVersion", "TensorAttr", "load"]

#: The header's ``rknn_context``: 32 bits wide for 32-bit Arm.
_Context: Final = c_uint64 if ctypes.sizeof(c_void_p) == 8 else c_uint32

_IN_OUT_NUM, _INPUT_ATTR, _OUTPUT_ATTR, _SDK_VERSION = 0, 1, 2, 5
_TYPES: Final = {"float32": 0, "int8": 2, "uint8": 3}
_FORMATS: Final = {"NCHW": 0, "NHWC": 1}

_ERRORS: Final = {
    -1: "RKNN_ERR_FAIL",
    -2: "RKNN_ERR_TIMEOUT",
    -3: "RKNN_ERR_DEVICE_UNAVAILABLE",
    -4: "RKNN_ERR_MALLOC_FAIL",
    -5: "RKNN_ERR_PARAM_INVALID",
    -6: "RKNN_ERR_MODEL_INVALID",
    -7: "RKNN_ERR_CTX_INVALID",
    -8: "RKNN_ERR_INPUT_INVALID",
    -9: "RKNN_ERR_OUTPUT_INVALID",
    -10: "RKNN_ERR_DEVICE_UNMATCH",
    -11: "RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL",
    -12: "RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION",
    -13: "RKNN_ERR_TARGET_PLATFORM_UNMATCH",
}
_UPDATE: Final = "update the kernel's NPU driver and librknnrt.so, or compile with an older toolkit"
#: What to do where library, driver and network do not fit each other.
_REMEDIES: Final = {
    -3: "no NPU driver answers: see whether the kernel has one (dmesg | grep -i rknpu) and this user may open it",
    -10: _UPDATE,
    -11: _UPDATE,
    -12: _UPDATE,
    -13: "compile the bundle for this processor (edgeface compile --list)",
}


class InOutNum(Structure):
    """``rknn_input_output_num``."""

    _fields_ = (("n_input", c_uint32), ("n_output", c_uint32))


class TensorAttr(Structure):
    """``rknn_tensor_attr``."""

    _fields_ = (
        ("index", c_uint32),
        ("n_dims", c_uint32),
        ("dims", c_uint32 * 16),
        ("name", c_char * 256),
        ("n_elems", c_uint32),
        ("size", c_uint32),
        ("fmt", c_int32),
        ("type", c_int32),
        ("qnt_type", c_int32),
        ("fl", c_int8),
        ("zp", c_int32),
        ("scale", c_float),
        ("w_stride", c_uint32),
        ("size_with_stride", c_uint32),
        ("pass_through", c_uint8),
        ("h_stride", c_uint32),
    )


class SdkVersion(Structure):
    """``rknn_sdk_version``."""

    _fields_ = (("api_version", c_char * 256), ("drv_version", c_char * 256))


class Input(Structure):
    """``rknn_input``."""

    _fields_ = (
        ("index", c_uint32),
        ("buf", c_void_p),
        ("size", c_uint32),
        ("pass_through", c_uint8),
        ("type", c_int32),
        ("fmt", c_int32),
    )


class Output(Structure):
    """``rknn_output``."""

    _fields_ = (
        ("want_float", c_uint8),
        ("is_prealloc", c_uint8),
        ("index", c_uint32),
        ("buf", c_void_p),
        ("size", c_uint32),
    )


_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "rknn_init": (POINTER(_Context), c_void_p, c_uint32, c_uint32, c_void_p),
    "rknn_query": (_Context, c_int32, c_void_p, c_uint32),
    "rknn_inputs_set": (_Context, c_uint32, POINTER(Input)),
    "rknn_run": (_Context, c_void_p),
    "rknn_outputs_get": (_Context, c_uint32, POINTER(Output), c_void_p),
    "rknn_outputs_release": (_Context, c_uint32, POINTER(Output)),
    "rknn_destroy": (_Context,),
}


def load(
    network: bytes, model: ModelSpec, size: tuple[int, int], *, threads: int, exact: bool, package: str = ""
) -> RknnRuntime:
    """See `edgeface.runtimes.open_runtime`. The library spreads work over the NPU's cores, whatever `threads` is."""
    library = rknn_library()
    if library is None:
        raise RuntimeUnavailableError("librknnrt.so must be on this machine, but is not (docs/compile.md)")
    return RknnRuntime(bind(library), network, model, size)


def bind(library: Path) -> ctypes.CDLL:
    """The library with its functions' arguments declared.

    Raises:
        RuntimeUnavailableError: it cannot be loaded, or is another library.
    """
    try:
        bound = ctypes.CDLL(str(library))  # releases the interpreter lock in every call
        for name, arguments in _SIGNATURES.items():
            function = getattr(bound, name)
            function.argtypes, function.restype = arguments, ctypes.c_int
    except (OSError, AttributeError) as error:
        raise RuntimeUnavailableError(f"{library} must be Rockchip's librknnrt.so, but got {error}") from error
    return bound


class RknnRuntime:
    """A network on the NPU. Pixels are copied into the driver's memory and results out of it; zero-copy is not done."""

    def __init__(self, library: ctypes.CDLL, network: bytes, model: ModelSpec, size: tuple[int, int]) -> None:
        self._library, self._file = library, model.file
        self._network = network  # the library may read it until the context is destroyed
        self._context = _Context()
        self._call("rknn_init", byref(self._context), network, len(network), 0, None)
        try:
            self._bind(model, size)
        except BaseException:
            self.close()
            raise

    def _bind(self, model: ModelSpec, size: tuple[int, int]) -> None:
        versions = self._ask(_SDK_VERSION, SdkVersion())
        api, driver = (
            text.decode(errors="replace").partition(" ")[0] for text in (versions.api_version, versions.drv_version)
        )
        self.version = f"{api} (driver {driver})"
        numbers = self._ask(_IN_OUT_NUM, InOutNum())
        wanted = (1, len(model.outputs))
        if (numbers.n_input, numbers.n_output) != wanted:
            got = f"{numbers.n_input} and {numbers.n_output}"
            raise BundleError(f"{model.file} must have {wanted[0]} input and {wanted[1]} outputs, but got {got}")
        width, height = size
        image = model.input
        self._input = np.zeros(tensor_shape(image.layout, 3, width, height), image.dtype)
        attr = self._ask(_INPUT_ATTR, TensorAttr(index=0))
        # the library converts type and layout of what it is given: only the picture's sides must be right
        own = "NCHW" if attr.fmt == _FORMATS["NCHW"] else "NHWC"
        expected = tensor_shape(own, 3, width, height)
        check_tensor(f"tensor {image.name}", (image.dtype, expected), (image.dtype, _dims(attr)))
        self._inputs = (Input * 1)(
            Input(
                buf=self._input.ctypes.data,
                size=self._input.nbytes,
                type=_TYPES[image.dtype],
                fmt=_FORMATS[image.layout],
            )
        )
        self._outputs = [np.zeros(output_shape(spec, size), spec.dtype) for spec in model.outputs]
        self._found = (Output * len(self._outputs))()
        names = {number: dtype for dtype, number in _TYPES.items()}
        for number, (spec, array) in enumerate(zip(model.outputs, self._outputs, strict=True)):
            attr = self._ask(_OUTPUT_ATTR, TensorAttr(index=number))
            as_float = spec.dtype == "float32"
            dtype = spec.dtype if as_float else names.get(attr.type, f"type {attr.type}")
            check_tensor(f"tensor {spec.name}", (spec.dtype, array.shape), (dtype, _dims(attr)))
            self._found[number] = Output(as_float, True, number, array.ctypes.data, array.nbytes)

    @property
    def input(self) -> NDArray[Any]:
        return self._input

    def run(self, tensor: NDArray[Any] | None = None) -> list[NDArray[Any]]:
        if tensor is not None:
            np.copyto(self._input, tensor)
        self._call("rknn_inputs_set", self._context, 1, self._inputs)
        self._call("rknn_run", self._context, None)
        self._call("rknn_outputs_get", self._context, len(self._found), self._found, None)
        self._call("rknn_outputs_release", self._context, len(self._found), self._found)
        return self._outputs

    def close(self) -> None:
        self._library.rknn_destroy(self._context)

    def _ask(self, what: int, info: Any) -> Any:
        self._call("rknn_query", self._context, what, byref(info), ctypes.sizeof(info))
        return info

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status == 0:
            return
        remedy = _REMEDIES.get(status)
        kind: type[EdgeFaceError] = RuntimeFailedError if remedy is None else RuntimeUnavailableError
        said = f"{function} must take {self._file}, but got {_ERRORS.get(status, 'status')} ({status})"
        raise kind(said if remedy is None else f"{said}: {remedy}")


def _dims(attr: TensorAttr) -> tuple[int, ...]:
    return tuple(attr.dims[: attr.n_dims])
