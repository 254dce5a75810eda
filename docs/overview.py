"""Write the table of the README, those of the model zoo, and the chart of accuracy against cost.

    python -m quantize compare … > table.md
    python docs/overview.py table.md --command 'python -m quantize compare …'
    python docs/overview.py                    # all of them again from docs/overview.json

Accuracy comes from the table of `compare`, instructions from ``boards/results/instructions.json``
(`python -m boards.emulate table`). Both are kept in ``docs/overview.json``. Needs matplotlib.
"""

import argparse
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from insert_figures import BEGIN, END, between

HERE = Path(__file__).parent
ZOO = HERE / "model-zoo.md"
KEPT = HERE / "overview.json"
CHART = HERE / "images" / "accuracy-cost.png"
INSTRUCTIONS = HERE.parent / "boards" / "results" / "instructions.json"
INPUT = [320, 320]
#: Input of networks that have no other.
FIXED = {"MediaPipe full range": [192, 192]}
MODELS = HERE.parent / "edgeface" / "models"
CORES = {"cortex-a53": "Cortex-A53", "cortex-a72": "Cortex-A72", "cortex-a76": "Cortex-A76"}
#: Name in the README, name in `compare`'s head, name in the counts (of a bundle: one for each precision).
NETWORKS = {
    "edgeface-s": ("edgeface-s int8 onnxruntime", ("edgeface-s-int8", "edgeface-s-float32")),
    "edgeface-n": ("edgeface-n int8 onnxruntime", ("edgeface-n-int8", "edgeface-n-float32")),
    "YuNet n": ("yunet_n_dynamic", ("yunet_n_dynamic",)),
    "SCRFD-500M": ("scrfd_500m", ("scrfd_500m_kps",)),
    "MediaPipe full range": ("mediapipe_full_range", ("mediapipe_full_range",)),
}
TINY = "wider+wider2, letterbox 192x192"
WIDE, SMALL = "wider+wider2, letterbox 640x640", "wider+wider2, letterbox 320x320"
EMPTY, POINTS, HEADS = "background, letterbox 640x640", "afw, letterbox 640x640", "aflw2000, letterbox 320x320"
ALARMS = "false positives per 100 empty photos"
#: Set and input, figure in `compare`'s table; label in the README; decimals; whether more is better.
ROWS = [
    (WIDE, "AP ≥32 px", "AP, faces ≥ 32 px, 640×640", 3, True),
    (SMALL, "AP ≥32 px", "AP, faces ≥ 32 px, 320×320", 3, True),
    (TINY, "AP ≥32 px", "AP, faces ≥ 32 px, 192×192", 3, True),
    (WIDE, "recall, faces ≥32 px, score ≥.5", "recall at score 0.5, 640×640", 3, True),
    (WIDE, "precision, faces ≥32 px, score ≥.5", "precision at score 0.5, 640×640", 3, True),
    (EMPTY, f"{ALARMS}, score ≥.5", f"{ALARMS}, 640×640", 1, False),
    (POINTS, "5-point error / eye distance, %", "landmark error, % of eye distance, 640×640", 1, False),
    (HEADS, "pose MAE, °", "head rotation, mean error in degrees, 320×320", 1, False),
]
PRECISION = "precision at score 0.5, 640×640"
#: Two rows in one: the table of the README has at most eight.
JOINED = {"recall at score 0.5, 640×640": ("recall / precision at score 0.5, 640×640", PRECISION)}
AP_SMALL, POINTS_ERROR, POSE_ERROR = (next(row[2] for row in ROWS if row[0] == of) for of in (SMALL, POINTS, HEADS))


def measured(table: str) -> dict[str, dict[str, float | None]]:
    """Figures by row of the README and network, out of `compare`'s table; of the networks that it has.

    Raises:
        ValueError: it has none of them, or no row of the README.
    """
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    head, found = lines[0], {tuple(cells[:2]): cells for cells in lines}
    columns = {name: head.index(column) for name, (column, _) in NETWORKS.items() if column in head}
    if not columns:
        raise ValueError(f"table must hold one of {', '.join(NETWORKS)}, but its head is {', '.join(head)}")
    figures: dict[str, dict[str, float | None]] = {}
    for trial, figure, label, _, _ in ROWS:
        cells = found.get((trial, figure))
        if cells is not None:
            values = {name: cells[column] for name, column in columns.items()}
            figures[label] = {name: None if value == "–" else float(value) for name, value in values.items()}
    if not figures:
        raise ValueError(f"table must hold {ROWS[0][0]}, {ROWS[0][1]} or another row of the README, but does not")
    return figures


