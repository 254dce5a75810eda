"""Files that are no files: named pipes, devices, endless ones; and outputs that would be inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support import tiny

from edgeface.bundle import Bundle
from edgeface.cli.app import main
from edgeface.errors import BundleError, ImageError, InvalidInputError
from edgeface.images import read_image, write_image
from edgeface.reading import check_output, read_bounded

PICTURE = tiny.red_squares((64, 64), [(16, 40)])
TIMEOUT = 30
LONG = "x" * 300


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_image(path, PICTURE)
    return path


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo.png"
    os.mkfifo(path)
    return path


def test_a_named_pipe_is_refused_and_not_waited_for(fifo: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image must be a readable file, but got .*: it is a named pipe, not a file"):
        read_image(fifo)
    with pytest.raises(BundleError, match=r"bundle must be readable, but got .*: it is a named pipe, not a file"):
        Bundle.open(fifo)
    folder = tiny.pack(tmp_path / "folder", {})
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(BundleError, match=r"bundle must hold manifest.json, but got .*: it is a named pipe"):
        Bundle.open(folder)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
def test_devices_are_refused(device: str, tmp_path: Path) -> None:
    link = tmp_path / "link.efm"
    link.symlink_to(device)
    for path in (device, link):
        with pytest.raises(ImageError, match="it is a device, not a file"):
            read_image(path)
        with pytest.raises(BundleError, match="it is a device, not a file"):
            Bundle.open(path)
        assert main(["models", str(path)]) == 1


def test_reports_that_are_no_files_are_refused(fifo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (str(fifo), "/dev/zero", LONG):
        assert main(["compare", path, path]) == 1
        assert "error: report must be a file that can be read" in capsys.readouterr().err


def test_names_that_are_too_long_are_errors_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    for text in (LONG, LONG + "/a", "a\0b"):
        with pytest.raises(BundleError):
            Bundle.find(text)
        with pytest.raises(BundleError):
            Bundle.open(text)
        with pytest.raises(ImageError):
            read_image(text)
    assert main(["detect", LONG]) == 1
    assert "error: image must be a readable file" in capsys.readouterr().err
    assert main(["detect", "x.jpg", "--model", LONG]) == 1
    assert "error: model must be the path of a bundle" in capsys.readouterr().err


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    assert len(read_bounded(path, 1000)) == 1000
    with pytest.raises(OSError, match="longer than 999 bytes"):
        read_bounded(path, 999)
    assert b"Linux" in read_bounded("/proc/version", 1 << 20)  # says that it is of 0 bytes
    with path.open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(OSError, match="longer than 100000 bytes"):
        read_bounded(path, 100_000)


def test_a_zip_of_very_many_entries_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.efm"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(5000):
            archive.writestr(zipfile.ZipInfo(f"{i}"), b"")
    with pytest.raises(BundleError, match="list of files of at most 131072 bytes"):
        Bundle.open(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = bytes(65535)  # the longest there can be is searched for the list
        for name, data in {"manifest.json": b"{}"}.items():
            archive.writestr(name, data)
    with pytest.raises(BundleError, match=r"manifest\.schema must be there"):
        Bundle.open(path)


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-m", "edgeface", "detect", "--runtime", "onnxruntime", *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_pictures_come_from_pipes_too(name: str, photo: Path, tmp_path: Path) -> None:
    bundle = str(tiny.write_bundle(tmp_path / "tiny.efm"))
    arguments = ("--model", bundle, "--format", "jsonl", name)
    with photo.open("rb") as file:
        runs = run(*arguments, input=photo.read_bytes()), run(*arguments, stdin=file)
    for done in runs:
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["faces"]) == 1
    refused = run(*arguments, stdin=subprocess.DEVNULL)
    assert refused.returncode == 1
    assert b"it is a device, not a file" in refused.stderr


def test_a_pipe_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()

    def pour() -> None:
        try:
            while True:
                os.write(write, bytes(1 << 16))
        except OSError:
            pass

    writer = threading.Thread(target=pour)
    writer.start()
    try:
        with pytest.raises(OSError, match="longer than 1000000 bytes"):
            read_bounded(f"/dev/fd/{read}", 1_000_000)
    finally:
        os.close(read)
        writer.join()
        os.close(write)


def test_an_output_is_compared_through_names_and_links(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "soft").symlink_to(photo)
    (tmp_path / "hard").hardlink_to(photo)
    (tmp_path / "folder").symlink_to(tmp_path)
    for out in (photo, tmp_path / "soft", tmp_path / "hard", tmp_path / "folder" / "photo.png"):
        with pytest.raises(InvalidInputError, match="--out must be another file than those that are read"):
            check_output("--out", out, [tmp_path / "missing", photo])
    check_output("--out", tmp_path / "new", [photo, LONG, "a\0b"])


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    bundle = tiny.write_bundle(tmp_path / "tiny.efm")
    command = ["bench", "--model", str(bundle), "--runtime", "onnxruntime", "--duration", "0.2", "--runs", "2"]
    assert main([*command, "--out", str(path)]) == 0
    return path


def test_no_verb_writes_over_what_it_reads(report: Path, photo: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "tiny.efm"
    link = tmp_path / "link.html"
    link.symlink_to(report)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write_image(pictures / "a.png", PICTURE)
    files = [report, photo, bundle, pictures / "a.png"]
    before = [path.read_bytes() for path in files]
    measure = ["--model", str(bundle), "--source"]
    for command in (
        ["compare", str(report), str(report), "--out", str(report)],
        ["compare", str(report), str(report), "--out", str(link)],
        ["resize", str(bundle), "--size", "64x64", "--out", str(bundle)],
        ["bench", *measure, str(photo), "--out", str(photo)],
        ["bench", *measure, str(pictures), "--out", str(pictures / "a.png")],
        ["bench", *measure, str(photo), "--out", str(bundle)],
        ["profile", *measure, str(photo), "--out", str(photo)],
        ["profile", *measure, str(photo), "--out", str(bundle)],
        ["boards", "pack", "--board", "rpi4", "--wheel", str(photo), "--out", str(photo)],
    ):
        assert main(command) == 1, command
        assert [path.read_bytes() for path in files] == before, command


def test_a_full_disk_leaves_the_last_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, PICTURE)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageError, match="No space left on device"):
        write_image(path, np.zeros((8, 8, 3), np.uint8))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
