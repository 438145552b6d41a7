"""A line about something that is not where the policy has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.views.tables import listed

SHOWN = 4  # hosts named on a terminal


def placement_line(problem: Mapping[str, Any]) -> str:
    """Of a controller's ``inventory``; on a terminal with the first few hosts only."""
    text, hosts = str(problem["text"]), problem["hosts"]
    shown, left = listed(hosts, SHOWN)
    if not left:
        return text
    return text.replace(", ".join(hosts), f"{', '.join(shown)} and {left} more", 1)
