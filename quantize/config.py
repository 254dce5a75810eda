"""The config of a run: one TOML over its ``base``, if it names one, over `configs/defaults.toml`, with single values
set on the command line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULTS = Path(__file__).parent / "configs" / "defaults.toml"


class ConfigError(ValueError):
    """The config is missing, not TOML, or has a value that no step can use."""


def load_config(path: Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Reads a config.

    Args:
        path: a TOML file. Its key ``base`` may name another one, from its own folder on, of which it gives the
            differences, as in `merged`.
        settings: ``key=value`` with dots in the key and a TOML value, such as ``quantize.qat.steps=100``; text needs no
            quotes.

    Raises:
        ConfigError: see there.

    Examples:
        >>> load_config(Path("quantize/configs/s.toml"), ["export.tflite=false"])["export"]["tflite"]
        False
    """
    config = merged(_read(DEFAULTS), _with_bases(path))
    config.setdefault("name", f"edgeface-{config.get('student', path.stem)}")
    config.setdefault("run", f"runs/{path.stem}")
    apply_settings(config, settings)
    return config


def apply_settings(config: dict[str, Any], settings: Sequence[str]) -> None:
    """Sets single values in place; see `load_config`."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"setting must be key=value, but got {setting}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *parents, last = key.split(".")
        place = config
        for part in parents:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"setting must name a table's key, but got {key}")
        place[last] = value


def _with_bases(path: Path) -> dict[str, Any]:
    """What ``path`` says over what its bases say."""
    config, seen = _read(path), [path.resolve()]
    while "base" in config:
        base = config.pop("base")
        if not isinstance(base, str):
            raise ConfigError(f"base must name a file, but got {base!r}")
        file = (seen[-1].parent / base).resolve()
        if file in seen:
            raise ConfigError(f"base must not come back to {file}, but that of {seen[-1]} does")
        seen.append(file)
        config = merged(_read(file), config)
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"config must be a readable file, but got {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config must be TOML, but got {path}: {error}") from None


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with what ``over`` says; tables within are merged, everything else is replaced.

    Examples:
        >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    both = {k: (base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return base | over | {k: merged(*tables) for k, tables in both.items()}


def batches_of(phase: dict[str, Any]) -> list[tuple[int, int]]:
    """(View size, views) of the batches that take turns in a phase of a config: one kind, or as many as its ``size``
    and ``batch`` name. ConfigError where they name different numbers.
    """
    sizes, views = (v if isinstance(v, list) else [v] for v in (phase["size"], phase["batch"]))
    if not sizes or len(sizes) != len(views):
        raise ConfigError(f"phases.batch must be as many as phases.size, but got {len(views)} and {len(sizes)}")
    return list(zip(sizes, views, strict=True))


def parts_of(phase: dict[str, Any]) -> int:
    """How many batches make a step of a phase of a config, 1 by default. ConfigError for none."""
    parts = int(phase.get("parts", 1))
    if parts < 1:
        raise ConfigError(f"phases.parts must be 1 or more, but got {parts}")
    return parts
