"""Helpers that several test folders share; on the path by ``pythonpath`` in pyproject.toml."""
