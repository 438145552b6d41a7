"""What could not be stored, by the controller and by the analysis, and which checkpoints were sent
elsewhere, in lines."""

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


def checkpoint_lines(sent: dict[str, dict[str, Any]]) -> list[str]:
    """Where checkpoints were sent since the analysis started."""
    return [
        f"{target}: {each['sent']} sent, {each['failed']} failed"
        + (f" (the last: {each['problem']})" if each["problem"] else "")
        for target, each in sent.items()
    ]
