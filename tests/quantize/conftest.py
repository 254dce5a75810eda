"""One thread: the networks are small, and two threads that wait for each other on a busy machine take ten times as
long. And drawn photos for tests that need some: ``from synthetic import write_set``.
"""

import contextlib
import sys
from pathlib import Path

import quantize  # noqa: F401 - finds the core of the installed edgeface for tests that import edgeface alone

sys.path.insert(0, str(Path(__file__).parent))

with contextlib.suppress(ImportError):
    import torch

    torch.set_num_threads(1)
