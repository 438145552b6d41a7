"""Loading of a feed: read, check, filter by time and confidence, merge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies.feed_block import FeedBlock, NarrowListing
from policies.model import Feed, Mode, Service
from policies.semantics.prefix_sets import SIX
from policies.semantics.prefixes import Prefix, fewest
from response.feeds.admission import FeedGuard, union
from response.feeds.entries import Direction, Entry, FeedError, Notes
from response.feeds.read import read_feed

MAX_PREFIXES = 200_000
"""In force for one feed: what one message to the controller holds, and switches beyond that."""


MAX_OWN_SHARE = 0.5
OWN = "it is private or in our own networks (may_list_own)"


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

    ``own`` are entries left out as private or ours. ``changes_at`` is when an entry begins or ends
    to hold, so that it must be loaded again.
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
    own: int = 0

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
    own = 0
    if not feed.may_list_own:
        own = len(holding)
        holding = _without_own(holding, guard, refused)
        own -= len(holding)
    admitted = guard.admit(holding, refused)
    _check_share(admitted, feed.max_share)
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
        own=own,
    )


def _without_own(entries: list[Entry], guard: FeedGuard, refused: Notes) -> list[Entry]:
    """The entries that are neither private addresses nor in our own networks. Raises `FeedError`
    when these are more than half."""
    kept: list[Entry] = []
    for entry in entries:
        if guard.is_own(entry):
            refused.add(entry.line, entry.text, guard.refusal(entry.prefix) or OWN)
        else:
            kept.append(entry)
    own = len(entries) - len(kept)
    if own > MAX_OWN_SHARE * len(entries):
        raise FeedError(
            f"{own} of {len(entries)} entries are private addresses or our own networks; "
            "may_list_own: true in the policy permits them"
        )
    return kept


def _check_share(entries: Iterable[Entry], most: float) -> None:
    """Raises `FeedError` where entries cover more than the share ``most`` of a family."""
    covered = {4: 0, 6: 0}
    for first, last in union(entry.range for entry in entries):
        covered[6 if first >= SIX else 4] += last - first + 1
    for version, bits in ((4, 32), (6, 128)):
        share = covered[version] / (1 << bits)
        if share > most:
            raise FeedError(
                f"it covers {100 * share:.2g} % of all IPv{version} addresses, "
                f"max_share permits {100 * most:g} %"
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
