"""`compile_bundle`: a bundle with its network compiled for one processor, and what the compiler says of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.bundle import Bundle, write_bundle
from edgeface.compiling.targets import Target, target_of
from edgeface.errors import BundleError, RuntimeFailedError, must_be
from edgeface.files import write_whole
from edgeface.golden import add_golden, draw_picture, preprocess, reference
from edgeface.manifest import InputSpec, Manifest, ModelSpec, OutputSpec

__all__ = ["Compiled", "compile_bundle"]

Vectors = tuple[list[NDArray[Any]], str]

_LICENCES: Final = {
    "ethos-u-vela": "Apache-2.0",
    "tflite-micro": "Apache-2.0",
    "rknn-toolkit2": "Rockchip's own; nothing of the toolkit is in this bundle",
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """What `compile_bundle` wrote.

    Attributes:
        path: of the bundle.
        sources: C files beside it (tflm).
        report: target, tool, its version and licence, the network that was compiled, and the tool's figures.
    """

    path: Path
    sources: tuple[Path, ...]
    report: dict[str, Any]


def compile_bundle(
    bundle: Bundle,
    target: str,
    out: str | os.PathLike[str] | None = None,
    *,
    size: tuple[int, int] | None = None,
    photos: Sequence[Path] = (),
) -> Compiled:
    """Compile a bundle's int8 network for one processor.

    Args:
        bundle: with a TFLite network (tflm, Ethos-U) or an ONNX network (Rockchip).
        target: one of `edgeface.compiling.TARGETS`.
        out: of the new bundle, ``NAME.efm``; ``NAME-TARGET.efm`` in this folder if None. It holds the compiled network
            alone, with golden vectors for `edgeface.golden.verify`.
        size: (width, height) of the input; the bundle's default if None.
        photos: pictures by which the toolkit quantises, for targets that take no quantised network (rv1106).

    Returns:
        Where it is, and the report, which is also the manifest's ``target``.

    Raises:
        InvalidInputError: no such target, or photos missing or not wanted.
        BundleError: the bundle has no such network of this size, or cannot be written.
        RuntimeUnavailableError: the target's tool is not installed.
        RuntimeFailedError: the tool refused the network, or computes other integers than the reference kernels.

    Examples:
        >>> compiled = compile_bundle(Bundle.find("edgeface-n"), "ethos-u55-128", "n.efm")     # doctest: +SKIP
        >>> compiled.report["cycles"], compiled.report["sram_bytes"]                           # doctest: +SKIP
    """
    wanted = target_of(target)
    bundle.manifest.require_faces("bundle")
    size = bundle.manifest.default_size if size is None else size
    own = wanted.settings.get("quantize") == "toolkit"
    if own != bool(photos):
        raise must_be("photos", f"given for {target}" if own else f"left out for {target}", f"{len(photos)} of them")
    kind, precision = ("onnx", "float32" if own else "int8") if wanted.format == "rknn" else ("tflite", "int8")
    source = bundle.select((kind,), size, precision)
    if source is None:
        raise BundleError(
            f"bundle must have a {precision} {kind} network of {size[0]}x{size[1]} to compile for {target}, but "
            f"{bundle.manifest.name} has none (`edgeface resize` makes other sizes)"
        )
    network, model, vectors, figures = _COMPILERS[wanted.format](bundle, source, wanted, size, photos)
    report = {
        "name": wanted.name,
        "tool": wanted.tool,
        "version": figures.pop("version"),
        "licence": _LICENCES[wanted.tool],
        "processor": wanted.processor,
        "source": {"file": source.file, "sha256": source.sha256},
        "bytes": len(network),
        **figures,
    }
    stem = f"{bundle.manifest.name}-{wanted.name}-{size[0]}x{size[1]}"
    suffix = {"rknn": "rknn"}.get(wanted.format, "tflite")
    model = replace(
        model,
        file=f"{stem}.{suffix}",
        sha256=hashlib.sha256(network).hexdigest(),
        format=wanted.format,
        size=size,
        target=report,
    )
    manifest: Manifest = replace(bundle.manifest, models=(model,), sizes=(size,), default_size=size)
    path = Path(f"{bundle.manifest.name}-{wanted.name}.efm") if out is None else Path(out)
    write_bundle(path, manifest, {model.file: network})
    add_golden(path, computed={model.file: vectors})
    sources = _c_sources(path, network, report) if wanted.format == "tflm" else ()
    return Compiled(path, sources, report)


def _for_tflm(
    bundle: Bundle, source: ModelSpec, target: Target, size: tuple[int, int], photos: Sequence[Path]
) -> tuple[bytes, ModelSpec, Vectors, dict[str, Any]]:
    from edgeface.compiling import tflm
    from edgeface.compiling.tflite_file import in_one_piece

    network = in_one_piece(bundle.read(source))
    image = preprocess(draw_picture(), source, size)
    wanted, by = reference(bundle, source, size, image)
    got, figures = tflm.run(network, image)
    # the wheel gives outputs in the network's order, the manifest in that of strides
    places = [next(i for i, array in enumerate(got) if array.shape == output.shape) for output in wanted]
    for spec, place, output in zip(source.outputs, places, wanted, strict=True):
        if not np.array_equal(got[place], output):
            off = int(np.abs(got[place].astype(int) - output.astype(int)).max())
            raise RuntimeFailedError(
                f"{spec.name} in TensorFlow Lite Micro must equal {by}, but differs by up to {off} steps"
            )
    figures |= {"equal_to": by, "output_order": places}
    return network, source, (wanted, by), figures


def _for_vela(
    bundle: Bundle, source: ModelSpec, target: Target, size: tuple[int, int], photos: Sequence[Path]
) -> tuple[bytes, ModelSpec, Vectors, dict[str, Any]]:
    from edgeface.compiling import vela
    from edgeface.compiling.tflite_file import in_one_piece

    network, figures = vela.compile_network(in_one_piece(bundle.read(source)), target, bundle.manifest.name)
    vectors = reference(bundle, source, size, preprocess(draw_picture(), source, size))
    return network, source, vectors, {**figures, "tensor_bytes": 3 * size[0] * size[1]}


def _for_rknn(
    bundle: Bundle, source: ModelSpec, target: Target, size: tuple[int, int], photos: Sequence[Path]
) -> tuple[bytes, ModelSpec, Vectors, dict[str, Any]]:
    from edgeface.compiling import rockchip
    from edgeface.images import read_image

    # the board's runtime takes pixels as they are, and gives numbers as they are
    image_spec = InputSpec(source.input.name, "uint8", "NHWC", source.input.color, 1 / 128, 128)
    outputs = tuple(OutputSpec(o.name, o.stride, "NCHW", "float32", 1.0, 0) for o in source.outputs)
    model = replace(source, precision="int8", input=image_spec, outputs=outputs)
    image = preprocess(draw_picture(), model, size)
    tensors = [preprocess(np.ascontiguousarray(read_image(photo)[..., ::-1]), model, size)[0] for photo in photos]
    network, found, figures = rockchip.compile_network(
        bundle.read(source), target, size, source.input.name, image, tensors
    )
    wanted, _ = reference(bundle, source, size, preprocess(draw_picture(), source, size))
    largest = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
    vectors = (
        [np.ascontiguousarray(array, np.float32) for array in found],
        f"rknn-toolkit2 {figures['version']}, simulator",
    )
    return (
        network,
        model,
        vectors,
        {**figures, "largest_difference_to_onnx": round(largest, 4), "zero_copy_input": False},
    )


_COMPILERS: Final = {"tflm": _for_tflm, "vela": _for_vela, "rknn": _for_rknn}


def _c_sources(path: Path, network: bytes, report: dict[str, Any]) -> tuple[Path, ...]:
    from edgeface.compiling.tflm import c_array

    name = re.sub(r"\W", "_", path.stem)
    about = f"{path.stem}: {report['source']['file']} in one piece, for TensorFlow Lite Micro"
    texts = c_array(network, name, report["arena_bytes"], about)
    written = tuple(path.with_name(f"{name}.{suffix}") for suffix in ("h", "c"))
    for file, text in zip(written, texts, strict=True):
        write_whole(file, text)
    return written
