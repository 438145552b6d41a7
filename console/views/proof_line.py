"""What is known about the rules in force, in one line."""

from __future__ import annotations

from typing import Any


def proof_line(proof: dict[str, Any], in_force: int, now: float) -> str:
    """``proof`` as a running controller tells it; ``in_force`` is the policy version."""
    if not proof["prover"]:
        return "off: nothing in force is proven"
    if proof["failure"]:
        return f"none: {proof['failure']}"
    proven, waits = proof["proven"], proof["asked_at"]
    if proven is None:
        return "none yet" if waits is None else f"under way for {_seconds(now - waits)}"
    what = f"{_seconds(now - proven['at'])} ago, in {proven['seconds']:.2g} s"
    if proven["version"] != in_force:
        what += f"; version {in_force} is not proven yet"
    elif waits is not None:
        what += "; what has changed since is under way"
    if not proven["holds"]:
        more = len(proven["problems"]) - 1
        first = " ".join(proven["problems"][0].split()) if proven["problems"] else "no reason given"
        return f"NOT PROVEN: {first}" + (f" (and {more} more lines)" if more > 0 else "")
    number = len(proven["switches"])
    switches = f"{number} switch" if number == 1 else f"{number} switches"
    return f"version {proven['version']} on {switches} holds: {what}"


def _seconds(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7_200 else f"{whole // 3_600} h"