def counted(instructions: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The fewest millions of instructions by network and core, and the runtime and precision that need them."""
    costs: dict[str, dict[str, dict[str, Any]]] = {}
    for name, (_, counts) in NETWORKS.items():
        size = FIXED.get(name, INPUT)
        rows = [row for row in instructions["networks"] if row["network"] in counts and row["size"] == size]
        costs[name] = {}
        for core in CORES:
            best = min((r for r in rows if core in r["instructions"]), key=lambda r: r["instructions"][core]["total"])
            precision = best["network"].rpartition("-")[2] if len(counts) > 1 else "float32"
            millions = round(best["instructions"][core]["total"] / 1e6, 1)
            costs[name][core] = {"millions": millions, "runtime": best["runtime"], "precision": precision}
    return costs


def table(kept: dict[str, Any]) -> str:
    """The table of the README; the best of each row is bold."""
    names = list(NETWORKS)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    cells = {label: _marked(kept["figures"][label], decimals, more) for _, _, label, decimals, more in ROWS}
    for first, (_, second) in JOINED.items():
        beside = cells.pop(second)
        cells[first] = {n: "–" if cells[first][n] == "–" else f"{cells[first][n]} / {beside[n]}" for n in names}
    for label, texts in cells.items():
        shown, _ = JOINED.get(label, (label, ""))
        lines.append(f"| {shown} | {' | '.join(texts[n] for n in names)} |")
    cost = [" / ".join(f"{kept['costs'][n][core]['millions']:.1f}" for core in CORES) for n in names]
    lines.append(f"| million instructions, A53 / A72 / A76 | {' | '.join(cost)} |")
    return "\n".join(lines)


def _marked(values: dict[str, float | None], decimals: int, more: bool) -> dict[str, str]:
    """Of each network, with the best bold; a dash for what was not measured."""
    known = [v for v in values.values() if v is not None]
    best = f"{(max(known) if more else min(known)):.{decimals}f}"
    texts = {n: "–" if values.get(n) is None else f"{values[n]:.{decimals}f}" for n in NETWORKS}
    return {n: f"**{text}**" if text == best else text for n, text in texts.items()}


def bullets(kept: dict[str, Any]) -> str:
    """Three lines with numbers for the head of the README."""
    figures, costs = kept["figures"], kept["costs"]
    s, n, y, *_ = NETWORKS
    ap, points, pose = (figures[label] for label in (AP_SMALL, POINTS_ERROR, POSE_ERROR))
    cost = [[f"{costs[name][core]['millions']:.0f}" for core in CORES] for name in (s, n, y)]
    return (
        f"- **Accuracy:** AP {ap[s]:.3f} on WIDER FACE photos at 320×320, for faces of at least 32 px"
        f" ({y}: {ap[y]:.3f}).\n"
        f"- **More from the same pass:** head rotation with a mean error of {pose[s]:.1f}°. The mean landmark error is"
        f" {points[s]:.1f} % of the eye distance ({y}: {points[y]:.1f} %).\n"
        f"- **Cost:** {' / '.join(cost[0])} million instructions per 320×320 frame on a Cortex-A53 / A72 / A76"
        f" ({y}: {' / '.join(cost[2])}). `{n}` needs {' / '.join(cost[1])}."
    )


def zoo(kept: dict[str, Any], instructions: dict[str, Any]) -> tuple[str, str, str]:
    """Tables of the model zoo: networks, files, and instructions by runtime."""
    networks, files, runtimes = [], [], []
    for name, (_, counts) in NETWORKS.items():
        if len(counts) == 1:
            continue
        with zipfile.ZipFile(MODELS / f"{name}.efm") as bundle:
            sizes = {item.filename: item.file_size for item in bundle.infolist()}
            models = json.loads(bundle.read("manifest.json"))["models"]
        card = f"model-card-{name}.md"
        found = re.search(r"([\d,]+) parameters", (HERE / card).read_text(encoding="utf-8"))
        if found is None:
            raise ValueError(f"{card} must say how many parameters there are, but does not")
        shown = [next(row for row in ROWS if row[0] == of) for of in (WIDE, SMALL, HEADS, POINTS)]
        figures = [f"{kept['figures'][label][name]:.{decimals}f}" for _, _, label, decimals, _ in shown]
        cost = " / ".join(f"{kept['costs'][name][core]['millions']:.1f}" for core in CORES)
        total = sum(sizes[f"{name}-int8.{part}"] for part in ("param", "bin"))
        recipe = f"`{name}.toml`"
        networks.append(f"| [{name}]({card}) | {found[1]} | {' | '.join(figures)} | {cost} | {total:,} | {recipe} |")
        for model in models:
            size = "any, steps of 16" if model["size"] is None else "{}×{}".format(*model["size"])
            weights = model.get("weights", {}).get("file")
            bytes_ = sizes[model["file"]] + (sizes[weights] if weights else 0)
            files.append(f"| `{model['file']}` | {model['format']} | {model['precision']} | {size} | {bytes_:,} |")
    for row in instructions["networks"]:
        network, _, precision = row["network"].rpartition("-")
        if network in NETWORKS and row["size"] == INPUT:
            cells = [f"{row['instructions'][core]['total'] / 1e6:.1f}" for core in CORES]
            runtimes.append(f"| {network} | {row['runtime']} | {precision} | {' | '.join(cells)} |")
    ap = "AP 640×640 | AP 320×320 | rotation, ° | points, %"
    rest = "A53 / A72 / A76 | int8 bytes | recipe in quantize/recipes"
    return (
        aligned(f"network | parameters | {ap} | {rest}", "lrrrrrrrl", networks),
        aligned("file | format | precision | input | bytes", "llllr", files),
        aligned("network | runtime | precision | A53 | A72 | A76", "lllrrr", runtimes),
    )


def aligned(head: str, sides: str, rows: list[str]) -> str:
    """A Markdown table; ``sides`` is l or r for each column."""
    return "\n".join([f"| {head} |", "|" + "".join("--:|" if side == "r" else "---|" for side in sides), *rows])


def draw(kept: dict[str, Any]) -> None:
    """One panel a core: instructions across, AP at 320×320 up."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    label = AP_SMALL
    drawn = [name for name in NETWORKS if kept["figures"][label].get(name) is not None]
    # above, to the right, below: they lie close together on some cores
    right = ((9, 0), "left", "center")
    sides = (((0, 15), "center", "bottom"), right, ((0, -9), "center", "top"), right)
    places = dict(zip(drawn, sides, strict=True))
    figure, panels = plt.subplots(1, len(CORES), figsize=(9, 3.2), sharey=True, layout="constrained")
    colors = dict(zip(drawn, ("#00695c", "#26a69a", "#b0552d", "#6a4c93"), strict=True))
    for panel, (core, title) in zip(panels, CORES.items(), strict=True):
        for name in drawn:
            cost = kept["costs"][name][core]
            at = (cost["millions"], kept["figures"][label][name])
            panel.plot(*at, "o" if name.startswith("edgeface") else "s", color=colors[name], markersize=9)
            offset, across, up = places[name]
            text = f"{name}\n{cost['runtime']} {cost['precision']}"
            panel.annotate(text, at, offset, textcoords="offset points", ha=across, va=up, fontsize=8)
        panel.set(title=title, xlabel="million instructions a frame", xlim=(0, 140))
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    values = [kept["figures"][label][name] for name in drawn]
    panels[0].set(ylabel="AP at 320×320, faces ≥ 32 px", ylim=(min(values) - 0.05, max(values) + 0.07))
    figure.savefig(CHART, dpi=110, metadata={"Software": None})


def main() -> None:
    """Rewrite the tables and the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", help="what `python -m quantize compare` printed")
    parser.add_argument("--command", help="the command that printed it")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    instructions = json.loads(INSTRUCTIONS.read_text(encoding="utf-8"))
    if options.table:
        if not options.command:
            parser.error("--command must be given with a table, but is missing: paste the command that printed it")
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        for label, values in measured(options.table.read_text(encoding="utf-8")).items():
            kept["figures"].setdefault(label, {}).update(values)
        kept["commands"] = sorted({*kept["commands"], options.command})
        kept["costs"] = counted(instructions)
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    readme = options.readme.read_text(encoding="utf-8")
    readme = between(readme, "<!-- bullets: begin -->", "<!-- bullets: end -->", bullets(kept))
    options.readme.write_text(between(readme, BEGIN, END, f"\n{table(kept)}\n"), encoding="utf-8")
    page = ZOO.read_text(encoding="utf-8")
    for part, text in zip(("networks", "files", "runtimes"), zoo(kept, instructions), strict=True):
        page = between(page, f"<!-- zoo: {part} -->", "<!-- zoo: end -->", f"\n{text}\n")
    ZOO.write_text(page, encoding="utf-8")
    draw(kept)


if __name__ == "__main__":
    main()
