import ast
import doctest
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from importlib.metadata import files, version
from pathlib import Path

import pytest

import edgeface

HEAVY = ("ai_edge_litert", "cv2", "ncnn", "nncf", "numpy", "onnxruntime", "rich", "tflite_runtime", "torch", "typer")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has imported after running the code."""
    report = f"import sys\n{code}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert loaded_after("import edgeface") == set()


def test_results_need_numpy_only() -> None:
    assert loaded_after("import edgeface; edgeface.Faces, edgeface.Frame, edgeface.errors") == {"numpy"}


def test_no_module_imports_opencv_or_a_toolchain_when_it_is_imported() -> None:
    code = "import importlib\nfor name in {names!r}: importlib.import_module(name)"
    assert not loaded_after(code.format(names=_modules())) & {"cv2", "nncf", "torch", "onnxruntime", "ai_edge_litert"}


def test_no_module_imports_the_toolchain_or_the_board_files() -> None:
    for path in Path(edgeface.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & {"quantize", "boards"}, path


def test_versions_agree() -> None:
    from edgeface import _core

    assert edgeface.__version__ == version("edgeface") == _core.__version__


def test_the_distribution_holds_this_package_and_nothing_else() -> None:
    """A package called quantize, or tests, would be in the way of others on a device."""
    installed = [file for file in files("edgeface") or () if file.parts[0] != ".."]
    if any("editable" in file.name for file in installed):
        pytest.skip("an editable install has no files of its own")
    tops = {file.parts[0] for file in installed}
    assert tops == {"edgeface", f"edgeface-{edgeface.__version__}.dist-info"}
    assert not [file for file in installed if file.suffix in (".cpp", ".h", ".hpp")]


def test_the_bundles_in_the_wheel_are_small() -> None:
    from edgeface.bundle import bundled_models

    shipped = [path for name, path in bundled_models().items() if not name.endswith("-float32")]  # not in wheels
    assert sum(path.stat().st_size for path in shipped) < 4_300_000  # of a wheel of less than 5 MB


@pytest.mark.parametrize("name", sorted(set(edgeface.__all__) - {"__version__"}))
def test_public_names_are_there_and_documented(name: str) -> None:
    value = getattr(edgeface, name)
    assert value.__doc__
    assert name in dir(edgeface)


def test_the_lazy_table_and_the_list_for_type_checkers_agree() -> None:
    tree = ast.parse(Path(edgeface.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    declared = {
        alias.name: f"{node.module}.{alias.name}" if node.module == "edgeface" else node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == edgeface._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'edgeface' has no attribute 'Nonsense'"):
        edgeface.Nonsense  # noqa: B018


def test_every_error_is_an_edgeface_error_and_a_builtin_one() -> None:
    errors = edgeface.errors
    for name in errors.__all__:
        value = getattr(errors, name)
        if isinstance(value, type) and value is not errors.EdgeFaceError:
            assert issubclass(value, errors.EdgeFaceError)
            if value is not errors.EdgeFaceError:
                assert issubclass(value, (ValueError, RuntimeError, ImportError, OSError)), name


def _modules() -> list[str]:
    names = (m.name for m in pkgutil.walk_packages(edgeface.__path__, "edgeface."))
    return sorted(name for name in names if not name.endswith("__main__"))


def _has_examples(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return spec.origin.endswith(".py") and ">>> " in Path(spec.origin).read_text(encoding="utf-8")


WITH_EXAMPLES = list(filter(_has_examples, _modules()))


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    assert len(WITH_EXAMPLES) > 50
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.failed == 0
