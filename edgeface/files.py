"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_whole", "written_whole"]


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write that replaces `path` only once all of it is on the disk.

    A full disk, a loss of power or an exception leaves whatever was at `path` before. A link is followed, as writing in
    place would; devices and pipes (``/dev/stdout``) are written to directly, since they cannot be replaced.

    Args:
        path: of the file; its folder must exist. A file that is replaced hands on its permissions.

    Yields:
        The binary file to write to.

    Raises:
        OSError: it cannot be written there.

    Examples:
        >>> with written_whole("report.json") as file:                      # doctest: +SKIP
        ...     file.write(b"{}")
    """
    try:
        before = Path(path).stat()
    except FileNotFoundError:
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with Path(path).open("wb") as file:
            yield file
        return
    # not the name plus a suffix, which may be too long
    target = Path(os.path.realpath(path))
    part = target.with_name(f".edgeface-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            part.chmod(stat.S_IMODE(before.st_mode))
        part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def write_whole(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write a file that replaces `path` only once all of it is on the disk (see `written_whole`).

    Args:
        path: of the file; its folder must exist.
        data: its contents; text is written as UTF-8.

    Raises:
        OSError: it cannot be written there.
    """
    with written_whole(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
