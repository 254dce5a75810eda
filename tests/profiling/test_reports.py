"""From configurations to JSON, HTML and comparisons, on the tiny network."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import pytest
from support import points_bundle
from support.tiny import red_squares, write_bundle

from edgeface.boards import Host
from edgeface.boards.schemas import read_schema
from edgeface.cli.app import main
from edgeface.cli.bench import print_report
from edgeface.errors import InvalidInputError
from edgeface.profiling.compare import Column, Group, Row, columns_of, compare_groups, groups_of
from edgeface.profiling.html import render_compare, render_report
from edgeface.profiling.layers import Layer
from edgeface.profiling.litert_layers import medians
from edgeface.profiling.report import SCHEMA_PATH, read_report, write_report
from edgeface.profiling.session import bench, cpu_sets
from edgeface.profiling.subjects import Config, combinations, frame_feed, parse_threads, prepare

Report = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", tflite_sizes=((64, 64),))


@pytest.fixture(scope="module")
def report(bundle: Path) -> Report:
    configs = combinations(Config(str(bundle)), runtimes=["onnxruntime", "litert", "auto"], threads=[1, 2])
    feed, frames = frame_feed(None, 64, 48)
    return bench(configs, feed, frames, duration_s=0.05, runs=5, warmup=1, label="here", interval_s=0.02)


def test_the_report_fits_its_published_schema(report: Report) -> None:
    schema = read_schema(SCHEMA_PATH)
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(report, schema)  # by another implementation than the one that the package uses


def test_each_configuration_has_its_own_measurements(report: Report) -> None:
    keys = [subject["key"] for subject in report["subjects"]]
    assert keys == [f"tiny int8 64x64 {runtime} t{n}" for runtime in ("onnxruntime", "litert") for n in (1, 2)]
    for subject in report["subjects"]:
        assert set(subject["summary"]) == {"grab", "preprocess", "infer", "decode", "total"}
        counted = sum(len(run["stages_ms"]["total"]) for run in subject["runs"])
        assert subject["summary"]["total"]["n"] == counted
        for run in subject["runs"]:
            assert {len(times) for times in run["stages_ms"].values()} == {len(run["stages_ms"]["total"])}
            parts = [sum(run["stages_ms"][s]) for s in ("grab", "preprocess", "infer", "decode")]
            assert sum(parts) <= sum(run["stages_ms"]["total"]) + counted * 0.0003  # rounding to 0.1 µs
    hashes = {s["key"].split(" ")[3]: s["info"]["sha256"] for s in report["subjects"]}
    assert hashes["onnxruntime"] != hashes["litert"]


def test_what_does_not_exist_here_is_skipped_with_a_reason(report: Report, bundle: Path) -> None:
    reasons = [item["reason"] for item in report["skipped"]]
    assert reasons == [f"the same as tiny int8 64x64 litert t{n}" for n in (1, 2)]
    feed, _ = frame_feed(None, 64, 48)
    subjects, skipped = prepare([Config(str(bundle), precision="float32"), Config("no such model")], feed)
    assert subjects == []
    assert "float32" in skipped[0][1]
    assert "no such model" in skipped[1][1]
    with pytest.raises(InvalidInputError, match=r"one that exists here, but got: .*no such model"):
        bench([Config("no such model")], feed, "")


def test_a_frame_without_faces_is_warned_of(report: Report) -> None:
    assert any("No face was found" in warning for warning in report["warnings"])


def test_a_report_survives_its_file(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "a.json")
    assert read_report(tmp_path / "a.json") == report


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.update(schema=3), "schema of .* must be at most 2, but got 3: update edgeface"),
        (lambda r: r.pop("host"), "must fit report.schema.json, but got: data must contain"),
        (lambda r: r["subjects"][0]["info"].update(sha256="no"), "sha256 must match pattern"),
        (lambda r: r["subjects"].clear(), "subjects must contain at least 1 items"),
        (lambda r: r["subjects"][0]["runs"][0]["stages_ms"]["total"].append("x"), "must be number"),
    ],
)
def test_damaged_reports_are_refused(damage: Any, message: str, report: Report, tmp_path: Path) -> None:
    broken = copy.deepcopy(report)
    damage(broken)
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(broken))
    with pytest.raises(InvalidInputError, match=message):
        read_report(file)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_report_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(InvalidInputError, match="must"):
        read_report(tmp_path / "x.json")


@pytest.mark.parametrize("place", ["none/x.json", "folder", "file/x.json"])
def test_where_no_report_can_be_is_said_before_the_measuring(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr("edgeface.profiling.subjects.frame_feed", lambda source: pytest.fail("measured"))
    for verb in ("bench", "profile"):
        assert main([verb, "--out", str(tmp_path / place)]) == 1
        assert "error: --out must be a file that can be written, but got" in capsys.readouterr().err


class Links(HTMLParser):
    """Collects everything that would make a browser ask for another file, and checks that tags are closed."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [f"{tag} {k}={v}" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        self.links += [tag] if tag in ("script", "link", "iframe") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked_page(page: str) -> str:
    links = Links()
    links.feed(page)
    assert links.links == []
    assert links.open == []
    assert not re.search(r"url\(|@import|https?://", page)
    return page


