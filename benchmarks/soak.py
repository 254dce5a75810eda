"""Does memory grow? Thousands of frames through stream, engine, tracker, gate, best shots and live view; RSS is fitted.

    python benchmarks/soak.py [--frames 20000] [--model edgeface-s]

Prints RSS at a few points and the slope over the second half (the first is caches filling), in bytes a frame and MB an
hour at 30 fps. Frames change between three sizes, some are damaged, and the camera is lost every 500 frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgeface
from edgeface.errors import ImageError, SourceError
from edgeface.frame import Frame
from edgeface.images import read_image
from edgeface.sources.base import Source
from edgeface.streaming import Stream
from edgeface.web import LiveView

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
SIZES = ((320, 240), (640, 480), (400, 300))


@dataclass(frozen=True)
class Soak:
    """What a soak found.

    Attributes:
        frames: (n,) at which memory was read.
        rss: (n,) bytes.
        slope: bytes a frame, over the second half.
        error: standard error of the slope.
        stats: the stream's counts.
    """

    frames: np.ndarray
    rss: np.ndarray
    slope: float
    error: float
    stats: Any


class Walk(Source):
    """A camera that walks over a photo, changes its size, gives damaged frames and gets lost."""

    name, live = "walk", False

    def __init__(self, photo: np.ndarray, count: int) -> None:
        self._photo, self._count, self._number = photo, count, 0

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def read(self) -> Frame | None:
        self._number += 1
        if self._number > self._count:
            return None
        if self._number % 500 == 0:
            raise SourceError("the camera was lost")
        if self._number % 97 == 0:
            raise ImageError("a damaged frame")
        width, height = SIZES[self._number // 40 % len(SIZES)]
        room = self._photo.shape[1] - width, self._photo.shape[0] - height
        x, y = (
            int(side * (0.5 + 0.5 * np.sin(self._number / pace))) for side, pace in zip(room, (23, 31), strict=True)
        )
        stamp = round(self._number * 1e9 / 30)
        return Frame.from_array(self._photo[y : y + height, x : x + width], "bgr", timestamp_ns=stamp)


def resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def soak(engine: Any, count: int, *, reads: int = 100, show: bool = False) -> Soak:
    """Run `count` frames through everything and watch the memory.

    Args:
        engine: a `FaceEngine`, or anything that detects.
        count: frames.
        reads: how often memory is read.
        show: print every tenth of them.
    """
    photo = read_image(PHOTO)
    photo = np.ascontiguousarray(np.tile(photo, (2, 2, 1)))
    gate = edgeface.QualityGate()
    frames, rss = [], []
    with LiveView(port=0) as view, Stream(engine, Walk(photo, count), retry=(0.001, 0.01)) as stream:
        view._board.watch(1)  # as if a browser were open: pictures are drawn and compressed
        for number, result in enumerate(stream):
            # every tenth: drawing and compressing would take most of the time
            if number % 10 == 0:
                view.show(result.frame, result.faces, reports=gate.check(result.faces, result.frame))
            if number % max(1, count // reads) == 0:
                frames.append(number)
                rss.append(resident_bytes())
                if show and len(rss) % (reads // 10) == 1:
                    print(f"frame {number:6d}  RSS {rss[-1] / 1e6:7.2f} MB", flush=True)
        stats = stream.stats
    x, y = np.array(frames, float), np.array(rss, float)
    slope, error = _slope(x[len(x) // 2 :], y[len(y) // 2 :])
    return Soak(x, y, slope, error, stats)


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least squares slope and its standard error."""
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    rest = y - y.mean() - slope * away
    return slope, float(np.sqrt(rest @ rest / max(len(x) - 2, 1) / (away @ away)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--runtime", default="auto")
    options = parser.parse_args()
    with edgeface.FaceEngine(options.model, runtime=options.runtime) as engine:
        print(engine)
        result = soak(engine, options.frames, show=True)
    print(f"{result.stats}")
    print(
        f"slope over the second half: {result.slope:+.2f} ± {result.error:.2f} bytes a frame, "
        f"{result.slope * 30 * 3600 / 1e6:+.2f} MB an hour at 30 fps"
    )


if __name__ == "__main__":
    main()
