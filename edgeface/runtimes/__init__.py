"""Inference runtimes behind one small interface, and the choice between them.

A runtime owns the input and output buffers: the caller fills `Runtime.input`, calls `Runtime.run`, and reads the arrays
that it returns before the next run. Adding one is a module with a class that satisfies `Runtime`, and a line in
`RUNTIMES`, or in `NPUS` if it runs compiled networks alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from numpy.typing import NDArray

from edgeface.bundle import Bundle, ModelSpec, OutputSpec
from edgeface.errors import BundleError, EdgeFaceError, RuntimeUnavailableError, must_be
from edgeface.manifest import CHANNELS, POINTS_OUTPUTS
from edgeface.runtimes.cores import NOT_FOLLOWED, core_of, ranking
from edgeface.runtimes.probing import is_installed

__all__ = [
    "NPUS",
    "RUNTIMES",
    "Choice",
    "Runtime",
    "candidates",
    "choose",
    "choose_and_open",
    "entry_of",
    "installed",
    "open_runtime",
]


class Runtime(Protocol):
    """One network, loaded and ready. Not thread-safe: the buffers are shared between calls."""

    version: str

    @property
    def input(self) -> NDArray[Any]:
        """The tensor to fill. Do not keep it: some runtimes refuse to run while a view of their memory is alive."""

    def run(self, tensor: NDArray[Any] | None = None) -> list[NDArray[Any]]:
        """Run the network once.

        Args:
            tensor: copied into `input` first; None if `input` has been filled in place.

        Returns:
            One array an output, in the order of the bundle's manifest, overwritten by the next run.

        Raises:
            RuntimeFailedError: the runtime failed.
        """

    def close(self) -> None:
        """Let go of the network and its memory."""


class _Entry(NamedTuple):
    package: str
    module: str
    formats: tuple[str, ...]
    install: str


#: Name -> where it lives and how to get it.
RUNTIMES: Final = {
    "ncnn": _Entry("ncnn", "edgeface.runtimes.ncnn", ("ncnn",), "pip install ncnn"),
    "litert": _Entry("ai_edge_litert", "edgeface.runtimes.litert", ("tflite",), "pip install ai-edge-litert"),
    "onnxruntime": _Entry("onnxruntime", "edgeface.runtimes.onnx", ("onnx",), "pip install onnxruntime"),
    "tflite": _Entry("tflite_runtime", "edgeface.runtimes.litert", ("tflite",), "pip install tflite-runtime 'numpy<2'"),
}

#: The same of those that run networks of `edgeface compile` alone; a library of the board takes the package's place.
NPUS: Final = {
    "rknn": _Entry("", "edgeface.runtimes.rknn", ("rknn",), "Rockchip's librknnrt.so, see docs/compile.md"),
}

#: Where the table of `edgeface.runtimes.cores` knows neither core nor runtime, or is not followed. tflite-runtime
#: executes more than onnxruntime does: the last resort on boards that have nothing else.
_OTHERWISE: Final = ("litert", "ncnn", "onnxruntime", "tflite")
_PRECISIONS: Final = ("int8", "float32")


class Choice(NamedTuple):
    """What will run, and why."""

    runtime: str
    model: ModelSpec
    reason: str


def entry_of(name: str) -> _Entry:
    """What is known of a runtime of `RUNTIMES` or `NPUS`.

    Examples:
        >>> entry_of("ncnn").formats, entry_of("rknn").formats
        (('ncnn',), ('rknn',))
    """
    return RUNTIMES.get(name) or NPUS[name]


def installed(name: str) -> bool:
    """Whether the runtime's package or library is there (it is not loaded)."""
    if name not in NPUS:
        return is_installed(RUNTIMES[name].package)
    from edgeface.compiling.drivers import rknn_library

    return rknn_library() is not None


