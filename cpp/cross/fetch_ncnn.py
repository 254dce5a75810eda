#!/usr/bin/env python3
"""Fetches ncnn's sources for build_ncnn.sh: the release that edgeface is tested with, from the index that pip uses.

    python3 cpp/cross/fetch_ncnn.py FOLDER

`pip download` cannot: the archive names its version by the day on which it is unpacked.
"""

import hashlib
import json
import os
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

from pip._internal.models.index import PyPI

FILE = "ncnn-1.0.20261020.tar.gz"
SHA256 = "ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200"


def get(address: str, accept: str = "*/*") -> bytes:
    """What the index answers."""
    request = urllib.request.Request(address, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def main() -> None:
    """Fetch, compare the sum, unpack."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    if folder.exists():
        sys.exit(f"FOLDER must not be there yet, but got {folder}")
    index = os.environ.get("PIP_INDEX_URL") or PyPI.simple_url
    listed = json.loads(get(f"{index.rstrip('/')}/ncnn/", "application/vnd.pypi.simple.v1+json"))
    archive = get(next(file["url"] for file in listed["files"] if file["filename"] == FILE))
    digest = hashlib.sha256(archive).hexdigest()
    if digest != SHA256:
        sys.exit(f"{FILE} must have the sha256 {SHA256}, but got {digest}")
    with tempfile.TemporaryDirectory(dir=folder.parent) as near:
        path = Path(near, FILE)
        path.write_bytes(archive)
        with tarfile.open(path) as packed:
            if hasattr(tarfile, "data_filter"):  # 3.12 and 3.13 warn without one, Debian 12 has none
                packed.extraction_filter = tarfile.data_filter
            packed.extractall(near)
        Path(near, FILE.removesuffix(".tar.gz")).rename(folder)


if __name__ == "__main__":
    main()
