"""What may pass between two groups of addresses, said without denies.

A switch with one small table cannot look a packet up twice. So for two groups
everything is decided here: which services pass as the first packet of a
connection, which as a reply, and by which intent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policies.compiler.common.services import PORTS
from policies.compiler.stateless.service_fields import TYPES
from policies.model import (
    ONLY_IN,
    Intent,
    Mode,
    Policy,
    Service,
    Tier,
    Verdict,
)
from policies.semantics.membership import Membership
from policies.semantics.service_partition import service_ranges, verdicts
from policies.semantics.verdict import Judge

Segments = frozenset[str]


@dataclass(frozen=True, slots=True)
class Passing:
    """A service that passes, and the name of the intent that says so (None: the default)."""

    service: Service
    intent: str | None


@dataclass(frozen=True, slots=True)
class Between:
    """``everything`` passes, or what is listed: ``first`` packets, ``replies``, and where
    ``others`` is set also every protocol that ``denied`` does not name."""

    everything: bool
    first: tuple[Passing, ...] = ()
    replies: tuple[Passing, ...] = ()
    others: Passing | None = None
    denied: tuple[Service, ...] = ()


class Resolver:
    """Answers for pairs of groups, each worked out once."""

    def __init__(self, policy: Policy, membership: Membership, now: float) -> None:
        self._intents, self._now = policy.intents, now
        self._membership, self._judge = membership, Judge(policy, membership)
        self._known: dict[tuple[Segments, Segments, int], tuple[Between, Between]] = {}

    def between(
        self, source: Segments, target: Segments, version: int, *, emergency: bool = False
    ) -> Between:
        """What passes; with ``emergency`` by the word of that tier alone."""
        key = (source, target, version)
        if key not in self._known:
            self._known[key] = self._resolved(source, target, version)
        return self._known[key][emergency]

    def _resolved(
        self, source: Segments, target: Segments, version: int
    ) -> tuple[Between, Between]:
        ranges = self._ranges(source, target, version)
        judge, now = self._judge, self._now
        forth = verdicts(judge, source, target, ranges, version, now)
        back = verdicts(judge, target, source, ranges, version, now)
        modes = (self._membership.mode_of(source), self._membership.mode_of(target))
        watched = max(modes) is not Mode.ENFORCE
        ordinary = Between(True) if watched else _between(ranges, forth, back, _forwarded)
        return ordinary, _between(ranges, forth, back, _forwarded_always)

    def _ranges(self, source: Segments, target: Segments, version: int) -> tuple[Service, ...]:
        """Ranges for both directions; protocols with ports or types always have their own."""
        near = (*self._judge.between(source, target), *self._judge.between(target, source))
        whole = tuple(
            Service(proto) for proto in (*PORTS, *TYPES) if ONLY_IN.get(proto, version) == version
        )
        return service_ranges((*near, Intent("", (), (), whole)), version)


Test = Callable[[Verdict], bool]


def _forwarded(verdict: Verdict) -> bool:
    return verdict.forwarded


def _forwarded_always(verdict: Verdict) -> bool:
    """Also a deny of the emergency tier, where the mode only watches."""
    return verdict.forwarded and verdict.tier is Tier.EMERGENCY


def _between(
    ranges: Sequence[Service],
    forth: Sequence[Verdict],
    back: Sequence[Verdict],
    passes: Test,
) -> Between:
    if all(map(passes, forth)):
        return Between(True)
    first, replies = _passing(ranges, forth, passes), _passing(ranges, back, passes)
    others = next((p for p in (*first, *replies) if p.service.proto is None), None)
    denied = (
        service
        for service, verdict in zip(ranges, forth, strict=True)
        if service.proto is not None and not passes(verdict)
    )
    return Between(
        False,
        tuple(p for p in first if p.service.proto is not None),
        tuple(p for p in replies if p.service.proto is not None),
        others,
        tuple(denied) if others is not None else (),
    )


def _passing(
    ranges: Sequence[Service], found: Sequence[Verdict], passes: Test
) -> tuple[Passing, ...]:
    """The ranges that are allowed; neighbours that one intent allows are one."""
    passing: list[Passing] = []
    for service, verdict in zip(ranges, found, strict=True):
        if not passes(verdict):
            continue
        last = passing[-1] if passing else None
        if (
            last is not None
            and last.intent == verdict.intent
            and last.service.proto == service.proto
            and last.service.high is not None
            and service.low == last.service.high + 1
        ):
            service = Service(service.proto, last.service.low, service.high)
            passing.pop()
        passing.append(Passing(service, verdict.intent))
    return tuple(_widest(each) for each in passing)


def _widest(passing: Passing) -> Passing:
    """A range of all ports is the protocol."""
    service = passing.service
    if service.proto in PORTS and (service.low, service.high) == (0, 0xFFFF):
        return Passing(Service(service.proto), passing.intent)
    return passing
