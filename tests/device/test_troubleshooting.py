"""What people complain about is on the page, and the messages that it quotes are those that the package gives."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
#: A word of the section's title for each complaint.
COMPLAINTS = [
    "wheel for my board",
    "numpy 2",
    "int8 is slower",
    "int8 finds nothing",
    "100 %",
    "fast in the benchmark",
    "Memory grows",
    "seconds old",
    "off by a pixel",
    "camera is rotated",
    "colour order",
    "NV12",
    "input size",
    "use the weights",
    "another sign",
    "More threads",
    "NPU",
    "first result takes seconds",
]


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_each_complaint_has_a_section(complaint: str) -> None:
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
    found = [text for title, text in sections.items() if complaint in title]
    assert len(found) == 1
    assert len(found[0].split()) > 8


def test_quoted_messages_are_the_package_s() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "edgeface").rglob("*.py"))
    quoted = re.findall(r"`([^`\n]*must [^`\n]+)`", PAGE)
    assert len(quoted) >= 4
    for text in quoted:
        said = text.partition(", but got")[0]
        # written out, or made by `must_be`, which takes the words before and after
        assert said in source or said.partition(" must be ")[2] in source, text
