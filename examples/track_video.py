"""Follow faces and keep the best shot of each: ``python examples/track_video.py VIDEO|FOLDER|CAMERA [DIR]``."""

import sys
from pathlib import Path

import edgeface
from edgeface.images import write_image

folder = Path(sys.argv[2] if len(sys.argv) > 2 else "best_shots")
folder.mkdir(exist_ok=True)
with edgeface.FaceEngine() as engine, engine.stream(sys.argv[1]) as stream:
    for result in stream:
        for face in result.faces:
            print(f"{result.frame.sequence}: #{face.track_id} at {face.box.round().tolist()}, yaw {face.yaw:+.0f}°")
    stream.tracker.reset()  # ends the tracks of those who are still there
    for track in stream.tracker.take_ended():
        if track.best_shot.aligned is not None:
            write_image(folder / f"{track.track_id}.png", track.best_shot.aligned)
