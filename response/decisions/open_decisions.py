"""Decisions found by address and port: those that are open (active or proposed), and overrides:
hosts on which a person undid one, so that further ones are only proposed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from response.decision import MACHINE, Decision, DecisionState, Port

Subject = TypeVar("Subject", str, Port)

OPEN_STATES: tuple[DecisionState, ...] = ("active", "proposed")


class OpenDecisions:
    """``active`` and ``proposed`` are the decisions in each state by id, oldest first."""

    def __init__(self) -> None:
        self.active: dict[str, Decision] = {}
        self.proposed: dict[str, Decision] = {}
        self._active_on: dict[str | Port, Decision] = {}
        self._proposed_on: dict[str | Port, Decision] = {}

    def __iter__(self) -> Iterator[Decision]:
        yield from self.active.values()
        yield from self.proposed.values()

    def update(self, decision: Decision) -> None:
        """Replace what is known of a decision; one that has ended is dropped."""
        for state, by_id, by_subject in (
            ("active", self.active, self._active_on),
            ("proposed", self.proposed, self._proposed_on),
        ):
            known = by_id.pop(decision.id, None)
            for subject in () if known is None else known.subjects:
                if subject in by_subject and by_subject[subject].id == decision.id:
                    del by_subject[subject]
            if decision.state == state:
                by_id[decision.id] = decision
                by_subject.update(dict.fromkeys(decision.subjects, decision))

    def on(self, subjects: Iterable[str | Port]) -> Decision | None:
        """The active, else the proposed decision on one of these addresses and ports."""
        listed = tuple(subjects)
        return _first(self._active_on, listed) or _first(self._proposed_on, listed)

    def proposed_on(self, subjects: Iterable[str | Port]) -> Decision | None:
        """The proposal on one of these addresses and ports."""
        return _first(self._proposed_on, subjects)

    def free(self, subjects: Iterable[Subject], decision: Decision) -> tuple[Subject, ...]:
        """Those addresses or ports that no other active decision is on, except one that
        ``decision`` supersedes.

        Each is under one active decision at a time.
        """
        own = (None, decision.id, decision.supersedes)
        return tuple(s for s in subjects if getattr(self._active_on.get(s), "id", None) in own)


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


def _first(
    by_subject: dict[str | Port, Decision], subjects: Iterable[str | Port]
) -> Decision | None:
    return next((by_subject[each] for each in subjects if each in by_subject), None)
