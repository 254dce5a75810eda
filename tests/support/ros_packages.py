"""vision_msgs, hri_msgs and tf2_msgs as rosidl builds them, for a graph that really runs. For tests.

PyPI has rclpy, its messages and rosidl's generators (examples/ros2/requirements-test.txt), but not these three.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

from support.ros_messages import HRI_MSGS, TF2_MSGS, VISION_MSGS

PACKAGES = {"vision_msgs": VISION_MSGS, "hri_msgs": HRI_MSGS, "tf2_msgs": TF2_MSGS}
_MANIFEST = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name><version>0.0.0</version><description>For tests</description>
  <maintainer email="maintainer@example.com">edgeface</maintainer><license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend><depend>std_msgs</depend><depend>geometry_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""
# The wheels' targets name the Python headers of the machine that built them.
_PROJECT = """cmake_minimum_required(VERSION 3.18)
project({name} C CXX)
foreach(package ament_cmake std_msgs geometry_msgs rosidl_cmake rosidl_generator_type_description rosidl_generator_c
        rosidl_typesupport_c rosidl_typesupport_fastrtps_c rosidl_generator_py)
  find_package(${{package}} REQUIRED)
endforeach()
foreach(package builtin_interfaces service_msgs std_msgs geometry_msgs)
  set(target "${{package}}::${{package}}__rosidl_generator_py")
  if(TARGET "${{target}}")
    set_target_properties("${{target}}" PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "{prefix}/include/${{package}};{headers}")
  endif()
endforeach()
rosidl_generate_interfaces({name} {files} DEPENDENCIES std_msgs geometry_msgs)
"""


def install(folder: Path) -> None:
    """Build what is not there yet below `folder`, and make ``import vision_msgs.msg`` and the like work."""
    for name, messages in PACKAGES.items():
        digest = hashlib.sha256(json.dumps([messages, _PROJECT, sys.version, sys.prefix]).encode()).hexdigest()[:12]
        built = folder / f"{name}-{digest}"
        if not (built / "done").exists():
            _build(name, messages, built)
            (built / "done").touch()
        # the type support of C looks for libraries by name: these are found once they are loaded
        for library in sorted(built.glob("*.so"), key=lambda path: "generator" not in path.name):
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        sys.path.insert(0, str(built / "rosidl_generator_py"))


def _build(name: str, messages: dict[str, str], folder: Path) -> None:
    source = folder / "source"
    (source / "msg").mkdir(parents=True, exist_ok=True)
    for kind, text in messages.items():
        (source / "msg" / f"{kind}.msg").write_text(text + "\n")
    headers = f"{sysconfig.get_path('include')};{np.get_include()}"
    files = " ".join(f"msg/{kind}.msg" for kind in messages)
    prefix = Path(sys.prefix)
    (source / "package.xml").write_text(_MANIFEST.format(name=name))
    (source / "CMakeLists.txt").write_text(_PROJECT.format(name=name, headers=headers, files=files, prefix=prefix))
    configure = ["cmake", "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}"]
    configure += [f"-DPython3_EXECUTABLE={sys.executable}"]
    environment = os.environ | {"AMENT_PREFIX_PATH": str(prefix)}
    targets = [f"{name}_s__rosidl_typesupport_{part}" for part in ("c", "fastrtps_c")]
    for command in (configure, ["cmake", "--build", folder, "--target", *targets]):
        run = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
