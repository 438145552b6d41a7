"""Switch port numbers that hosts and cables can be on."""

from __future__ import annotations

LAST_PORT = 0xFEFF
"""Open vSwitch reserves what follows; all of them fit the 16 bits that rules have for a port."""


def is_port(number: int) -> bool:
    """Whether hosts or cables can be on a port of this number."""
    return 1 <= number <= LAST_PORT
