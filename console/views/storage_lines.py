"""What could not be stored, by the controller and by the analysis, in lines."""

from __future__ import annotations

from typing import Any


def storage_lines(status: dict[str, Any]) -> list[str]:
    """None where everything is stored and was."""
    lines = []
    ours = status.get("storage", {})
    if ours.get("problem"):
        waiting = ", ".join(ours["waiting"]) or "nothing yet"
        lines.append(f"controller: {ours['problem']}; waiting: {waiting}")
    analysis = (status["analysis"] or {}).get("storage", {})
    lost = ", ".join(f"{count} {what}" for what, count in analysis.get("not_stored", {}).items())
    if analysis.get("problem"):
        line = f"analysis: {analysis['problem']}; it detects in memory and decides nothing"
        lines.append(line + (f"; not stored: {lost}" if lost else ""))
    elif lost:
        lines.append(f"analysis: not stored while there was no room: {lost}")
    return lines
