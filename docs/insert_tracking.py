"""Put the figures of ``benchmarks/tracking.py --json FILE`` into the page on tracking.

python benchmarks/tracking.py --count 8 --json tracking.json && python docs/insert_tracking.py tracking.json
"""

import json
import sys
from pathlib import Path

from insert_figures import between

PAGE = Path(__file__).parent / "guides" / "tracking.md"


def inserted(page: str, mark: str, table: list[str]) -> str:
    """The page with a table between its two marks."""
    return between(page, f"<!-- tracking: {mark} -->", "<!-- tracking: end -->", "\n".join(["", *table, ""]))


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    motions = report["motions"]
    names = [name for name in next(iter(motions.values())) if name != "no smoothing"]
    every = ["| recall | " + " | ".join(motions) + " |", "|---|" + "---|" * len(motions)]
    for name in names:
        label = "every frame" if name == "default" else name
        every.append(f"| {label} | " + " | ".join(f"{rows[name]['recall']:.2f}" for rows in motions.values()) + " |")
    table = ["| motion | id switches | recall | lag in frames | lag every 3, flow |", "|---|---|---|---|---|"]
    for motion, rows in motions.items():
        row, sparse = rows["default"], rows["every 3, flow"]
        cells = (motion, row["switches"], f"{row['recall']:.2f}", f"{row['lag']:.2f}", f"{sparse['lag']:.2f}")
        table.append(f"| {' | '.join(map(str, cells))} |")
    jitter = ["| a still face under a sensor's noise | landmarks, ‰ of its height | angles |", "|---|---|---|"]
    for label, name in (("`smoothing=None`", "no smoothing"), ("default", "default")):
        still = motions["still"][name]
        jitter.append(f"| {label} | {still['landmark jitter ‰']:.1f} | {still['angle jitter °']:.2f}° |")
    page = inserted(PAGE.read_text(), "every", every)
    page = inserted(page, "jitter", jitter)
    table.append("")
    table.append(
        f"{report['photos']} photos of {report['set']}/wider, 90 frames of 640x480 at 30 fps; {report['detector']}."
    )
    PAGE.write_text(inserted(page, "motions", table))


if __name__ == "__main__":
    main()
