"""From camera frame to network input: edgeface's one pass against the OpenCV way, and what decoding costs.

    python benchmarks/preprocess.py [--rounds N] [--json FILE] [--markdown FILE]   time ratios on this machine
    python benchmarks/preprocess.py --arm WHEEL [--cpu cortex-a72] [--json FILE]   executed ARM instructions, emulated

Two OpenCV ways, both on one thread: *usual* is cvtColor, resize, subtract and divide in float, round, transpose;
*tuned* does the least that OpenCV and NumPy can (BGR is resized before it is reordered; int8 by one XOR). The ways run
interleaved, so that drift of the machine meets all alike; medians are compared. `--arm` needs the wheel of
cpp/cross/build_wheel.sh and boards/emulate; its numbers are counts of instructions, repeatable to the digit, and
estimates of cost, not times.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT = 320, 240
CASES = [(color, size) for size in ((640, 480), (1920, 1080)) for color in ("nv12", "bgr")]
FACES = 20
_MARK, _GETPID = 0xED6EFACE, 172  # boards/emulate/counter.c


def frame_of(color: str, size: tuple[int, int]) -> np.ndarray:
    """A picture-like frame: smooth with some noise. (h, w, 3), or (h * 3/2, w) for NV12."""
    width, height = size
    rows = height * 3 // 2 if color == "nv12" else height
    y, x = np.mgrid[:rows, :width]
    noise = np.random.default_rng(0).integers(0, 30, (rows, width))
    plane = (100 + 60 * np.sin(x / 40) * np.cos(y / 30) + noise).astype(np.uint8)
    return plane if color == "nv12" else np.stack((plane, plane[::-1], 255 - plane), axis=2)


def one_pass(frame: np.ndarray, color: str, size: tuple[int, int]) -> Callable[[], np.ndarray]:
    """edgeface, into a buffer that is there already, as the engine does it."""
    from edgeface import _core

    width, height = size
    planes = [frame[:height], frame[height:]] if color == "nv12" else [frame]
    out = np.empty((1, 3, HEIGHT, WIDTH), np.int8)

    def run() -> np.ndarray:
        _core.preprocess(planes, color, width, height, out, layout="NCHW", color="rgb")
        return out

    return run


def opencv(frame: np.ndarray, color: str, size: tuple[int, int], tuned: bool) -> Callable[[], np.ndarray]:
    """The OpenCV way to the same tensor."""
    import cv2

    cv2.setNumThreads(1)
    scale = min(WIDTH / size[0], HEIGHT / size[1])
    new = round(size[0] * scale), round(size[1] * scale)
    x, y = (WIDTH - new[0]) // 2, (HEIGHT - new[1]) // 2

    def run() -> np.ndarray:
        if color == "nv12":
            small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12), new, interpolation=cv2.INTER_LINEAR)
        elif tuned:
            small = cv2.cvtColor(cv2.resize(frame, new, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
        else:
            small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), new, interpolation=cv2.INTER_LINEAR)
        canvas = small
        if new != (WIDTH, HEIGHT):
            canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
            canvas[y : y + new[1], x : x + new[0]] = small
        if tuned:
            return np.ascontiguousarray((canvas ^ np.uint8(0x80)).view(np.int8).transpose(2, 0, 1)[None])
        real = (canvas.astype(np.float32) - 128) / 128
        return np.ascontiguousarray(np.round(real * 128).astype(np.int8).transpose(2, 0, 1)[None])

    return run


def decoding() -> Callable[[], int]:
    """Decode and NMS of 20 faces, each found by nine cells, among the 1,580 cells of a 320x240 tensor; int8, NHWC."""
    from edgeface import _core

    rng = np.random.default_rng(1)
    outputs = []
    for stride in (8, 16, 32):
        head = rng.integers(-20, 20, (1, -(-HEIGHT // stride), WIDTH // stride, 22)).astype(np.int8)
        head[..., 0] = -100
        head[..., 16:] = (60, 0, 0, 0, 60, 0)
        outputs.append(head)
    for face in range(FACES):
        row, column = 2 + 6 * (face // 5), 3 + 8 * (face % 5)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                head = outputs[0][0, row + dy, column + dx]
                head[0], head[2:6] = 60 - abs(dx) - abs(dy), (-20 * dx, -20 * dy, 14, 14)
    ones = [np.ones(22, np.float32)] * 3
    identity = np.array([[2.0, 0, 0], [0, 2.0, 0]])

    def run() -> int:
        faces = _core.decode(
            outputs, [8, 16, 32], ["NHWC"] * 3, [0.05] * 3, [0] * 3, ones, identity, min_score=0.5, nms_iou=0.45
        )
        return len(faces[0])

    if run() != FACES:
        raise SystemExit(f"the made-up network must show {FACES} faces, but got {run()}")
    return run


def ways(color: str, size: tuple[int, int]) -> dict[str, Callable[[], np.ndarray]]:
    """Name -> one call."""
    frame = frame_of(color, size)
    found = {
        "edgeface": one_pass(frame, color, size),
        "tuned": opencv(frame, color, size, True),
        "usual": opencv(frame, color, size, False),
    }
    ours, theirs = found["edgeface"]().astype(int), found["tuned"]().astype(int)
    difference = np.abs(ours - theirs).mean()
    if difference > 3:  # both must do the same work
        raise SystemExit(f"the tensors of {color} {size} must be alike, but differ by {difference:.2f} on average")
    return found


def measure_times(rounds: int) -> list[dict[str, Any]]:
    """Medians in milliseconds of interleaved calls, and their ratios."""
    rows = []
    for color, size in CASES:
        calls = ways(color, size)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(rounds + 5):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                if turn >= 5:
                    times[name].append((time.perf_counter() - started) * 1e3)
        median = {name: statistics.median(values) for name, values in times.items()}
        rows.append(
            {
                "frame": f"{color} {size[0]}x{size[1]}",
                "median_ms": median,
                "ratio_to_tuned": median["tuned"] / median["edgeface"],
                "ratio_to_usual": median["usual"] / median["edgeface"],
            }
        )
    return rows


def guest(which: str) -> None:
    """Inside the emulator: the third call of each way between two markers; prints nothing."""
    syscall = ctypes.CDLL(None).syscall
    syscall.argtypes = [ctypes.c_long] * 3
    calls: list[Callable[[], Any]] = []
    for color, size in CASES:
        frame = frame_of(color, size)
        calls.append(one_pass(frame, color, size) if which == "edgeface" else opencv(frame, color, size, True))
    if which == "edgeface":
        calls.append(decoding())
    for number, call in enumerate(calls):
        call()
        call()
        syscall(_GETPID, _MARK, 2 * number)
        call()
        syscall(_GETPID, _MARK, 2 * number + 1)


def measure_arm(wheel: Path, cpu: str) -> list[dict[str, Any]]:
    """Executed instructions of one call, the binding's included."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from boards.emulate import root as rootfs
    from boards.emulate.guest_run import count_python

    rootfs.build_all()
    package = rootfs.unpack_wheel(wheel)
    counts = {}
    for name, which, isa in (("scalar", "edgeface", "scalar"), ("neon", "edgeface", "neon"), ("opencv", "opencv", "")):
        argv = [str(Path(__file__).resolve()), "--guest", which]
        marks, _, _ = count_python(argv, cpu, [package], env={"EDGEFACE_ISA": isa} if isa else None)
        counts[name] = [marks[2 * i + 1]["total"] - marks[2 * i]["total"] for i in range(len(marks) // 2)]
    rows: list[dict[str, Any]] = []
    for i, (color, size) in enumerate(CASES):
        values = {name: counts[name][i] for name in counts}
        rows.append({"frame": f"{color} {size[0]}x{size[1]}", "instructions": values})
    rows.append({"frame": f"decode, {FACES} faces", "instructions": {n: counts[n][-1] for n in ("scalar", "neon")}})
    return rows


def markdown(rows: list[dict[str, Any]], where: str) -> str:
    """The table for docs/performance.md."""
    if "instructions" in rows[0]:
        lines = [
            f"Executed instructions in thousands, to 320x240 int8 ({where}, emulated; estimates of cost, not times)",
            "",
            "| frame | scalar | NEON | OpenCV, tuned | scalar / NEON | OpenCV / NEON |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            n = row["instructions"]
            other = f"{n['opencv'] / 1e3:,.0f}" if "opencv" in n else "–"
            ratio = f"{n['opencv'] / n['neon']:.1f}" if "opencv" in n else "–"
            lines.append(
                f"| {row['frame']} | {n['scalar'] / 1e3:,.0f} | {n['neon'] / 1e3:,.0f} | {other} | "
                f"{n['scalar'] / n['neon']:.1f} | {ratio} |"
            )
        return "\n".join(lines) + "\n"
    lines = [
        f"Ratios of interleaved medians, one thread, to 320x240 int8 ({where})",
        "",
        "| frame | edgeface ms | OpenCV tuned ms | OpenCV usual ms | tuned / edgeface | usual / edgeface |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        m = row["median_ms"]
        lines.append(
            f"| {row['frame']} | {m['edgeface']:.3f} | {m['tuned']:.3f} | {m['usual']:.3f} | "
            f"{row['ratio_to_tuned']:.1f} | {row['ratio_to_usual']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--arm", type=Path, metavar="WHEEL", help="count ARM instructions with this aarch64 wheel")
    parser.add_argument("--cpu", default="cortex-a72")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--guest", choices=("edgeface", "opencv"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.guest:
        guest(args.guest)
        return
    if args.arm:
        rows, where = measure_arm(args.arm, args.cpu), args.cpu
    else:
        from edgeface import _core

        rows, where = measure_times(args.rounds), f"{platform.machine()}, {_core.isa()}"
    record = {"where": where, "load": os.getloadavg()[0], "rows": rows}
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n")
    table = markdown(rows, where)
    if args.markdown:
        args.markdown.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
