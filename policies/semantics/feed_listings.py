"""Lookup of threat feed listings for verdicts."""

from __future__ import annotations

from collections.abc import Iterable

from policies.feed_block import FeedBlock
from policies.model import Connection, Mode
from policies.semantics.prefix_sets import number_of
from policies.semantics.prefixes import Listed
from policies.semantics.services import names


def in_order(blocks: Iterable[FeedBlock]) -> tuple[FeedBlock, ...]:
    """The feeds in force, in order of precedence: those that deny before those that only record,
    then by name. A verdict names the first that lists an address."""
    heard = (each for each in blocks if each and each.mode is not Mode.OBSERVE)
    return tuple(sorted(heard, key=lambda each: (-each.mode, each.feed)))


class Listings:
    """Which feed lists an end of a connection."""

    def __init__(self, blocks: Iterable[FeedBlock] = ()) -> None:
        ordered = in_order(blocks)
        listed = [(each, Listed(each.prefixes)) for each in ordered]
        narrow = [
            (each, part.direction, part.service, Listed(part.prefixes))
            for each in ordered
            for part in each.narrow
        ]
        self._modes = [
            (
                [(block, index) for block, index in listed if block.mode is mode],
                [row for row in narrow if row[0].mode is mode],
            )
            for mode in (Mode.ENFORCE, Mode.AUDIT)
        ]

    def __bool__(self) -> bool:
        """Whether any feed lists anything."""
        return any(listed or narrow for listed, narrow in self._modes)

    def find(self, connection: Connection) -> FeedBlock | None:
        """The feed that a connection's verdict names, or None where neither end is listed.

        A feed that denies outranks one that only records; of two of one mode one that lists an
        end for all services comes before one that does so for this one, and the initiator's
        before the responder's.
        """
        for listed, narrow in self._modes:
            for end in (connection.src, connection.dst) if listed else ():
                number = number_of(end)
                for block, index in listed:
                    if index.find(number) is not None:
                        return block
            for wanted, end in (("from", connection.src), ("to", connection.dst)) if narrow else ():
                number = number_of(end)
                for block, direction, service, index in narrow:
                    if (
                        direction == wanted
                        and names(service, connection)
                        and index.find(number) is not None
                    ):
                        return block
        return None


NOTHING_LISTED = Listings()
