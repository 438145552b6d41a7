"""What a policy would have done to recorded traffic, alone or beside the policy before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from policies.membership import Membership
from policies.model import Action, Address, Connection, Policy, Verdict
from policies.traffic import Seen, Traffic, connections
from policies.verdict import Judge

DAY = 86_400.0
Change = Literal["newly-blocked", "newly-allowed", "would-deny", "blocked", "allowed"]
CHANGES: tuple[Change, ...] = ("newly-blocked", "newly-allowed", "would-deny", "blocked", "allowed")


@dataclass(slots=True)
class Group:
    """Connections that one cause decides between the same segments, with the busiest of them."""

    change: Change
    intent: str | None
    tier: str
    from_segments: tuple[str, ...]
    to_segments: tuple[str, ...]
    connections: int = 0
    bytes: int = 0
    pairs: set[tuple[int, int]] = field(default_factory=set)
    busiest: list[tuple[int, Connection]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    """Two addresses that spoke lately and no longer could."""

    src: Address
    dst: Address
    last: float
    connections: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """``totals`` count connections per change; groups stand busiest first."""

    groups: tuple[Group, ...]
    totals: dict[Change, int]
    cuts: tuple[Cut, ...]


def simulate(
    traffic: Traffic,
    judge: Judge,
    now: float,
    before: Judge | None = None,
    examples: int = 3,
) -> Simulation:
    """Judge recorded traffic at ``now``.

    Without ``before``, a change is against what the recording says became of
    the connection: *newly blocked* got through then, *newly allowed* did not.
    With it, against what that policy would do. *would-deny* is forwarded only
    because its mode does not enforce, and was not so before.
    """
    groups: dict[tuple[object, ...], Group] = {}
    totals: dict[Change, int] = dict.fromkeys(CHANGES, 0)
    cuts: dict[tuple[int, int, int], Cut] = {}
    now_by, then_by = _Reader(judge, now), None if before is None else _Reader(before, now)
    for connection, seen, through in connections(traffic):
        verdict = now_by.verdict(connection)
        denied = False
        if then_by is not None:
            earlier = then_by.verdict(connection)
            through, denied = earlier.forwarded, earlier.action is Action.DENY
        change = _change(verdict, through, denied)
        totals[change] += seen.connections
        _group(groups, change, verdict, connection, seen, examples)
        if change == "newly-blocked":
            src, dst = connection.src, connection.dst
            pair = (src.version, int(src), int(dst))
            cut = cuts.get(pair, Cut(src, dst, 0.0, 0))
            cuts[pair] = Cut(src, dst, max(cut.last, seen.last), cut.connections + seen.connections)
    order = {change: rank for rank, change in enumerate(CHANGES)}
    ranked = sorted(
        groups.values(),
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
    """A judge at one moment, asked once for each kind of connection."""

    def __init__(self, judge: Judge, now: float) -> None:
        self._judge, self._now = judge, now
        self._segments: dict[tuple[int, int], frozenset[str]] = {}
        self._known: dict[tuple[object, ...], Verdict] = {}

    def verdict(self, connection: Connection) -> Verdict:
        sources, targets = self._of(connection.src), self._of(connection.dst)
        kind = (sources, targets, connection.proto, connection.port, connection.src.version)
        verdict = self._known.get(kind)
        if verdict is None:
            verdict = self._judge.judge(sources, targets, connection, self._now)
            self._known[kind] = verdict
        return verdict

    def _of(self, address: Address) -> frozenset[str]:
        key = (address.version, int(address))
        found = self._segments.get(key)
        if found is None:
            found = self._segments[key] = self._judge.membership.segments_of(address)
        return found


def _change(verdict: Verdict, through: bool, denied: bool) -> Change:
    if not verdict.forwarded:
        return "newly-blocked" if through else "blocked"
    if verdict.action is Action.DENY:
        return "allowed" if denied and through else "would-deny"
    return "allowed" if through and not denied else "newly-allowed"


def _group(
    groups: dict[tuple[object, ...], Group],
    change: Change,
    verdict: Verdict,
    connection: Connection,
    seen: Seen,
    examples: int,
) -> None:
    key = (change, verdict.intent, verdict.tier, verdict.from_segments, verdict.to_segments)
    group = groups.get(key)
    if group is None:
        group = groups[key] = Group(
            change,
            verdict.intent,
            verdict.tier.value,
            verdict.from_segments,
            verdict.to_segments,
        )
    group.connections += seen.connections
    group.bytes += seen.bytes
    group.pairs.add((int(connection.src), int(connection.dst)))
    busiest = group.busiest
    if len(busiest) < examples or seen.connections > busiest[-1][0]:
        busiest.append((seen.connections, connection))
        busiest.sort(key=lambda each: -each[0])
        del busiest[examples:]


class Accepted:
    """Pairs that may be cut: each end a host, an address, or a segment."""

    def __init__(self, policy: Policy, membership: Membership, pairs: Iterable[tuple[str, str]]):
        self._membership = membership
        self._hosts = {host.name: frozenset(map(str, host.ips)) for host in policy.hosts}
        self._pairs = tuple(pairs)

    def __contains__(self, cut: Cut) -> bool:
        return any(self._is(cut.src, a) and self._is(cut.dst, b) for a, b in self._pairs)

    def _is(self, address: Address, word: str) -> bool:
        text = str(address)
        if word in ("any", text) or text in self._hosts.get(word, ()):
            return True
        return word in self._membership.segments_of(address)


def refused_cuts(
    simulation: Simulation, traffic: Traffic, days: float, accepted: Accepted
) -> tuple[Cut, ...]:
    """Pairs that spoke in the recording's last ``days``, would be cut, and are not accepted."""
    since = traffic.newest - days * DAY
    return tuple(cut for cut in simulation.cuts if cut.last >= since and cut not in accepted)
