"""The threats of docs/security.md, and a pytest plugin that reports which one a test shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def threats() -> tuple[str, ...]:
    """Names of the sections, in order."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return tuple(line[4:].strip() for line in text.splitlines() if line.startswith("### "))


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("threat"):
            item.user_properties.append(("threat", mark.args[0]))
