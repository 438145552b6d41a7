"""Answers to people's requests to change a decision."""

from __future__ import annotations

from dataclasses import dataclass

from response.decision import Decision
from response.ipc.messages import Command


@dataclass(frozen=True, slots=True)
class Done:
    """``ok``: whether it was done; ``text``: one line; ``commands``: for the controller."""

    ok: bool
    text: str
    commands: tuple[Command, ...] = ()


def cannot(decision_id: str, decision: Decision | None, verb: str, wanted: str) -> Done:
    """The answer when a decision is not in the state that ``verb`` needs."""
    if decision is None:
        return Done(False, f"{decision_id}: no such decision")
    if decision.state == wanted:
        return Done(True, f"{decision_id}: is {wanted} already")
    return Done(False, f"{decision_id}: is {decision.state}; cannot {verb} it")