def candidates(
    runtime: str = "auto", precision: str | None = None, core: str | None = None
) -> list[tuple[str, str, float | None]]:
    """Runtimes and precisions in the order in which they are tried on a core.

    Args:
        runtime: one of `RUNTIMES` or `NPUS`, or "auto", which leaves out `NPUS`.
        precision: "int8", "float32" or None for either.
        core: from `edgeface.runtimes.cores.core_of`.

    Returns:
        Runtime, precision, and the millions of instructions of one inference where they are known, which come first
        and rise. Each runtime's unknown ones follow, int8 before float32.
    """
    names = _OTHERWISE if runtime == "auto" else (runtime,)
    wanted = _PRECISIONS if precision is None else (precision,)
    costs = () if core in NOT_FOLLOWED else ranking(core)
    known = [c for c in costs if c.runtime in names and c.precision in wanted]
    seen = {(c.runtime, c.precision) for c in known}
    rest = [(name, p, None) for name in names for p in wanted if (name, p) not in seen]
    return [*known, *rest]


def choose(
    bundle: Bundle,
    runtime: str = "auto",
    size: tuple[int, int] | None = None,
    precision: str | None = None,
    *,
    core: str | None = None,
    broken: Mapping[str, str] = MappingProxyType({}),
) -> Choice:
    """Pick a runtime that is installed and for which the bundle has a network.

    Args:
        bundle: where to look.
        runtime: one of `RUNTIMES` or `NPUS`, or "auto": the NPU that the bundle is compiled for, else what executes the
            fewest instructions on this kind of core.
        size: (width, height) of the network's input; None for any.
        precision: "int8" or "float32"; None for what executes fewer instructions.
        core: kind of core that computes, from `edgeface.runtimes.cores.core_of`; None if unknown.
        broken: runtimes that are installed but cannot be used, and why.

    Raises:
        InvalidInputError: no such runtime.
        RuntimeUnavailableError: it is not installed or broken, or all of them are.
        BundleError: the bundle has no network for it.
    """
    if runtime != "auto" and runtime not in RUNTIMES and runtime not in NPUS:
        raise must_be("runtime", f"one of auto, {', '.join((*RUNTIMES, *NPUS))}", repr(runtime))
    wanted = " ".join(filter(None, [precision, f"{size[0]}x{size[1]}" if size else None]))
    passed_over: dict[str, None] = {}  # in order, each once
    compiled = {model.format for model in bundle.manifest.models if model.target is not None}
    npus = [name for name, entry in NPUS.items() if runtime == "auto" and compiled.intersection(entry.formats)]
    ways = [way for name in npus for way in candidates(name, precision)] + candidates(runtime, precision, core)
    for name, kind, millions in ways:
        if not installed(name):
            passed_over[f"{name} is not installed ({entry_of(name).install})"] = None
            continue
        if name in broken:
            passed_over[f"{name} is broken ({broken[name]})"] = None
            continue
        model = bundle.select(entry_of(name).formats, size, kind)
        if model is not None and (misfit := _misfit(model)) is not None:
            passed_over[misfit] = None
            continue
        if model is None:
            what = wanted if precision else " ".join(filter(None, [kind, wanted]))
            passed_over[f"{name} has no {what} network in the bundle"] = None
            continue
        own = f"compiled for {model.target['name']}" if model.target else _why(kind, core, millions)
        why = "requested" if runtime != "auto" else "; ".join([*passed_over, own])
        return Choice(name, model, why)
    if runtime != "auto" and not installed(runtime):
        raise RuntimeUnavailableError(f"runtime must be installed, but got {next(iter(passed_over))}")
    if not any(installed(name) and name not in broken for name in (*RUNTIMES, *npus)):
        raise RuntimeUnavailableError(f"a runtime must be installed, but got none: {'; '.join(passed_over)}")
    sizes = sorted(
        {f"{w}x{h}" for w, h in bundle.sizes()}
        | {
            f"multiples of {m.size_multiple} with {name}"
            for m in bundle.manifest.models
            for name, entry in RUNTIMES.items()
            if not m.size and m.format in entry.formats
        }
        | {
            "multiples of 32 with litert after `edgeface resize`"
            for m in bundle.manifest.models
            if m.format == "tflite"
        }
    )
    raise BundleError(
        f"model {bundle.manifest.name} must have a network for {runtime} {wanted or 'any'}, but got none "
        f"({'; '.join(dict.fromkeys([*passed_over, *compiled_elsewhere(bundle)]))}; sizes: {', '.join(sizes)})"
    )


