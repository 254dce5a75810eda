"""Say what is wrong with each face of a photo: ``python examples/quality_gate.py examples/astronaut.jpg``."""

import sys

import edgeface
from edgeface.images import read_image

frame = edgeface.Frame.from_array(read_image(sys.argv[1]), "bgr")
faces = edgeface.FaceEngine().detect(frame)
for face, report in zip(faces, edgeface.QualityGate.preset("verify").check(faces, frame), strict=True):
    advice = ", ".join(reason.advice for reason in report.reasons) or "good"
    print(f"quality {face.quality:.2f}, {face.width:.0f} px: {advice}")