def test_the_page_needs_nothing_beside_it(report: Report) -> None:
    page = checked_page(render_report(report))
    assert page.count("<svg") >= 2
    for subject in report["subjects"]:
        assert subject["key"] in page
    assert len(page) < 500_000


def test_names_cannot_break_the_page(report: Report) -> None:
    evil = copy.deepcopy(report)
    evil["label"] = "</title><script>alert(1)</script>"
    evil["subjects"][0]["key"] = "<script>alert(2)</script>"
    evil["subjects"][0]["layers"] = [{"name": "<b>&", "operator": '"', "time_ms": 5.0}]
    evil["timeline"]["channels"].append(
        {"name": "<i>", "unit": "<u>", "values": [1.0] * len(evil["timeline"]["seconds"])}
    )
    page = checked_page(render_report(evil))
    assert "<script" not in page
    assert "&lt;script&gt;alert(2)" in page


def slower(report: Report, factor: float) -> Report:
    """The same report from a machine on which everything takes *factor* as long."""
    other = copy.deepcopy(report)
    for subject in other["subjects"]:
        for run in subject["runs"]:
            run["stages_ms"] = {s: [t * factor for t in times] for s, times in run["stages_ms"].items()}
        for summary in subject["summary"].values():
            for key in ("mean_ms", "median_ms", "min_ms", "max_ms"):
                summary[key] *= factor
    return other


def only(report: Report, index: int) -> Report:
    return {**report, "subjects": [report["subjects"][index]]}


def compared(columns: list[Column], *, allow_different: bool = False) -> list[Row]:
    return compare_groups([Group("", tuple(columns))], allow_different=allow_different)[0]


def test_compare_finds_what_was_put_in(report: Report) -> None:
    columns = columns_of([("a", only(report, 0)), ("b", only(slower(report, 10), 0))])
    assert [column.title for column in columns] == ["here (1)", "here (2)"]
    rows = {row.stage: row for row in compared(columns)}
    ratio = rows["infer"].ratios[0]
    assert ratio is not None
    assert ratio.ratio == pytest.approx(10, rel=0.01)
    assert list(rows)[-1] == "total"
    for row in rows.values():  # what is shown gives the ratio that is shown
        if row.ratios[0] is not None:
            assert row.typical[0] and row.typical[1]
            assert row.ratios[0].ratio == pytest.approx(row.typical[1] / row.typical[0])


def test_a_report_does_not_differ_from_itself(report: Report) -> None:
    rows = compared(columns_of([("a", only(report, 0)), ("a", only(report, 0))]))
    assert all(ratio is None or (ratio.ratio == 1 and not ratio.significant) for row in rows for ratio in row.ratios)


def test_different_networks_are_refused_unless_told(report: Report) -> None:
    columns = columns_of([("a", only(report, 0)), ("b", only(report, 2))])
    with pytest.raises(InvalidInputError, match=r"networks must be the same .*\(--allow-different"):
        compared(columns)
    assert len(compared(columns, allow_different=True)) == 5
    resized = copy.deepcopy(report)
    resized["subjects"][0]["info"]["size"] = [128, 96]
    columns = columns_of([("a", only(report, 0)), ("b", only(resized, 0))])
    with pytest.raises(InvalidInputError, match=r"input sizes must be the same .* got \[64, 64\] and \[128, 96\]"):
        compared(columns)
    with pytest.raises(InvalidInputError, match="at least two subjects"):
        compared(columns[:1])


def test_a_stage_that_one_side_lacks_has_no_ratio(report: Report) -> None:
    tracked = copy.deepcopy(report)
    subject = tracked["subjects"][0]
    subject["summary"]["track"] = subject["summary"]["infer"]
    for run in subject["runs"]:
        run["stages_ms"]["track"] = run["stages_ms"]["infer"]
    rows = {row.stage: row for row in compared(columns_of([("a", only(report, 0)), ("b", only(tracked, 0))]))}
    assert rows["track"].ratios == (None,)
    assert rows["track"].typical[0] is None


