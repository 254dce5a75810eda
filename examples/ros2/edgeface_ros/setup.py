from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="edgeface_ros",
    version="0.2.0",
    description="Faces of an image topic as vision_msgs, ROS4HRI topics and tf",
    license="Apache-2.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/edgeface_ros"]),
        ("share/edgeface_ros", ["package.xml"]),
        ("share/edgeface_ros/launch", [str(path) for path in Path("launch").glob("*.launch.py")]),
        ("share/edgeface_ros/config", [str(path) for path in Path("config").glob("*.yaml")]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={"console_scripts": ["face_node = edgeface_ros.face_node:main"]},
)
