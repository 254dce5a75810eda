"""Many files: whatever is wrong with one of them, the others are done, and the exit status says so."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import tiny

import edgeface
from edgeface.cli._console import printable
from edgeface.cli.app import main
from edgeface.images import decode_image, find_images, write_image

PICTURE = tiny.red_squares((64, 64), [(16, 40)])
NOBODY = 65534


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm")


@pytest.fixture
def detect(bundle: Path, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["detect", "--model", str(bundle), "--runtime", "onnxruntime", *map(str, arguments)])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users may enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


ODD = [
    "a[/b].jpg",
    "[bold]b[/bold].jpg",
    "[link=x]c.jpg",
    ":smile:.jpg",
    "line\nbreak.jpg",
    "\x1b[2J.jpg",
    "d\udcff.jpg",
]


@pytest.mark.parametrize("name", ODD)
def test_names_are_neither_markup_nor_commands_of_the_terminal(name: str, detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "pictures"
    path = folder / name
    path.parent.mkdir(parents=True)
    write_image(path, PICTURE)
    status, out, err = detect(folder, "--save", tmp_path / "out")
    assert (status, err) == (0, "")
    shown = printable(str(path))
    assert f"{shown} (64x64): 1 face" in out
    assert "\x1b" not in out
    status, out, err = detect(folder, "--format", "jsonl")
    assert json.loads(out)["file"] == str(path)
    path.write_bytes(b"")
    status, out, err = detect(folder)
    assert (status, out) == (1, "")
    assert err == f"error: image must not be empty, but got {shown} of 0 bytes\n"


@pytest.mark.parametrize("where", ["reading", "drawing", "detecting"])
def test_a_picture_that_does_not_fit_into_memory_does_not_stop_the_others(  # type: ignore[no-untyped-def]
    where: str, detect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / "in" / name, PICTURE)
    calls = 0

    def once(function):  # type: ignore[no-untyped-def]
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise MemoryError
            return function(*arguments, **options)

        return call

    import edgeface.batch
    import edgeface.draw
    from edgeface.engine import FaceEngine

    if where == "reading":
        monkeypatch.setattr(edgeface.batch, "read_image", once(edgeface.batch.read_image))
    elif where == "drawing":
        monkeypatch.setattr(edgeface.draw, "draw_faces", once(edgeface.draw.draw_faces))
    else:
        monkeypatch.setattr(FaceEngine, "detect", once(FaceEngine.detect))
    status, out, err = detect(tmp_path / "in", "--save", tmp_path / "out", "--format", "jsonl")
    assert status == 1
    assert out.count("\n") == 3
    assert err.count("\n") == 1
    assert "must fit into memory" in err
    assert "b.png" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.jpg", "c.jpg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_folders_that_cannot_be_read_are_named(  # type: ignore[no-untyped-def]
    bundle: Path, detect, open_folder: Path
) -> None:
    model = shutil.copy(bundle, open_folder / "tiny.efm")
    for name in ("closed", "open"):
        (open_folder / name).mkdir()
        write_image(open_folder / name / "a.png", PICTURE)
    closed = open_folder / "closed"
    closed.chmod(0o700)
    os.seteuid(NOBODY)
    try:
        if not os.access(edgeface.__file__, os.R_OK, effective_ids=True):
            pytest.skip("edgeface is installed where only this user may read")
        assert list(find_images([open_folder])) == [closed, open_folder / "open" / "a.png"]
        for argument in (closed, closed / "a.png", closed / "sub"):
            status, out, err = detect(argument, "--model", model)
            assert (status, out) == (1, "")
            assert "Permission denied" in err
            assert err.count("\n") == 1
    finally:
        os.seteuid(0)


def test_a_link_that_leads_nowhere_and_a_pipe_in_a_folder_are_named(detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_image(tmp_path / "a.png", PICTURE)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    status, out, err = detect(tmp_path, "--format", "jsonl")
    assert status == 1
    assert [("error" in json.loads(line)) for line in out.splitlines()] == [False, True, True]
    assert "No such file" in err
    assert "named pipe" in err


@pytest.mark.parametrize("how", ["same folder", "linked folder", "soft link", "hard link", "another input"])
def test_saving_never_replaces_a_picture_that_is_read(how: str, detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    photo = tmp_path / "photo.jpg"
    write_image(photo, PICTURE)
    before = photo.read_bytes()
    folder = tmp_path / "out"
    inputs = [photo]
    if how == "same folder":
        folder = tmp_path
    elif how == "linked folder":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        if how == "soft link":
            (folder / "photo.jpg").symlink_to(photo)
        elif how == "hard link":
            (folder / "photo.jpg").hardlink_to(photo)
        else:  # out/photo.jpg is the output of photo.png
            photo = photo.rename(folder / "photo.jpg")
            write_image(tmp_path / "photo.png", PICTURE)
            inputs = [tmp_path / "photo.png", photo]
    status, out, err = detect(*inputs, "--save", folder)
    assert status == 1
    assert "--save must be a folder where no picture that is read would be replaced" in err
    assert "1 face" in out
    assert photo.read_bytes() == before


def test_grey_of_sixteen_bits_is_rounded_in_strips_as_in_one() -> None:
    import cv2

    deep = np.random.default_rng(1).integers(0, 65536, (1030, 1029), np.uint16)  # more than a strip, and not whole ones
    wanted = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    got = decode_image(cv2.imencode(".png", deep)[1].tobytes())
    for channel in range(3):
        np.testing.assert_array_equal(got[..., channel], wanted)
