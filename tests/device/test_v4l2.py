"""A V4L2 camera as far as one can be had without the kernel's help: a shim that is preloaded plays /dev/video0."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SHIM = Path(__file__).parents[3] / "shared" / "tools" / "v4l2_shim.c"
WIDTH, HEIGHT = 640, 480

_PROGRAM = """
import json, sys
from edgeface.sources import open_source
options = json.loads(sys.argv[1])
seen = []
with open_source(0, **options) as source:
    for _ in range(3):
        frame = source.read()
        seen.append([frame.color, *frame.size, int(frame.planes[0][240, 320].flat[0]), frame.timestamp_ns])
print(json.dumps(seen))
"""


@pytest.mark.skipif(not SHIM.exists(), reason="../shared/tools/v4l2_shim.c is not here")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize(("options", "color"), [('{"pixel_format": "yuyv"}', "yuyv"), ("{}", "bgr")])
def test_frames_of_a_v4l2_camera(tmp_path: Path, options: str, color: str) -> None:
    library = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, SHIM, "-ldl"], check=True)
    frames = tmp_path / "frames.yuyv"
    grey = np.full((3, HEIGHT, WIDTH, 2), 128, np.uint8)
    for i in range(3):
        grey[i, ..., 0] = 60 * (i + 1)
    frames.write_bytes(grey.tobytes())
    environment = {**os.environ, "LD_PRELOAD": str(library), "V4L2_FILE": str(frames)}
    result = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert [row[:3] for row in seen] == [[color, WIDTH, HEIGHT]] * 3
    # luma 60, 120, 180 in the limited range of BT.601, which OpenCV turns into full-range BGR
    levels = [60, 120, 180] if color == "yuyv" else [round((y - 16) * 255 / 219) for y in (60, 120, 180)]
    # OpenCV takes some frames for itself while it tries settings: what comes is the cycle, from anywhere in it
    numbers = [int(np.argmin(np.abs(np.array(levels) - row[3]))) for row in seen]
    assert all(abs(levels[number] - row[3]) <= 2 for number, row in zip(numbers, seen, strict=True))
    assert [(number - numbers[0]) % 3 for number in numbers] == [0, 1, 2]
    stamps = [row[4] for row in seen]
    assert stamps == sorted(stamps)
