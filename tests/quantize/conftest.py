"""One thread: the networks are small, and two threads that wait for each other on a busy machine take ten times as
long.
"""

import contextlib

with contextlib.suppress(ImportError):
    import torch

    torch.set_num_threads(1)
