"""Find the faces of a photo: ``python examples/detect_photo.py examples/astronaut.jpg``."""

import sys

import edgeface
from edgeface.images import read_image

engine = edgeface.FaceEngine()
for face in engine.detect(read_image(sys.argv[1]), color="bgr"):
    print(f"{face.score:.2f} at {face.box.round().tolist()}, yaw {face.yaw:+.0f}°, quality {face.quality:.2f}")
