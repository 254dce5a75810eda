"""Checks documents against the JSON schemas that ship with the package."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from edgeface.errors import InvalidInputError

__all__ = ["check", "read_schema"]


def read_schema(path: Path) -> dict[str, Any]:
    """The schema as a dict."""
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@cache
def _validator(path: Path) -> Callable[[Any], Any]:
    import fastjsonschema

    compiled: Callable[[Any], Any] = fastjsonschema.compile(read_schema(path), use_default=False)
    return compiled


def check(document: object, schema: Path, what: str) -> None:
    """Raise `InvalidInputError`, which says where *what* departs from *schema*, unless it fits.

    Examples:
        >>> from edgeface.boards.board import SCHEMA_PATH
        >>> check({"schema": 2}, SCHEMA_PATH, "x.toml")
        Traceback (most recent call last):
        edgeface.errors.InvalidInputError: x.toml must fit board.schema.json, but got: data must contain ...
    """
    import fastjsonschema

    try:
        _validator(schema)(document)
    except fastjsonschema.JsonSchemaException as error:
        raise InvalidInputError(f"{what} must fit {schema.name}, but got: {error}") from None
