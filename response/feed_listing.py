"""The prefixes that a feed lists, packed for the store and for the controller."""

from __future__ import annotations

from msgspec import Struct

from policies.feed_block import FeedBlock
from policies.model import Mode
from policies.semantics.prefixes import packed, packed_narrow, unpacked, unpacked_narrow


class ListFeed(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Analysis → controller: all that a feed lists now, in place of what it listed before.

    ``mode`` is a `policies.model.Mode`, ``prefixes`` are `policies.semantics.prefixes.packed`; a
    feed that lists nothing is forgotten. Said again it changes nothing, and of a change only the
    difference goes to the switches.
    """

    feed: str
    mode: int
    prefixes: bytes
    narrow: bytes = b""

    @classmethod
    def of(cls, block: FeedBlock) -> ListFeed:
        narrow = packed_narrow(block.narrow)
        return cls(block.feed, int(block.mode), packed(block.prefixes), narrow)

    @property
    def block(self) -> FeedBlock:
        """Raises ValueError for bytes or a mode that do not exist."""
        narrow = unpacked_narrow(self.narrow)
        return FeedBlock(self.feed, Mode(self.mode), unpacked(self.prefixes), narrow)
