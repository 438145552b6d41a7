"""How much a feed differs from its last good copy; a held feed waits for a person."""

from __future__ import annotations

from dataclasses import dataclass

from policies.model import Feed, Service
from policies.semantics.prefixes import Prefix
from response.feeds.entries import Direction, FeedError
from response.feeds.read import read_feed

SMALL = 1_000
"""Entries up to which a feed may change in any way."""


class ChangesTooMuch(FeedError):
    """A feed waits for a person, who may accept it."""


@dataclass(frozen=True, slots=True)
class SourceChange:
    """Numbers of entries; what came and what went is told by network, service and direction."""

    before: int
    after: int
    added: int
    removed: int

    @property
    def share(self) -> float:
        """The larger of what came and what went, as a share of what was there."""
        return max(self.added, self.removed) / max(1, self.before)

    @property
    def is_small(self) -> bool:
        return max(self.before, self.after) <= SMALL


def source_change(before: bytes, after: bytes, form: str) -> SourceChange:
    """Raises `FeedError` where one of the two cannot be read."""
    old, new = _entries(before, form), _entries(after, form)
    return SourceChange(len(old), len(new), len(new - old), len(old - new))


def check_change(before: bytes, after: bytes, feed: Feed) -> None:
    """Raises `ChangesTooMuch` for more than the feed's ``max_change``."""
    change = source_change(before, after, feed.format)
    if not change.is_small and change.share > feed.max_change:
        raise ChangesTooMuch(
            f"it changes by {100 * change.share:.0f} % ({change.added} entries come, "
            f"{change.removed} of {change.before} go), max_change permits "
            f"{100 * feed.max_change:g} %: `septum feeds accept {feed.name}` takes it"
        )


def _entries(data: bytes, form: str) -> set[tuple[Prefix, Service | None, Direction]]:
    found = read_feed(data, form).entries
    return {(entry.prefix, entry.service, entry.direction) for entry in found}
