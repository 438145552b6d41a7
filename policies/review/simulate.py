"""Effect of a policy on recorded traffic, compared with the recording or with another policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from policies.model import Action, Address, Connection, Verdict
from policies.review.icmp_errors import ErrorsOfConnections
from policies.review.recorded_traffic import RecordedConnection, RecordedTraffic, connections
from policies.semantics.feed_listings import NOTHING_LISTED, Listings
from policies.semantics.infrastructure import InfrastructureRules
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from topology.gc_tuning import collection_paused

DAY = 86_400.0
Change = Literal["newly-blocked", "newly-allowed", "would-deny", "blocked", "allowed"]
CHANGES: tuple[Change, ...] = ("newly-blocked", "newly-allowed", "would-deny", "blocked", "allowed")


@dataclass(slots=True)
class CauseGroup:
    """Connections that one cause decides between the same segments, with the busiest of them."""

    change: Change
    intent: str | None
    feed: str | None
    tier: str
    from_segments: tuple[str, ...]
    to_segments: tuple[str, ...]
    connections: int = 0
    bytes: int = 0
    pairs: set[tuple[int, int]] = field(default_factory=set)
    busiest: list[tuple[int, Connection]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    """Two addresses that communicated recently and would be cut."""

    src: Address
    dst: Address
    last: float
    connections: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """``totals`` count connections per change; groups are sorted busiest first."""

    groups: tuple[CauseGroup, ...]
    totals: dict[Change, int]
    cuts: tuple[Cut, ...]


@collection_paused()
def simulate(
    traffic: RecordedTraffic,
    judge: Judge,
    now: float,
    before: Judge | None = None,
    examples: int = 3,
    listings: Listings = NOTHING_LISTED,
    before_listings: Listings = NOTHING_LISTED,
) -> Simulation:
    """Judge recorded traffic at ``now``, under what feeds list (``before_listings``: those of the
    policy before).

    Without ``before``, a change is against what the recording says became of
    the connection: *newly blocked* got through then, *newly allowed* did not.
    With it, against what that policy would do. *would-deny* is forwarded only
    because its mode does not enforce, and was not so before.
    """
    tally = _CauseCounts(examples)
    cuts: dict[tuple[int, int], Cut] = {}
    now_by = _Reader(judge, now, listings)
    then_by = None if before is None else _Reader(before, now, before_listings)
    errors = ErrorsOfConnections(traffic)
    for connection, seen, through in connections(traffic):
        cause = errors.cause(connection)
        verdict = now_by.verdict(cause)
        denied = False
        if then_by is not None:
            earlier = then_by.verdict(cause)
            through, denied = earlier.forwarded, earlier.action is Action.DENY
        change = _change(verdict, through, denied)
        tally.add(change, verdict, connection, seen)
        if change == "newly-blocked":
            src, dst = connection.src, connection.dst
            cut = cuts.get((id(src), id(dst)), Cut(src, dst, 0.0, 0))
            last = max(cut.last, seen.last)
            cuts[id(src), id(dst)] = Cut(src, dst, last, cut.connections + seen.connections)
    totals = dict.fromkeys(CHANGES, 0)
    for group in tally.groups.values():
        totals[group.change] += group.connections
    order = {change: rank for rank, change in enumerate(CHANGES)}
    ranked = sorted(
        tally.groups.values(),
        key=lambda group: (
            order[group.change],
            -group.connections,
            group.intent or "",
            group.from_segments,
            group.to_segments,
        ),
    )
    lost = sorted(
        cuts.values(),
        key=lambda cut: (-cut.connections, cut.src.version, int(cut.src), int(cut.dst)),
    )
    return Simulation(tuple(ranked), totals, tuple(lost))


class _Reader:
    """A judge at one moment, with one verdict for each kind of connection.

    Addresses are compared by identity, which in `RecordedTraffic` is equality.
    """

    def __init__(self, judge: Judge, now: float, listings: Listings) -> None:
        self._judge, self._now, self._listings = judge, now, listings
        self._infrastructure = InfrastructureRules(judge.policy)
        self._segments: dict[int, frozenset[str]] = {}
        self._services: dict[tuple[int, int, int], int] = {}
        self._known: dict[tuple[frozenset[str], frozenset[str], int], Verdict] = {}
        self._by_feed: dict[tuple[str, frozenset[str], frozenset[str], int], Verdict] = {}

    def verdict(self, connection: Connection) -> Verdict:
        src, dst = connection.src, connection.dst
        sources, targets = self._segments.get(id(src)), self._segments.get(id(dst))
        if sources is None:
            sources = self._segments[id(src)] = self._judge.membership.segments_of(src)
        if targets is None:
            targets = self._segments[id(dst)] = self._judge.membership.segments_of(dst)
        answered = self._infrastructure.verdict(connection, sources, targets)
        if answered is not None:
            return answered
        if self._listings and (feed := self._listings.find(connection)) is not None:
            return self._listed(feed.feed, sources, targets, connection)
        service = (connection.proto, connection.port, src.version)
        kind = self._services.get(service)
        if kind is None:
            kind = self._services[service] = self._judge.service_kind(connection)
        verdict = self._known.get((sources, targets, kind))
        if verdict is None:
            verdict = self._judge.judge(sources, targets, connection, self._now, explain=False)
            self._known[sources, targets, kind] = verdict
        return verdict

    def _listed(
        self,
        feed: str,
        sources: frozenset[str],
        targets: frozenset[str],
        connection: Connection,
    ) -> Verdict:
        """Verdicts of one feed between the same segments by the same service are one as well."""
        kind = self._judge.service_kind(connection)
        verdict = self._by_feed.get((feed, sources, targets, kind))
        if verdict is None:
            verdict = self._judge.judge(
                sources, targets, connection, self._now, explain=False, listings=self._listings
            )
            self._by_feed[feed, sources, targets, kind] = verdict
        return verdict


def _change(verdict: Verdict, through: bool, denied: bool) -> Change:
    if not verdict.forwarded:
        return "newly-blocked" if through else "blocked"
    if verdict.action is Action.DENY:
        return "allowed" if denied and through else "would-deny"
    return "allowed" if through and not denied else "newly-allowed"


class _CauseCounts:
    """Groups by what decides between which segments; ``examples`` busiest connections of each."""

    def __init__(self, examples: int) -> None:
        self.groups: dict[tuple[object, ...], CauseGroup] = {}
        self._examples = examples
        # Verdicts are kept by their reader, so that one's id stays its own.
        self._by_verdict: dict[tuple[str, int], CauseGroup] = {}

    def add(
        self, change: Change, verdict: Verdict, connection: Connection, seen: RecordedConnection
    ) -> None:
        group = self._by_verdict.get((change, id(verdict)))
        if group is None:
            group = self._by_verdict[change, id(verdict)] = self._group(change, verdict)
        times = seen.connections
        group.connections += times
        group.bytes += seen.bytes
        group.pairs.add((id(connection.src), id(connection.dst)))
        busiest = group.busiest
        if len(busiest) < self._examples or times > busiest[-1][0]:
            busiest.append((times, connection))
            busiest.sort(key=lambda each: -each[0])
            del busiest[self._examples :]

    def _group(self, change: Change, verdict: Verdict) -> CauseGroup:
        key = (
            change, verdict.intent, verdict.feed, verdict.tier,
            verdict.from_segments, verdict.to_segments,
        )  # fmt: skip
        return self.groups.setdefault(
            key,
            CauseGroup(
                change,
                verdict.intent,
                verdict.feed,
                verdict.tier.value,
                verdict.from_segments,
                verdict.to_segments,
            ),
        )


class Accepted:
    """Pairs that may be cut: each end a host, an address, or a segment."""

    def __init__(self, membership: Membership, pairs: Iterable[tuple[str, str]]):
        self._membership = membership
        self._hosts = {host.name: host.texts() for host in membership.hosts if host.declared}
        self._pairs = tuple(pairs)

    def __contains__(self, cut: Cut) -> bool:
        return any(self._is(cut.src, a) and self._is(cut.dst, b) for a, b in self._pairs)

    def _is(self, address: Address, word: str) -> bool:
        text = str(address)
        if word in ("any", text) or text in self._hosts.get(word, ()):
            return True
        return word in self._membership.segments_of(address)


def refused_cuts(
    simulation: Simulation,
    traffic: RecordedTraffic,
    days: float,
    accepted: Accepted,
    now: float = inf,
) -> tuple[Cut, ...]:
    """Pairs that spoke in the recording's last ``days``, would be cut, and are not accepted.

    The last days are counted from the newest time that is not after ``now``, with a day's grace:
    one clock that is ahead must not make all others old. What is later counts as recent.
    """
    since = traffic.newest_until(now + DAY) - days * DAY
    return tuple(cut for cut in simulation.cuts if cut.last >= since and cut not in accepted)