def _why(precision: str, core: str | None, millions: float | None) -> str:
    """The end of a reason."""
    if millions is None:
        return "first that fits" if core is None else f"first that fits: no counts to follow on {core}"
    return f"{millions:.1f} M instructions in {precision} on {core}, the fewest"


def compiled_elsewhere(bundle: Bundle) -> list[str]:
    """Why the bundle's compiled networks do not run here, for the message that nothing does."""
    return [reason for model in bundle.manifest.models if (reason := _misfit(model)) is not None]


def _misfit(model: ModelSpec) -> str | None:
    if model.target is None:
        return None
    from edgeface.compiling.drivers import why_not  # it brings the compilers' modules, which use this one

    return why_not(model)


def choose_and_open(
    bundle: Bundle,
    runtime: str,
    size: tuple[int, int],
    precision: str | None,
    *,
    threads: int,
    exact: bool,
    cpus: Iterable[int] | None = None,
) -> tuple[Choice, Runtime]:
    """`choose` for this machine's cores, then `open_runtime`; "auto" goes on to the next runtime when one turns out to
    be broken.

    Args:
        cpus: that will compute; any if None.

    The other arguments are theirs.

    Raises:
        As both of them.
    """
    broken: dict[str, str] = {}
    core = core_of(cpus)
    while True:
        choice = choose(bundle, runtime, size, precision, core=core, broken=broken)
        network, weights = bundle.read(choice.model), bundle.read_weights(choice.model)
        options: dict[str, Any] = {"threads": threads, "exact": exact, "weights": weights}
        try:
            return choice, open_runtime(choice.runtime, network, choice.model, size, **options)
        except RuntimeUnavailableError as error:
            if runtime != "auto":
                raise
            broken[choice.runtime] = str(error)


def open_runtime(
    name: str,
    network: bytes,
    model: ModelSpec,
    size: tuple[int, int],
    *,
    threads: int = 1,
    exact: bool = False,
    weights: bytes | None = None,
) -> Runtime:
    """Load a network.

    Args:
        name: one of `RUNTIMES` or `NPUS`.
        network: bytes of the file.
        model: the manifest's description of it, which is checked against what the runtime says.
        size: (width, height) of the input.
        threads: that compute one inference, the calling one included.
        exact: make int8 results on x86 equal to those on ARM, at some cost in speed (onnxruntime only; no effect
            elsewhere).
        weights: bytes of the second file of an ncnn network.

    Raises:
        RuntimeUnavailableError: the package cannot be imported.
        RuntimeFailedError: the runtime refuses the network.
        BundleError: the network is not what the manifest says.
    """
    entry = entry_of(name)
    module = importlib.import_module(entry.module)
    options: dict[str, Any] = {"threads": threads, "exact": exact, "package": entry.package}
    if weights is not None:
        options["weights"] = weights
    try:
        opened: Runtime = module.load(network, model, size, **options)
    except (EdgeFaceError, MemoryError):
        raise
    except Exception as error:  # a package that is broken or half removed fails in any way
        raise RuntimeUnavailableError(
            f"runtime {name} must be importable, but got {type(error).__name__}: {error} ({entry.install})"
        ) from error
    return opened


def tensor_shape(layout: str, channels: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Shape of a one-picture tensor."""
    return (1, channels, height, width) if layout == "NCHW" else (1, height, width, channels)


def output_shape(output: OutputSpec, size: tuple[int, int]) -> tuple[int, ...]:
    """Shape of an output for an input of (width, height); its last cells may reach beyond the input."""
    if output.role is not None:
        return 1, POINTS_OUTPUTS[output.role]
    width, height = (-(-side // output.stride) for side in size)
    return tensor_shape(output.layout, CHANNELS, width, height)


def check_tensor(what: str, expected: tuple[str, Sequence[int]], got: tuple[str, Sequence[Any]]) -> None:
    """Compare dtype and shape of the manifest with the runtime's; symbolic and negative sides fit anything."""
    same = expected[0] == got[0] and len(expected[1]) == len(got[1])
    same = same and all(not isinstance(b, int) or b < 1 or a == b for a, b in zip(expected[1], got[1], strict=False))
    if not same:
        raise BundleError(
            f"{what} of the network must be {expected[0]} {list(expected[1])}, but got {got[0]} {list(got[1])}"
        )
