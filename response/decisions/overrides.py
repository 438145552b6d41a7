"""Overrides: hosts on which a person undid a machine decision; further ones are only proposed."""

from __future__ import annotations

from collections.abc import Iterable

from response.decision import MACHINE, Decision, Port


class Overrides:
    """Decisions released or rejected by people whose time has not run out, by address
    and port."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._held: dict[str | Port, Decision] = {}
        for decision in decisions:
            self.remember(decision)

    def remember(self, decision: Decision) -> None:
        if decision.by != MACHINE and decision.superseded_by is None:
            self._held.update(dict.fromkeys(decision.subjects, decision))

    def by(self, subjects: Iterable[str | Port], now: float) -> str | None:
        """Who released or rejected a decision on one of these, or None."""
        for subject in subjects:
            decision = self._held.get(subject)
            if decision is not None and now < decision.expires:
                return decision.by
        return None

    def forget(self, now: float) -> None:
        self._held = {a: d for a, d in self._held.items() if now < d.expires}
