"""The decisions that are open (active or proposed), found by id and by address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from response.decision import Decision, DecisionState

OPEN_STATES: tuple[DecisionState, ...] = ("active", "proposed")


class OpenDecisions:
    """``active`` and ``proposed`` are the decisions in each state by id, oldest first."""

    def __init__(self) -> None:
        self.active: dict[str, Decision] = {}
        self.proposed: dict[str, Decision] = {}
        self._active_on: dict[str, Decision] = {}
        self._proposed_on: dict[str, Decision] = {}

    def __iter__(self) -> Iterator[Decision]:
        yield from self.active.values()
        yield from self.proposed.values()

    def update(self, decision: Decision) -> None:
        """Replace what is known of a decision; one that has ended is dropped."""
        for state, by_id, by_address in (
            ("active", self.active, self._active_on),
            ("proposed", self.proposed, self._proposed_on),
        ):
            known = by_id.pop(decision.id, None)
            for address in () if known is None else known.addresses:
                if address in by_address and by_address[address].id == decision.id:
                    del by_address[address]
            if decision.state == state:
                by_id[decision.id] = decision
                by_address.update(dict.fromkeys(decision.addresses, decision))

    def on(self, addresses: Iterable[str]) -> Decision | None:
        """The active, else the proposed decision that covers one of these addresses."""
        listed = tuple(addresses)
        return _first(self._active_on, listed) or _first(self._proposed_on, listed)

    def proposed_on(self, addresses: Iterable[str]) -> Decision | None:
        """The proposal that covers one of these addresses."""
        return _first(self._proposed_on, addresses)

    def free_addresses(self, addresses: Iterable[str], decision: Decision) -> tuple[str, ...]:
        """Those that no other active decision covers, except one that ``decision`` supersedes.

        An address is under one active decision at a time.
        """
        own = (None, decision.id, decision.supersedes)
        return tuple(a for a in addresses if getattr(self._active_on.get(a), "id", None) in own)


def _first(by_address: dict[str, Decision], addresses: Iterable[str]) -> Decision | None:
    return next((by_address[each] for each in addresses if each in by_address), None)
