from setuptools import setup

setup(
    name="edgeface_ros",
    version="0.1.0",
    packages=["edgeface_ros"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/edgeface_ros"]),
        ("share/edgeface_ros", ["package.xml"]),
        ("share/edgeface_ros/launch", ["launch/faces.launch.py"]),
    ],
    install_requires=["edgeface"],
    entry_points={"console_scripts": ["face_node = edgeface_ros.face_node:main"]},
)
