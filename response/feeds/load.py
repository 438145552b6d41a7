"""Loading of a feed: read, check, filter by time and confidence, merge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies.feed_block import FeedBlock, NarrowListing
from policies.model import Feed, Mode, Service
from policies.semantics.prefixes import Prefix, fewest
from response.feeds.admission import FeedGuard
from response.feeds.entries import Direction, Entry, FeedError, Notes
from response.feeds.read import read_feed

MAX_PREFIXES = 200_000
"""In force for one feed: what one message to the controller holds, and switches beyond that."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The fewest prefixes of what a feed lists for one service (None: all of them).

    With a service, ``direction`` says which end is the listed one; without, either is.
    """

    service: Service | None
    direction: Direction
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded feed. All but ``listings`` is for display.

    ``changes_at`` is when an entry begins or ends to hold, so that it must be loaded again.
    """

    listings: tuple[Listing, ...]
    entries: int
    in_force: int
    unsure: int
    not_yet: int
    ended: int
    bad: Notes
    passed_over: Notes
    refused: Notes
    changes_at: float | None

    @property
    def prefixes(self) -> int:
        return sum(len(each.prefixes) for each in self.listings)

    def block(self, name: str, mode: Mode) -> FeedBlock:
        """What is listed, as verdicts and the compiler take it."""
        whole = [each.prefixes for each in self.listings if each.service is None]
        narrow = tuple(
            NarrowListing(each.service, each.direction, each.prefixes)
            for each in self.listings
            if each.service is not None
        )
        return FeedBlock(name, mode, whole[0] if whole else (), narrow)


def load(data: bytes, feed: Feed, guard: FeedGuard, now: float) -> Loaded:
    """Raises `FeedError` where the bytes as a whole are not to be trusted."""
    reading = read_feed(data, feed.format)
    holding: list[Entry] = []
    unsure = not_yet = ended = 0
    moments: list[float] = []
    for entry in reading.entries:
        if entry.confidence is not None and entry.confidence < feed.min_confidence:
            unsure += 1
        elif entry.ends is not None and entry.ends <= now:
            ended += 1
        elif entry.starts is not None and entry.starts > now:
            not_yet += 1
            moments.append(entry.starts)
        else:
            holding.append(entry)
            if entry.ends is not None:
                moments.append(entry.ends)
    refused = Notes()
    admitted = guard.admit(holding, refused)
    listings = _listings(admitted)
    if sum(len(each.prefixes) for each in listings) > MAX_PREFIXES:
        raise FeedError(f"more than {MAX_PREFIXES:,} prefixes, merged")
    return Loaded(
        listings=listings,
        entries=len(reading.entries),
        in_force=len(admitted),
        unsure=unsure,
        not_yet=not_yet,
        ended=ended,
        bad=reading.bad,
        passed_over=reading.passed_over,
        refused=refused,
        changes_at=min(moments, default=None),
    )


def _listings(entries: Iterable[Entry]) -> tuple[Listing, ...]:
    groups: dict[tuple[Service | None, Direction], list[Prefix]] = {}
    for entry in entries:
        direction: Direction = "any" if entry.service is None else entry.direction
        if entry.service is not None and direction == "any":
            direction = "to"  # a port is the responder's
        key = entry.service, direction
        groups.setdefault(key, []).append(entry.prefix)
    return tuple(
        Listing(service, direction, fewest(found))
        for (service, direction), found in sorted(groups.items(), key=_order)
    )


def _order(item: tuple[tuple[Service | None, Direction], list[Prefix]]) -> tuple[bool, str, str]:
    (service, direction), _ = item
    return service is not None, str(service), direction
