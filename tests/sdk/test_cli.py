import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import points_bundle, tiny

import edgeface
from edgeface.cli import app as cli
from edgeface.cli.app import main
from edgeface.gate import PRESETS
from edgeface.images import read_image, write_image
from edgeface.runtimes import NPUS, RUNTIMES, installed


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_image(path, tiny.red_squares((64, 64), [(16, 40), (48, 0)]))
    return path


@pytest.fixture
def detect(bundle: Path, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["detect", "--model", str(bundle), "--runtime", "onnxruntime", *map(str, arguments)])
        return status, *capfd.readouterr()

    return run


def test_jsonl_is_one_documented_object_a_picture(detect, photo: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = detect(photo, "--format", "jsonl")
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    record = json.loads(out)
    assert list(record) == ["file", "width", "height", "model", "sha256", "faces"]
    assert (record["file"], record["width"], record["height"], record["model"]) == (str(photo), 64, 64, "tiny")
    assert len(record["sha256"]) == 64
    assert len(record["faces"]) == 2
    face = record["faces"][0]
    assert list(face) == ["box", "score", "landmarks", "rotation", "yaw", "pitch", "roll", "quality"]
    assert np.shape(face["landmarks"]) == (5, 2)
    assert np.shape(face["rotation"]) == (3, 3)
    assert [face["yaw"], face["pitch"], face["roll"]] == pytest.approx(tiny.ANGLES, abs=0.01)
    assert {tuple(f["box"]) for f in record["faces"]} == {(12, 36, 28, 52), (44, -4, 60, 12)}


def test_the_table_shows_every_face(detect, photo: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = detect(photo)
    assert (status, err) == (0, "")
    assert f"{photo} (64x64): 2 faces" in out
    assert out.count("+20°") == out.count("-10°") == out.count("+5°") == out.count("0.75") == 2
    assert "12 36 28 52" in out
    assert "16,40 24,40 20,44 17,48 23,48" in out


def test_points(detect, photo: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = points_bundle.write_bundle(tmp_path / "points.efm", made=points_bundle.weights(gain=0.0))
    options = ["--points", "--points-model", model, "--points-top", 1]
    status, out, err = detect(photo, *options, "--format", "jsonl", "--save", tmp_path / "out")
    assert (status, err) == (0, "")
    faces = json.loads(out)["faces"]
    assert ["points68" in face for face in faces].count(True) == 1
    assert read_image(tmp_path / "out" / "photo.jpg").shape == (64, 64, 3)
    status, out, err = detect(photo, *options)
    assert (status, err) == (0, "")
    assert all(text in out for text in ("0.90 0.80", "0.10", "glasses"))
    status, out, err = detect(photo, "--points", "--points-model", tmp_path / "none.efm")
    assert status == 1
    assert "must be the path of a bundle" in err


def test_a_bad_picture_does_not_stop_the_others(detect, photo: Path) -> None:  # type: ignore[no-untyped-def]
    bad = photo.parent / "bad.jpg"
    bad.write_bytes(b"nonsense")
    status, out, err = detect(bad, photo.parent / "missing.png", photo, "--format", "jsonl")
    assert status == 1
    records = [json.loads(line) for line in out.splitlines()]
    assert [list(r) for r in records[:2]] == [["file", "error"]] * 2
    assert [r["file"] for r in records] == [str(bad), str(photo.parent / "missing.png"), str(photo)]
    assert len(records[2]["faces"]) == 2
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: image must be of a known format")
    assert lines[1] == f"error: {records[1]['error']}"


def test_folders_and_size_and_score(detect, photo: Path) -> None:  # type: ignore[no-untyped-def]
    write_image(photo.parent / "a.png", tiny.red_squares((64, 64), []))
    status, out, _ = detect(photo.parent, "--format", "jsonl", "--size", "128x128", "--min-score", "0.9")
    assert status == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert [Path(r["file"]).name for r in records] == ["a.png", "photo.png"]
    assert records[0]["faces"] == []


def test_save_writes_annotated_pictures_under_names_of_their_own(detect, photo: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    other = photo.parent / "other" / "photo.png"
    other.parent.mkdir()
    write_image(other, np.zeros((32, 32, 3), np.uint8))
    folder = tmp_path / "new" / "out"
    status, _, _ = detect(photo, other, "--save", folder)
    assert status == 0
    assert sorted(p.name for p in folder.iterdir()) == ["photo-2.jpg", "photo.jpg"]
    drawn = read_image(folder / "photo.jpg").astype(int)
    assert drawn.shape == (64, 64, 3)
    assert np.abs(drawn - read_image(photo)).max() > 100
    assert read_image(folder / "photo-2.jpg").max() < 10


def test_save_into_a_file_is_an_error(detect, photo: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = detect(photo, "--save", photo)
    assert (status, out) == (1, "")
    assert err.startswith("error: --save must be a folder that can be made, but got")


def test_save_with_the_name_of_a_picture_makes_no_such_folder(detect, photo: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = detect(photo, "--save", tmp_path / "out.jpg")
    assert (status, out) == (1, "")
    assert err.startswith("error: --save must be a folder, in which copies")
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "huge"], "error: size must be (width, height) or text such as 320x240, but got 'huge'"),
        (["--size", "33x33"], "error: model tiny must have a network for onnxruntime 33x33"),
        (["--threads", "0"], "error: threads must be an integer from 1 to 256, but got 0"),
        (["--min-score", "7"], "error: min_score must be a number between 0 and 1, but got 7.0"),
        (["--model", "nothere"], "error: model must be the path of a bundle or a bundled name"),
        (
            ["--runtime", "npu"],
            "error: runtime must be one of auto, ncnn, litert, onnxruntime, tflite, rknn, but got 'npu'",
        ),
    ],
)
def test_errors_are_one_line_and_status_1(detect, photo: Path, arguments: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    status, out, err = detect(photo, *arguments)
    assert (status, out) == (1, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_an_empty_folder_is_an_error(detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = detect(tmp_path)
    assert status == 1
    assert "paths must hold pictures, but got none in" in err


def test_wrong_usage_is_status_2(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["detect"], ["detect", "x.jpg", "--format", "xml"], ["nosuchverb"], ["--nosuch"]):
        assert main(arguments) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err


def test_help_lists_the_verbs_and_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capfd.readouterr().out
    for verb in cli._verbs():
        assert verb in out
    assert {"detect", "models"} <= set(cli._verbs())
    assert main(["--version"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"edgeface {edgeface.__version__}"
    assert [line.split()[0] for line in lines[1:]] == list(RUNTIMES)
    for line in lines[1:]:
        name, said = line.split(" ", 1)
        assert re.fullmatch(r"[\d.]+\S*", said) if installed(name) else said.startswith("not installed (pip install ")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("detect --model edgeface-", {"edgeface-n", "edgeface-s"}),
        ("camera --gate ", {"default", *PRESETS}),
        ("boards show rpi", {"rpi3", "rpi4", "rpi5"}),
        ("profile --runtime ", {"auto", *RUNTIMES, *NPUS}),
    ],
)
def test_the_shell_completes_names(words: str, offered: set[str]) -> None:
    line = f"edgeface {words}"
    environment = {**os.environ, "_EDGEFACE_COMPLETE": "complete_bash", "COMP_WORDS": line}
    environment["COMP_CWORD"] = str(line.count(" "))
    command = [sys.executable, "-P", "-c", "from edgeface.cli.app import app; app(prog_name='edgeface')"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert offered <= set(done.stdout.split()), done.stderr
    assert all(word.startswith(words.split(" ")[-1]) for word in done.stdout.split())


@pytest.mark.parametrize("verb", cli._verbs())
def test_every_verb_has_help(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert "Usage: edgeface" in capfd.readouterr().out


def test_models_shows_a_bundle(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(bundle)]) == 0
    out = capfd.readouterr().out
    assert all(word in out for word in ("tiny", "tiny.onnx", "int8", "any x16", "Apache-2.0"))
    assert main(["models", str(bundle), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["name"] == "tiny"


def test_models_refuses_a_damaged_bundle(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.efm"
    path.write_bytes(bundle.read_bytes()[:100])
    assert main(["models", str(path)]) == 1
    assert "error: bundle must be an intact zip, but got" in capfd.readouterr().err


def test_as_a_process(bundle: Path, photo: Path) -> None:
    """Through the real entry point, with a reader of stdout that leaves early."""
    command = [sys.executable, "-P", "-c", "import sys; from edgeface.cli.app import main; sys.exit(main())"]
    arguments = ["detect", "--model", str(bundle), "--format", "jsonl", str(photo)]
    done = subprocess.run(command + arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["width"] == 64
    with subprocess.Popen(command + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 1


@pytest.mark.parametrize("verb", [["models"], ["doctor"], ["camera", "--help"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_terminal_can_show_what_is_printed(verb: list[str], encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-P", "-m", "edgeface", *verb]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    assert done.stdout


def test_signs_in_plain_letters_and_names_that_are_no_text(tmp_path: Path) -> None:
    program = (
        "import sys; from edgeface.cli._console import tolerate_narrow_encodings; tolerate_narrow_encodings(); "
        "print('20° a → b 3×4 \\u4e2d', sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    command = [sys.executable.encode(), b"-P", b"-c", program.encode(), b"\xff.jpg"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.stdout == b"20 a -> b 3x4 ? \xff.jpg\n", done.stderr


@pytest.mark.parametrize("verb", [["--version"], ["--help"], ["models"]])
def test_a_full_disk_behind_stdout_is_one_line(verb: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "edgeface", *verb]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr == "error: standard output must take what is written, but got: No space left on device\n"
    assert done.returncode == 1
