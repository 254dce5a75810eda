"""The launch files, with stand-ins for launch and launch_ros (PyPI has neither): what they ask for, by name."""

import ast
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "ros2" / "edgeface_ros"
CLASSES = {
    "launch": ["LaunchDescription"],
    "launch.actions": ["DeclareLaunchArgument", "IncludeLaunchDescription"],
    "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
    "launch.substitutions": ["LaunchConfiguration", "PathJoinSubstitution"],
    "launch_ros": [],
    "launch_ros.actions": ["ComposableNodeContainer", "LifecycleNode"],
    "launch_ros.descriptions": ["ComposableNode"],
    "launch_ros.parameter_descriptions": ["ParameterValue"],
    "launch_ros.substitutions": ["FindPackageShare"],
}


class Asked:
    """Something that was made, with its arguments."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.named = arguments, named


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, classes in CLASSES.items():
        module = types.ModuleType(name)
        for kind in classes:
            setattr(module, kind, type(kind, (Asked,), {}))
        monkeypatch.setitem(sys.modules, name, module)

    def describe(name: str) -> list[Any]:
        spec = importlib.util.spec_from_file_location("asked", PACKAGE / "launch" / name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return list(module.generate_launch_description().arguments[0])

    return describe


def kind(asked: Any) -> str:
    return type(asked).__name__


def declared_parameters() -> set[str]:
    """Names in the node's table, read without ROS."""
    tree = ast.parse((PACKAGE / "edgeface_ros" / "parameters.py").read_text())
    tables = [n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "PARAMETERS"]
    assert isinstance(tables[0].value, ast.Dict)
    return {key.value for key in tables[0].value.keys if isinstance(key, ast.Constant)}


def test_the_node_is_given_parameters_that_it_has(described: Any) -> None:
    *arguments, node = described("faces.launch.py")
    assert kind(node) == "LifecycleNode"
    assert (node.named["package"], node.named["executable"]) == ("edgeface_ros", "face_node")
    _, given = node.named["parameters"]
    assert set(given) <= declared_parameters()
    names = {argument.arguments[0] for argument in arguments}
    used = {value.arguments[0].arguments[0] for value in given.values()}
    used |= {to.arguments[0] for _, to in node.named["remappings"]}
    assert used <= names
    for argument in arguments:
        assert len(argument.named["description"]) > 5
    setup = (PACKAGE / "setup.py").read_text()
    assert "face_node = edgeface_ros.face_node:main" in setup


def test_the_file_of_parameters_names_those_of_the_node() -> None:
    lines = (PACKAGE / "config" / "faces.yaml").read_text().splitlines()
    names = {line.split(":")[0].strip() for line in lines if line.startswith("    ")}
    assert len(names) > 5
    assert names <= declared_parameters()


def test_the_pipeline_hands_the_rectified_image_on(described: Any) -> None:
    *arguments, container, faces = described("pipeline.launch.py")
    plugins = [part.named["plugin"] for part in container.named["composable_node_descriptions"]]
    assert plugins == ["v4l2_camera::V4L2Camera", "image_proc::RectifyNode"]
    manifest = (PACKAGE / "package.xml").read_text()
    for part in container.named["composable_node_descriptions"]:
        assert f"<exec_depend>{part.named['package']}</exec_depend>" in manifest
    given = dict(faces.named["launch_arguments"])
    assert given["rectified"] == "true"
    assert given["image"][-1] == "/image_rect"
    *known, _ = described("faces.launch.py")
    assert set(given) <= {argument.arguments[0] for argument in known}
    required = [a.arguments[0] for a in arguments if a.named["default_value"] is None]
    assert required == ["camera_info_url"]
