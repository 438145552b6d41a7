"""How many host pairs can talk, and how another policy changes that: its blast radius.

Not host by host: hosts with the same segments on all their addresses are one class, a pair of
classes is asked once, and counted by their sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from policies.model import Intent, Mode, Policy, Service
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX
from policies.semantics.service_partition import example, service_ranges
from policies.semantics.verdict import Judge
from topology.records import Binding

Class = frozenset[tuple[int, frozenset[str]]]
"""The address families of a host, each with the segments of an address in it."""

ABSENT: Class = frozenset()


Meeting = tuple[int, Mode]
"""What `policies.semantics.verdict.Judge.meeting` says of two ends: verdicts hang on nothing
else."""


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
    after = _Side(new, bindings, now)
    before = _Side(old, bindings, now) if old is not None else None
    comparison = _ReachComparison(before, after)
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

    def __init__(self, policy: Policy, bindings: Sequence[Binding], now: float) -> None:
        self._now = now
        members = Membership(policy, bindings)
        self._judge = Judge(policy, members)
        self._ends: dict[Meeting, tuple[frozenset[str], frozenset[str]]] = {}
        self._met: dict[tuple[frozenset[str], frozenset[str]], Meeting] = {}
        self.classes = {
            host.name if host.declared else (host.mac, host.ports): frozenset(
                (6 if number >= SIX else 4, members.segments_of_number(number))
                for number in host.numbers
            )
            for host in members.hosts
        }

    def meetings(self, source: Class, target: Class, version: int) -> frozenset[Meeting]:
        """How the addresses of two classes meet, in one address family."""
        return frozenset(
            self._meeting(sources, targets)
            for one, sources in source
            for other, targets in target
            if one == other == version
        )

    def _meeting(self, sources: frozenset[str], targets: frozenset[str]) -> Meeting:
        found = self._met.get((sources, targets))
        if found is None:
            found = self._met[sources, targets] = self._judge.meeting(sources, targets)
            self._ends.setdefault(found, (sources, targets))
        return found

    def intents(self, meetings: Iterable[Meeting]) -> list[Intent]:
        return [intent for bits, _ in meetings for intent in self._judge.named(bits)]

    def passing(
        self, meetings: Iterable[Meeting], ranges: Sequence[Service], version: int
    ) -> tuple[bool, ...]:
        """Of each range of services, whether it passes in any of these meetings."""
        found = [False] * len(ranges)
        for meeting in meetings:
            sources, targets = self._ends[meeting]
            for index, each in enumerate(ranges):
                if not found[index]:
                    connection = example(each, version, ranges)
                    verdict = self._judge.judge(
                        sources, targets, connection, self._now, explain=False
                    )
                    found[index] = verdict.forwarded
        return tuple(found)


class _ReachComparison:
    def __init__(self, before: _Side | None, after: _Side) -> None:
        self._before, self._after = before, after
        self._known: dict[
            tuple[int, frozenset[Meeting], frozenset[Meeting]], tuple[bool, bool, bool]
        ] = {}

    def compared(
        self, source: tuple[Class, Class], target: tuple[Class, Class]
    ) -> tuple[bool, bool, bool]:
        """Whether the first reaches the second before, after, and whether by other services."""
        was = now_is = other = False
        for version in (4, 6):
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
        after = self._after.passing(new, ranges, version)
        before = (
            (False,) * len(ranges)
            if self._before is None
            else self._before.passing(old, ranges, version)
        )
        return any(before), any(after), before != after
