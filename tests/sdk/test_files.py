"""What is written appears whole or not at all, whatever writes it."""

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgeface.errors import ImageError
from edgeface.files import write_whole, written_whole
from edgeface.images import write_image


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "é")
    assert path.read_bytes() == b"\xc3\xa9"
    path.chmod(0o600)
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_get_the_permissions_of_every_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_whole(tmp_path / "whole", b"")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"good")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "folder" / "target")
    for text in (b"one", b"two"):  # dangling at first
        write_whole(link, text)
        assert link.is_symlink()
        assert (tmp_path / "folder" / "target").read_bytes() == text


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_whole(path, b"long")
    assert path.read_bytes() == b"long"


def test_pipes_and_devices_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(30)
    assert got == [b"through"]
    assert pipe.is_fifo()
    with pytest.raises(OSError, match="No space left"):
        write_whole("/dev/full", b"x")
    program = "from edgeface.files import write_whole; write_whole('/dev/stdout', b'out')"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=True)
    assert done.stdout == b"out"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"")


def test_a_full_disk_destroys_no_picture(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a disk: the kernel refuses in the middle of the write."""
    path = tmp_path / "shot.png"
    write_image(path, np.zeros((8, 8, 3), np.uint8))
    good = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ImageError, match="File too large"):
            write_image(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_in_the_package_writes_in_place() -> None:
    """Everything that users keep goes through `edgeface.files`; what is named here is thrown away afterwards."""
    package = Path(__file__).parents[2] / "edgeface"
    temporary = {"boards/pack.py", "profiling/litert_layers.py", "files.py"}  # in a temporary folder
    temporary |= {f"compiling/{name}.py" for name in ("rockchip", "rockchip_run", "tflm", "vela")}
    writing = ("write_text(", "write_bytes(", 'open("w', 'open("x', 'ZipFile(path, "w"', "imwrite(", ".tofile(")
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in writing)
    }
    assert found <= temporary
