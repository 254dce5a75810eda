"""How much memory a process has in use, and whether that grows. Used by `benchmarks/soak.py`."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Memory(NamedTuple):
    """One look at this process, after a garbage collection.

    Attributes:
        heap: bytes that malloc has given out and not got back, of all arenas and threads (glibc's mallinfo2): frames,
            arrays, OpenCV, the runtime. Exact: what the allocator keeps for later is not in it.
        blocks: objects of Python's own allocator (up to 512 bytes each), which is not malloc.
        rss: resident bytes: all of it, with what both allocators keep for later, in pages.
    """

    heap: int
    blocks: int
    rss: int


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and newer."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def can_look() -> bool:
    """Whether the C library tells what is in use."""
    return hasattr(ctypes.CDLL(None), "mallinfo2")


def look() -> Memory:
    """Memory now."""
    gc.collect()  # empties Python's free lists too
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _MallocInfo
    info = mallinfo2()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Memory(info.uordblks + info.hblkhd, sys.getallocatedblocks(), pages * os.sysconf("SC_PAGE_SIZE"))


class Slope(NamedTuple):
    """A growth for each frame, and half the width of its 95 % confidence interval."""

    value: float
    margin: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} ± {self.margin:.2f}"


def slope(x: np.ndarray, y: np.ndarray) -> Slope:
    """Least squares. Memory of one moment resembles that of the last, so fewer values are independent than there are:
    as many as the residuals' lag-1 autocorrelation leaves (Santer et al., J. Geophys. Res. 2000, eq. 6).
    """
    away = x - x.mean()
    value = float(away @ y / (away @ away))
    rest = y - y.mean() - value * away
    total = float(rest @ rest)
    alike = min(max(float(rest[1:] @ rest[:-1]) / total, 0.0), 0.99) if total > 0 else 0.0
    independent = max(len(x) * (1 - alike) / (1 + alike), 3.0)
    return Slope(value, 2.0 * float(np.sqrt(total / (independent - 2) / (away @ away))))
