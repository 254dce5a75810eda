"""Read files that others chose, with an end: no FIFO that never opens, no device that never ends, no endless file."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

from edgeface.errors import must_be

__all__ = ["check_output", "open_regular", "read_bounded"]

_CHUNK: Final = 1 << 20
_PIPE: Final = re.compile(r"/dev/stdin|/dev/fd/(\d{1,9})|/proc/self/fd/(\d{1,9})")
_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a regular file, or a pipe that this process was started with (``/dev/stdin``, ``/dev/fd/3``), to its end.

    Args:
        path: of the file.
        limit: most bytes to take.

    Returns:
        All of its bytes.

    Raises:
        OSError: it is not there, cannot be read, is a named pipe, a device or a socket, or is longer than `limit`
            (``errno.EFBIG``). `OSError.strerror` always says why.
    """
    name = os.fspath(path)
    try:
        pipe = _PIPE.fullmatch(name)
        if pipe is not None:
            with os.fdopen(os.dup(int(pipe[1] or pipe[2] or 0)), "rb") as file:
                return _read(file, limit, pipes=True)
        with open_regular(name) as file:
            return _read(file, limit, pipes=False)
    except ValueError as error:  # NUL in the name
        raise OSError(errno.EINVAL, str(error)) from None


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: it is not there, cannot be read, or is something else: a folder, a named pipe, a device, a socket.
    """
    name = os.fspath(path)
    # before it is opened: opening a named pipe waits, and opening a device may do something
    status = Path(name).stat()
    if stat.S_ISDIR(status.st_mode):
        os.scandir(name).close()  # a folder that cannot be listed says so
    _check_kind(status, pipes=False)
    file = open(name, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes
    try:
        _check_kind(os.fstat(file.fileno()), pipes=False)
    except OSError:
        file.close()
        raise
    return file


def check_output(option: str, out: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse to write over what is read, whatever the names and links that lead there.

    Args:
        option: name of what says where to write, for the message.
        out: the file to write.
        inputs: the files that are read; those that do not exist are passed over.

    Raises:
        InvalidInputError: `out` is one of them.

    Examples:
        >>> check_output("out", "b.json", ["a.json"])
    """
    for path in inputs:
        try:
            same = Path(out).samefile(path)
        except (OSError, ValueError):
            continue
        if same:
            raise must_be(option, "another file than those that are read", os.fspath(out))


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)  # a named pipe may have taken its place


def _check_kind(status: os.stat_result, *, pipes: bool) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind != stat.S_IFREG and not (pipes and kind in (stat.S_IFIFO, stat.S_IFSOCK)):
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file")


def _read(file: BinaryIO, limit: int, *, pipes: bool) -> bytes:
    status = os.fstat(file.fileno())
    _check_kind(status, pipes=pipes)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    parts = []
    left = limit + 1
    step = min(size + 1, left) if size else _CHUNK  # one piece for most files; those of /proc are of 0 bytes
    while left > 0 and (part := file.read(min(step, left))):
        parts.append(part)
        left -= len(part)
        step = _CHUNK
    if left <= 0:
        raise OSError(errno.EFBIG, f"it is longer than {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)
