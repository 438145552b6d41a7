"""Machine decisions by address and by port: which one is in force, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from policies.compiler.common.intent_rules import MAX_TIMEOUT
from policies.model import Address, Restriction
from policies.rules.layout import Category, cookie

Subject = TypeVar("Subject")


class HeldAddress(NamedTuple):
    """An address under a decision, for ``timeout`` seconds on the switch itself."""

    action: str
    address: Address
    number: int
    timeout: int

    @property
    def cause(self) -> int:
        """The cookie of the decision's rules."""
        return cookie(Category.DECISION, self.number)


class HeldPort(NamedTuple):
    """A port under a decision with all that is on it; as `HeldAddress`."""

    action: str
    switch: int
    port: int
    number: int
    timeout: int

    @property
    def cause(self) -> int:
        """The cookie of the decision's rules."""
        return cookie(Category.DECISION, self.number)


def held_addresses(restrictions: Iterable[Restriction], now: float) -> Iterator[HeldAddress]:
    """The addresses under decisions that hold at ``now``.

    Where two of one action cover one address, the one that lasts longer applies, so that removing
    the other changes nothing.
    """
    for action, address, each in _longest(restrictions, now, lambda held: held.addresses):
        yield HeldAddress(action, address, each.number, _timeout(each, now))


def held_ports(restrictions: Iterable[Restriction], now: float) -> Iterator[HeldPort]:
    """The ports under decisions that hold at ``now``; of two on one as in `held_addresses`."""
    for action, (switch, port), each in _longest(restrictions, now, lambda held: held.ports):
        yield HeldPort(action, switch, port, each.number, _timeout(each, now))


def _longest(
    restrictions: Iterable[Restriction],
    now: float,
    subjects: Callable[[Restriction], Iterable[Subject]],
) -> Iterator[tuple[str, Subject, Restriction]]:
    longest: dict[tuple[str, Subject], Restriction] = {}
    for each in restrictions:
        if each.expires > now:
            for subject in subjects(each):
                known = longest.get((each.action, subject))
                if known is None or _lasts(each) > _lasts(known):
                    longest[each.action, subject] = each
    for (action, subject), each in longest.items():
        yield action, subject, each


def _timeout(restriction: Restriction, now: float) -> int:
    return max(1, min(MAX_TIMEOUT, round(restriction.expires - now)))


def _lasts(restriction: Restriction) -> tuple[float, int]:
    return restriction.expires, restriction.number
