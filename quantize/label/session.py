"""onnxruntime sessions for teachers: one thread, no spinning."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort


def open_session(network: Path | bytes, threads: int = 1) -> ort.InferenceSession:
    """Of a file or of its content. Raises FileNotFoundError where there is no such file."""
    if isinstance(network, Path) and not network.is_file():
        raise FileNotFoundError(f"teacher must be a file, but got {network}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
