"""The examples run as they are."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.bundle import bundled_models
from edgeface.images import read_image

EXAMPLES = Path(__file__).parents[2] / "examples"
needs_model = pytest.mark.skipif("edgeface-s" not in bundled_models(), reason="no network in this checkout")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut, while the camera pans."""
    folder = tmp_path_factory.mktemp("walk")
    image = read_image(EXAMPLES / "astronaut.jpg")
    for i in range(8):
        matrix = np.array([[1.0, 0, -6 * i], [0, 1, 3 * i]])
        cv2.imwrite(str(folder / f"{i}.png"), cv2.warpAffine(image, matrix, (400, 320)))
    return folder


def run(example: str, *arguments: str | Path, folder: Path) -> str:
    command = [sys.executable, "-P", str(EXAMPLES / example), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=folder).stdout


@needs_model
def test_track_video(walk: Path, tmp_path: Path) -> None:
    lines = run("track_video.py", walk, tmp_path / "shots", folder=tmp_path).splitlines()
    assert [line.split(":")[0] for line in lines if "#1 " in line] == [str(i) for i in range(1, 8)]
    assert cv2.imread(str(tmp_path / "shots" / "1.png")).shape == (112, 112, 3)


@needs_model
def test_quality_gate(tmp_path: Path) -> None:
    out = run("quality_gate.py", EXAMPLES / "astronaut.jpg", folder=tmp_path)
    assert out.startswith("quality 0.")


@needs_model
def test_many_faces(tmp_path: Path) -> None:
    whole, regions = (
        int(line.split()[-2]) for line in run("many_faces.py", EXAMPLES / "collage.jpg", folder=tmp_path).splitlines()
    )
    assert regions >= whole > 5


@needs_model
def test_live_view(tmp_path: Path) -> None:
    """Until its source ends, here after one picture."""
    command = [sys.executable, "-P", str(EXAMPLES / "live_view.py"), str(EXAMPLES / "astronaut.jpg")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        assert process.wait(timeout=120) == 0
