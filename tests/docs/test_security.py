"""docs/security.md names every threat that a test says it shows, and a test for every threat."""

from __future__ import annotations

import re

from tests.support.threats import ROOT, threats

MARK = re.compile(r'mark\.threat\(\s*"([^"]*)"')


def _marked() -> set[str]:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "mininet_tests").rglob("*.py")]
    return {name for file in files for name in MARK.findall(file.read_text(encoding="utf-8"))}


def test_every_mark_names_a_threat() -> None:
    assert _marked() <= set(threats())


def test_threats_are_named_once() -> None:
    assert len(set(threats())) == len(threats()) == 21