def test_the_commands(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--model", str(bundle), "--runtime", "onnxruntime", "--duration", "0.05"]
    for name in ("a", "b"):
        out = ["--out", str(tmp_path / f"{name}.json"), "--out", str(tmp_path / f"{name}.html")]
        assert main(["bench", *common, "--runs", "4", "--label", name, *out]) == 0
    assert "frames/s" in capsys.readouterr().out
    page = tmp_path / "c.html"
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--out", str(page)]) == 0
    assert "verdict" in capsys.readouterr().out
    checked_page(page.read_text(encoding="utf-8"))
    checked_page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert main(["compare", str(tmp_path / "a.json")]) == 1
    assert "at least two subjects" in capsys.readouterr().err


def test_the_cost_of_a_described_face(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = points_bundle.write_bundle(tmp_path / "points.efm")
    picture = tmp_path / "two.png"
    cv2.imwrite(str(picture), red_squares((64, 64), [(8, 24), (40, 40)]))
    common = ["--model", str(bundle), "--runtime", "onnxruntime", "--duration", "0.05", "--source", str(picture)]
    out = tmp_path / "p.json"
    asked = [*common, "--points", "--points-model", str(points)]
    assert main(["bench", *asked, "--runs", "4", "--out", str(out)]) == 0
    (subject,) = read_report(out)["subjects"]
    assert subject["faces_per_frame"] == subject["described_per_frame"] == 2
    times = [ms for run in subject["runs"] for ms in run["stages_ms"]["points"]]
    assert min(times) > 0 and subject["key"].endswith(str(points))
    said = re.search(r"points ([\d.]+) ms a described face", capsys.readouterr().out)
    assert said is not None and float(said[1]) == pytest.approx(sum(times) / len(times) / 2, rel=0.05, abs=0.002)
    assert main(["bench", *common, "--runs", "4", "--out", str(out)]) == 0
    (plain,) = read_report(out)["subjects"]
    assert plain["described_per_frame"] == 0 and "points" not in plain["summary"]
    assert "described face" not in capsys.readouterr().out
    assert main(["profile", *asked, "--no-matrix", "--out", str(out)]) == 0
    assert "points" in read_report(out)["subjects"][0]["summary"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_profile_measures_layers_memory_and_affinity(runtime: str, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    page = tmp_path / "p.html"
    arguments = ["profile", "--model", str(bundle), "--runtime", runtime, "--duration", "0.1", "--out", str(out)]
    assert main([*arguments, "--out", str(page)]) == 0
    document = read_report(out)
    (subject,) = document["subjects"]
    assert len(subject["layers"]) >= 3, subject["layers_missing"]  # three convolutions
    assert sum("onv" in layer["operator"] for layer in subject["layers"]) >= 3
    assert document["memory"]["peak_bytes"] >= document["memory"]["before_bytes"] > 0
    assert {cell["threads"] for cell in document["affinity"]} >= {1}
    assert "Layers of" in checked_page(page.read_text(encoding="utf-8"))


def test_layer_times_are_medians_of_runs() -> None:
    runs = [[Layer("a", "conv", us), Layer("a", "conv", 2 * us)] for us in (3.0, 1.0, 900.0)]
    assert medians(runs) == [Layer("a", "conv", 3.0), Layer("a", "conv", 6.0)]
    with pytest.raises(SystemExit, match="different layers"):
        medians([runs[0], runs[0][:1]])


def test_cpu_sets_stay_within_what_is_allowed() -> None:
    import os

    for cpus in cpu_sets(Host()):
        assert set(cpus) <= os.sched_getaffinity(0)


@pytest.mark.parametrize(
    ("text", "numbers"), [("1", [1]), ("1,2,4", [1, 2, 4]), ("1-4", [1, 2, 3, 4]), ("2, 1-2", [1, 2])]
)
def test_thread_lists(text: str, numbers: list[int]) -> None:
    assert parse_threads(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "0", "1-", "-2", "4-1", "1000"])
def test_bad_thread_lists(text: str) -> None:
    with pytest.raises(InvalidInputError, match="threads must be numbers"):
        parse_threads(text)


def test_a_stage_as_short_as_the_clocks_tick_is_not_judged(report: Report) -> None:
    short = copy.deepcopy(report)
    for run in short["subjects"][0]["runs"]:
        run["stages_ms"]["grab"] = [0.0003 for _ in run["stages_ms"]["infer"]]
    rows = {row.stage: row for row in compared(columns_of([("a", only(short, 0)), ("b", only(short, 0))]))}
    assert rows["grab"].ratios == (None,)
    assert rows["infer"].ratios[0] is not None


def test_tables_fit_into_80_columns(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("TERM", "dumb")
    print_report(report)
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line[:1] in "│┃"]
    assert table
    assert max(map(len, table)) <= 80
    assert "median ms" in table[0]
    for name in "abc":
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    assert main(["compare", *(str(tmp_path / f"{name}.json") for name in "abc")]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "│┃"]
    assert max(map(len, table)) <= 80
    assert all(word in table[0] for word in ("stage", "report", "ms", "ratio", "verdict"))


def test_reports_of_several_configurations_are_compared_like_with_like(report: Report, tmp_path: Path) -> None:
    other = slower(report, 10)
    other["label"] = "there"
    other["subjects"] = [other["subjects"][i] for i in (2, 0)]  # in another order, and two are missing
    groups = groups_of([("a", report), ("b", other)])
    assert [(g.key.split(" ", 3)[3], [c.title for c in g.columns]) for g in groups] == [
        ("onnxruntime t1", ["here", "there"]),
        ("litert t1", ["here", "there"]),
    ]
    for rows in compare_groups(groups):
        total = rows[-1].ratios[0]
        assert total is not None
        assert total.ratio == pytest.approx(10, rel=0.01)
    page = checked_page(render_compare(groups, compare_groups(groups), "today"))
    assert all(group.key in page for group in groups)
    with pytest.raises(InvalidInputError, match=r"configurations that the first one and another share, but got .* t1"):
        groups_of(
            [
                ("a", {**report, "subjects": report["subjects"][:2]}),
                ("b", {**report, "subjects": report["subjects"][2:]}),
            ]
        )


def test_the_confidence_is_shared_by_all_groups(report: Report) -> None:
    """The more is compared, the wider each interval."""
    pair = [("a", only(report, 0)), ("b", only(slower(report, 1.01), 0))]
    alone = compared(columns_of(pair))[-1].ratios[0]
    among = compare_groups(groups_of([("a", report), ("b", slower(report, 1.01))]))[0][-1].ratios[0]
    assert alone is not None and alone.low is not None
    assert among is not None and among.low is not None
    assert among.low < alone.low


def test_times_have_their_unit_in_their_keys(report: Report) -> None:
    subject = report["subjects"][0]
    assert {key for key in subject["summary"]["total"] if not key.endswith("_ms")} == {"n"}
    assert {"open_ms", "first_ms"} <= subject.keys()
    total = subject["summary"]["total"]
    elapsed_ms = sum(run["elapsed_s"] for run in subject["runs"]) * 1000
    assert total["mean_ms"] * total["n"] <= elapsed_ms


def in_schema_1(report: Report) -> Report:
    """As edgeface 0.1.0 wrote it: microseconds, without a unit in the keys of most."""
    old = copy.deepcopy(report) | {"schema": 1}
    for subject in old["subjects"]:
        subject["open_us"] = [ms * 1000 for ms in subject.pop("open_ms")]
        subject["first"] = {stage: [ms * 1000 for ms in times] for stage, times in subject.pop("first_ms").items()}
        for stage, summary in subject["summary"].items():
            subject["summary"][stage] = {
                key.removesuffix("_ms"): value * 1000 if key.endswith("_ms") and value is not None else value
                for key, value in summary.items()
            }
        for run in subject["runs"]:
            run["stages"] = {stage: [ms * 1000 for ms in times] for stage, times in run.pop("stages_ms").items()}
        for layer in subject["layers"]:
            layer["microseconds"] = layer.pop("time_ms") * 1000
    for cell in old.get("affinity", []):
        cell["median"], cell["p95"] = cell.pop("median_ms") * 1000, None
        del cell["p95_ms"]
    if "memory" in old:
        old["memory"] = {key.removesuffix("_bytes"): value for key, value in old["memory"].items()}
    return old


def test_reports_of_schema_1_are_read(report: Report, tmp_path: Path) -> None:
    extras = {
        "memory": {"before_bytes": 1.0, "open_bytes": None, "after_bytes": 2.0, "peak_bytes": 3.0},
        "affinity": [{"cpus": [0], "threads": 1, "median_ms": 2.5, "p95_ms": None}],
    }
    new = copy.deepcopy(report) | extras
    new["subjects"][0]["layers"] = [{"name": "a", "operator": "conv", "time_ms": 0.5}]
    file = tmp_path / "old.json"
    file.write_text(json.dumps(in_schema_1(new)))
    read = read_report(file)
    assert read["schema"] == 2
    assert read["memory"] == new["memory"]
    assert read["affinity"] == new["affinity"]
    for got, wanted in zip(read["subjects"], new["subjects"], strict=True):
        assert got["layers"] == wanted["layers"]
        assert got.keys() == wanted.keys()
        assert got["open_ms"] == pytest.approx(wanted["open_ms"])
        assert got["summary"]["infer"] == pytest.approx(wanted["summary"]["infer"])
        assert got["runs"][0]["stages_ms"]["total"] == pytest.approx(wanted["runs"][0]["stages_ms"]["total"])
    file.write_text(json.dumps(in_schema_1(new) | {"subjects": []}))
    with pytest.raises(InvalidInputError, match=r"must fit report-1.schema.json"):
        read_report(file)
