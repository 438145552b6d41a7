"""What threat feeds list, as verdicts ask for it."""

from __future__ import annotations

from collections.abc import Iterable

from policies.model import Address, FeedBlock, Mode
from policies.prefixes import Listed
from policies.regions import number_of


def in_order(blocks: Iterable[FeedBlock]) -> tuple[FeedBlock, ...]:
    """The feeds that have a say, the first of those that list an address being the one that is
    named: those that deny before those that only record, then by name."""
    heard = (each for each in blocks if each.prefixes and each.mode is not Mode.OBSERVE)
    return tuple(sorted(heard, key=lambda each: (-each.mode, each.feed)))


class Listings:
    """Which feed lists an end of a connection."""

    def __init__(self, blocks: Iterable[FeedBlock] = ()) -> None:
        listed = [(each, Listed(each.prefixes)) for each in in_order(blocks)]
        self._modes = [
            [(block, index) for block, index in listed if block.mode is mode]
            for mode in (Mode.ENFORCE, Mode.AUDIT)
        ]

    def find(self, src: Address, dst: Address) -> FeedBlock | None:
        """The feed that a connection's verdict names, or None where neither end is listed.

        A feed that denies outranks one that only records; of two of one mode the
        initiator's comes first.
        """
        for listed in self._modes:
            for end in (src, dst) if listed else ():
                number = number_of(end)
                for block, index in listed:
                    if index.find(number) is not None:
                        return block
        return None


NOTHING_LISTED = Listings()
