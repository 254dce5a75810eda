"""Files that appear whole or not at all, whenever a run is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` at the end of the block unless that raised.

    Examples:
        >>> with replacing(Path("table.json")) as part:  # doctest: +SKIP
        ...     part.write_text("{}")
    """
    part = path.with_name(f"{path.name}.part")
    yield part
    part.replace(path)
