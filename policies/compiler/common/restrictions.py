"""Machine decisions by address: which one is in force, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from policies.compiler.common.intent_rules import MAX_TIMEOUT
from policies.model import Address, Restriction
from policies.rules.layout import Category, cookie


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


def held_addresses(restrictions: Iterable[Restriction], now: float) -> Iterator[HeldAddress]:
    """The addresses under decisions that hold at ``now``.

    Where two of one action cover one address, the one that lasts longer applies, so that removing
    the other changes nothing.
    """
    longest: dict[tuple[str, Address], Restriction] = {}
    for each in restrictions:
        if each.expires > now:
            for address in each.addresses:
                known = longest.get((each.action, address))
                if known is None or _lasts(each) > _lasts(known):
                    longest[each.action, address] = each
    for (action, address), each in longest.items():
        timeout = max(1, min(MAX_TIMEOUT, round(each.expires - now)))
        yield HeldAddress(action, address, each.number, timeout)


def _lasts(restriction: Restriction) -> tuple[float, int]:
    return restriction.expires, restriction.number
