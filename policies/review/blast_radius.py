"""How many host pairs can talk, and how another policy changes that: its blast radius.

A pair of classes of hosts (`policies.semantics.reachability`) is asked once, and counted by their
sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policies.model import Policy
from policies.semantics.membership import Membership
from policies.semantics.reachability import FAMILIES, HostClass, Meeting, Reachability, class_of
from policies.semantics.service_partition import service_ranges
from policies.semantics.verdict import Judge
from topology.records import Binding

ABSENT: HostClass = frozenset()


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """Ordered pairs of different hosts of which the first may start some connection to the
    second, that is, its packets pass; ``hosts`` are those of either policy. ``changed`` pairs have
    another set of services that pass, ``opened`` and ``closed`` ones among them."""

    hosts: int
    before: int
    after: int
    opened: int
    closed: int
    changed: int

    def __str__(self) -> str:
        return (
            f"{self.after} of {self.hosts * (self.hosts - 1)} host pairs can talk, "
            f"{self.before} before: {self.opened} newly, {self.closed} no longer, "
            f"{self.changed} with other services"
        )


def blast_radius(
    old: Policy | None, new: Policy, bindings: Sequence[Binding], now: float
) -> BlastRadius:
    """The change in reachable host pairs when ``new`` replaces ``old`` (None: no policy)."""
    after = _Side(new, bindings)
    before = _Side(old, bindings) if old is not None else None
    comparison = _ReachComparison(before, after, now)
    known = {} if before is None else before.classes
    names = {*known, *after.classes}
    groups = Counter((known.get(name, ABSENT), after.classes.get(name, ABSENT)) for name in names)
    counts = Counter[tuple[bool, bool, bool]]()
    for first, many in groups.items():
        for second, others in groups.items():
            counts[comparison.compared(first, second)] += many * (others - (first == second))

    def pairs(test: Callable[[bool, bool, bool], bool]) -> int:
        return sum(count for answer, count in counts.items() if test(*answer))

    return BlastRadius(
        len(names),
        before=pairs(lambda was, now_is, other: was),
        after=pairs(lambda was, now_is, other: now_is),
        opened=pairs(lambda was, now_is, other: now_is and not was),
        closed=pairs(lambda was, now_is, other: was and not now_is),
        changed=pairs(lambda was, now_is, other: other),
    )


class _Side:
    """One policy with the current hosts."""

    def __init__(self, policy: Policy, bindings: Sequence[Binding]) -> None:
        members = Membership(policy, bindings)
        self.reach = Reachability(Judge(policy, members))
        self.classes = {
            host.name if host.declared else (host.mac, host.ports): class_of(host.numbers, members)
            for host in members.hosts
        }


class _ReachComparison:
    def __init__(self, before: _Side | None, after: _Side, now: float) -> None:
        self._before = None if before is None else before.reach
        self._after, self._now = after.reach, now
        self._known: dict[
            tuple[int, frozenset[Meeting], frozenset[Meeting]], tuple[bool, bool, bool]
        ] = {}

    def compared(
        self, source: tuple[HostClass, HostClass], target: tuple[HostClass, HostClass]
    ) -> tuple[bool, bool, bool]:
        """Whether the first reaches the second before, after, and whether by other services."""
        was = now_is = other = False
        for version in FAMILIES:
            nobody = frozenset[Meeting]()
            old = (
                nobody
                if self._before is None
                else self._before.meetings(source[0], target[0], version)
            )
            new = self._after.meetings(source[1], target[1], version)
            key = version, old, new
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = self._judged(version, old, new)
            was, now_is, other = was or found[0], now_is or found[1], other or found[2]
        return was, now_is, other

    def _judged(
        self, version: int, old: frozenset[Meeting], new: frozenset[Meeting]
    ) -> tuple[bool, bool, bool]:
        intents = self._after.intents(new)
        if self._before is not None:
            intents += self._before.intents(old)
        ranges = service_ranges(intents, version)
        after = self._after.passing(new, ranges, version, self._now)
        before = (
            (False,) * len(ranges)
            if self._before is None
            else self._before.passing(old, ranges, version, self._now)
        )
        return any(before), any(after), before != after
