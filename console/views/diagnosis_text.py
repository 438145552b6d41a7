"""A diagnosis for people, cause first, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from console.diagnosis.situation import Diagnosis, Level, Situation
from console.terminal import one_line

LEVELS: tuple[Level, ...] = ("wrong", "unsure", "fine")


def diagnosis_lines(found: Diagnosis) -> Iterator[str]:
    """The answer, its cause, what else was looked at, worst first, and what to do."""
    cause = found.cause
    unsure = any(each.level == "unsure" for each in found.findings)
    if cause is not None:
        yield one_line(f"{found.question}: does not work")
        yield one_line(f"  {cause.text}")
    elif unsure:
        yield one_line(f"{found.question}: nothing is known to be wrong")
    else:
        yield one_line(f"{found.question}: nothing is wrong")
    yield ""
    rest = (each for each in found.findings if each is not cause)
    for each in sorted(rest, key=lambda each: LEVELS.index(each.level)):
        yield one_line(f"  {each.level:<7} {each.about:<10} {each.text}")
    if found.to_do:
        yield ""
        yield "What to do"
        for advice in found.to_do:
            yield one_line(f"  {advice}")


def diagnosis_data(found: Diagnosis, situation: Situation) -> dict[str, Any]:
    """``works`` is false where something is wrong, else null: what is not seen from switches is
    not known."""
    cause = found.cause
    return {
        "question": found.question,
        "works": False if cause is not None else None,
        "cause": None if cause is None else asdict(cause),
        "findings": [asdict(each) for each in found.findings],
        "to_do": list(found.to_do),
        "policy": situation.held.policy.name,
        "policy_version": situation.held.version,
        "controller": situation.switches is not None,
    }
