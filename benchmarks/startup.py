"""What it costs to start: time to import, time to the first result, and peak memory, each in a fresh process.

    python benchmarks/startup.py [--model M] [--runs N] [--json FILE] [--markdown FILE]

The variants run interleaved, so that drift of the machine meets all of them alike; medians and their spread are given.
Seconds count from the start of the process (as the kernel has it), Python's own start included, and grow with whatever
else the machine does; CPU seconds are those of the process alone. Memory is the peak resident set of the process, less
that of a Python that does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

_CLOCK = """
import os, sys, time
def peak():
    # not ru_maxrss, which a child takes over from the process that forked it
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
def age():
    # field 22 of stat is the start in clock ticks since boot
    with open("/proc/self/stat") as file:
        started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
"""
_REPORT = """
print(age(), time.process_time(), peak(), "cv2" in sys.modules)
"""
_IMPORT = "import edgeface\n"
_DETECT = """
import edgeface, numpy as np
engine = edgeface.FaceEngine({model!r}, runtime={runtime!r}, warmup=False)
engine.detect(np.zeros((480, 640, 3), np.uint8), color="bgr")
"""


def measure(code: str) -> tuple[float, float, float]:
    """Seconds since the start, CPU seconds, and peak resident set in MB, after some code in a fresh interpreter."""
    command = [sys.executable, "-P", "-c", _CLOCK + code + _REPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, busy, kilobytes, opencv = done.stdout.split()
    if opencv == "True":
        raise SystemExit("OpenCV must not be imported on this path, but it was")
    return float(seconds), float(busy), float(kilobytes) / 1024


def variants(model: str) -> dict[str, str]:
    """Name -> code, for what is installed."""
    from edgeface.runtimes import installed

    codes = {"bare Python": "", "import edgeface": _IMPORT, "import numpy": "import numpy\n"}
    for runtime in ("litert", "onnxruntime"):
        if installed(runtime):
            codes[f"first result, {runtime}"] = _DETECT.format(model=model, runtime=runtime)
    return codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    codes = variants(options.model)
    for code in codes.values():
        measure(code)  # once for the disk cache
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in codes}
    for _ in range(options.runs):
        for name, code in codes.items():
            results[name].append(measure(code))
    bare = statistics.median(memory for _, _, memory in results["bare Python"])
    rows = []
    for name, runs in results.items():
        times = [seconds for seconds, _, _ in runs]
        middle = statistics.median(times)
        spread = statistics.median(abs(t - middle) for t in times)
        busy = statistics.median(cpu for _, cpu, _ in runs)
        over = statistics.median(memory for _, _, memory in runs) - bare
        row = {"what": name, "median_s": middle, "mad_s": spread, "cpu_s": busy, "peak_rss_over_bare_mb": over}
        rows.append(row)
    lines = [
        "| from process start to the end of | seconds, median | ± (MAD) | CPU seconds | peak RSS over bare, MB |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        memory = r["peak_rss_over_bare_mb"]
        lines.append(f"| {r['what']} | {r['median_s']:.3f} | {r['mad_s']:.3f} | {r['cpu_s']:.3f} | {memory:.1f} |")
    load = os.getloadavg()[0]
    host = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
    print("\n".join([*lines, "", host]))
    if options.json:
        options.json.write_text(
            json.dumps({"host": host, "runs": options.runs, "rows": rows, "raw": results}, indent=2)
        )
    if options.markdown:
        head = [
            "# What it costs to start",
            "",
            "The table shows the time and memory from process start to the import of edgeface and to the first result.",
            f"Each row is the median of {options.runs} fresh processes; the variants run interleaved,",
            f"with `{options.model}` and without OpenCV.",
            "Written by `python benchmarks/startup.py --markdown docs/performance-startup.md`.",
            f"Host: {host}.",
            "",
        ]
        options.markdown.write_text("\n".join([*head, *lines, ""]))


if __name__ == "__main__":
    main()
