"""Waiting in live tests for what takes an unknown while."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Whether it came to be so in that time; looked at five times a second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(0.2)
    return False
