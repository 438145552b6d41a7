"""The threat model: each section says something, is in the first table, has a test of its own."""

from __future__ import annotations

import re

import pytest

from tests.support.threats import ROOT, threats

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
WORDS = 60  # a section of fewer says nothing


def marked() -> set[str]:
    """Names that tests carry."""
    found = set()
    for folder in ("tests", "mininet_tests"):
        for path in (ROOT / folder).rglob("test_*.py"):
            found |= set(re.findall(r'mark\.threat\(\s*"([a-z-]+)"', path.read_text("utf-8")))
    return found


def section(name: str) -> str:
    return TEXT.partition(f"\n### {name}\n")[2].partition("\n##")[0]


@pytest.mark.parametrize("name", threats())
def test_a_section_says_who_attacks_what_holds_it_off_and_what_is_left(name: str) -> None:
    text = section(name)
    assert len(text.split()) > WORDS
    assert "Not covered" in text and ".py" in text
    assert f"(#{name})" in TEXT.partition("\n## ")[0], "it is not in the table"


def test_every_section_has_a_marked_test_and_every_mark_a_section() -> None:
    assert marked() == set(threats())
