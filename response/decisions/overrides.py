"""Overrides: hosts on which a person undid a machine decision; further ones are only proposed."""

from __future__ import annotations

from collections.abc import Iterable

from response.decision import MACHINE, Decision


class Overrides:
    """Decisions released or rejected by people whose time has not run out, by address."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._held: dict[str, Decision] = {}
        for decision in decisions:
            self.remember(decision)

    def remember(self, decision: Decision) -> None:
        if decision.by != MACHINE and decision.superseded_by is None:
            self._held.update(dict.fromkeys(decision.addresses, decision))

    def by(self, addresses: Iterable[str], now: float) -> str | None:
        """Who released or rejected it, or None."""
        for address in addresses:
            decision = self._held.get(address)
            if decision is not None and now < decision.expires:
                return decision.by
        return None

    def forget(self, now: float) -> None:
        self._held = {a: d for a, d in self._held.items() if now < d.expires}
