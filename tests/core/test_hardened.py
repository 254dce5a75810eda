"""The extension is built so that a fault in it is hard to make use of."""

import re
import shutil
import subprocess

import pytest

from edgeface import _core


@pytest.fixture(scope="module")
def elf() -> str:
    if shutil.which("readelf") is None:
        pytest.skip("no readelf (binutils)")
    command = ["readelf", "-W", "--dynamic", "--program-headers", "--dyn-syms", _core.__file__]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_symbols_are_bound_at_once_and_read_only_afterwards(elf: str) -> None:
    assert re.search(r"BIND_NOW|FLAGS_1?\).*NOW", elf)
    assert "GNU_RELRO" in elf


def test_the_stack_is_guarded_and_no_code(elf: str) -> None:
    assert re.search(r"GNU_STACK .* RW +0x", elf)
    assert "__stack_chk_fail" in elf
