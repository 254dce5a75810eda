"""Configs that name a base."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantize.config import ConfigError, load_config


def test_a_config_gives_the_differences_to_its_base(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "first.toml").write_text(
        "seed = 1\nthreads = 3\n[losses]\nscore = 4.0\nbox = 8.0\n[[phases]]\nsteps = 5\n"
    )
    (tmp_path / "old" / "second.toml").write_text('base = "first.toml"\nseed = 2\n[losses]\nbox = 9.0\n')
    (tmp_path / "mine.toml").write_text('base = "old/second.toml"\n[[phases]]\nsteps = 7\n')
    config = load_config(tmp_path / "mine.toml", ["losses.score=3.0"])
    assert (config["seed"], config["threads"], config["phases"]) == (2, 3, [{"steps": 7}])
    assert config["losses"] == {"score": 3.0, "box": 9.0}
    assert (config["name"], config["run"]) == ("edgeface-mine", "runs/mine")
    assert config["quantize"] == load_config(tmp_path / "old" / "first.toml")["quantize"], "the defaults are below all"
    assert "base" not in config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "missing.toml"', "config must be a readable file, but got .*missing.toml"),
        ("base = 3", "base must name a file, but got 3"),
        ('base = "mine.toml"', "base must not come back to .*mine.toml"),
        ('base = "other.toml"', "base must not come back to .*mine.toml, but that of .*other.toml does"),
    ],
)
def test_a_base_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "other.toml").write_text('base = "mine.toml"')
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "mine.toml")
