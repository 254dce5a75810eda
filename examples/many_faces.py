"""Small faces in a large picture, region by region: ``python examples/many_faces.py examples/collage.jpg``."""

import sys

import edgeface
from edgeface.images import read_image
from edgeface.regions import detect_regions, tiles

frame = edgeface.Frame.from_array(read_image(sys.argv[1]), "bgr")
engine = edgeface.FaceEngine()
print(f"whole picture: {len(engine.detect(frame))} faces")
whole = (0, 0, *frame.size)
print(f"with 2x2 regions: {len(detect_regions(engine, frame, [whole, *tiles(frame.size, 2, 2)]))} faces")
