"""Fixtures that tests of several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.street import Street


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)
