"""Which hosts can start a connection to which, partial denies included.

Not host by host: hosts with the same segments on all their addresses are one class, and a pair of
classes is asked once. Not port by port: an answer holds for a range of services that no intent
splits (`policies.semantics.service_partition`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.model import Intent, Mode, Service, Tier, Verdict
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX
from policies.semantics.service_partition import example, service_ranges
from policies.semantics.verdict import Judge

HostClass = frozenset[tuple[int, frozenset[str]]]
"""The address families of a host (4, 6), each with the segments of an address in it."""

Meeting = tuple[int, Mode]
"""What `policies.semantics.verdict.Judge.meeting` returns for two ends: verdicts depend on
nothing else."""

FAMILIES = (4, 6)


def class_of(numbers: Iterable[int], members: Membership) -> HostClass:
    """The class of a host with these addresses, as
    `policies.semantics.prefix_sets.number_of` has them."""
    return frozenset(
        (6 if number >= SIX else 4, members.segments_of_number(number)) for number in numbers
    )


class Reachability:
    """Who reaches whom under one policy and membership; answers are kept."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._ends: dict[Meeting, tuple[frozenset[str], frozenset[str]]] = {}
        self._met: dict[tuple[frozenset[str], frozenset[str]], Meeting] = {}
        self._live = 0  # the intents that `_known` is about
        self._known: dict[tuple[HostClass, HostClass, bool], bool] = {}

    def reaches(
        self, source: HostClass, target: HostClass, now: float, emergency_only: bool = False
    ) -> bool:
        """Whether some connection from ``source`` to ``target`` passes at ``now`` (seconds since
        the epoch); with ``emergency_only``, by the emergency tier, as for a quarantined host.

        Kept for as long as the same intents are in force, so that asking again costs one look-up.
        """
        live = self._judge.live(now)
        if live != self._live:
            self._live = live
            self._known.clear()
        key = (source, target, emergency_only)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = any(
                self._some_passes(
                    self.meetings(source, target, version), version, now, emergency_only
                )
                for version in FAMILIES
            )
        return found

    def meetings(self, source: HostClass, target: HostClass, version: int) -> frozenset[Meeting]:
        """How the addresses of two classes meet, in one address family."""
        return frozenset(
            self._meeting(sources, targets)
            for one, sources in source
            for other, targets in target
            if one == other == version
        )

    def intents(self, meetings: Iterable[Meeting]) -> list[Intent]:
        """The intents between any of these ends."""
        return [intent for bits, _ in meetings for intent in self._judge.named(bits)]

    def passing(
        self, meetings: Iterable[Meeting], ranges: Sequence[Service], version: int, now: float
    ) -> tuple[bool, ...]:
        """Of each range of services, whether it passes in any of these meetings."""
        found = [False] * len(ranges)
        for meeting in meetings:
            for index, verdict in self._verdicts(meeting, ranges, version, now, found):
                found[index] = verdict.forwarded
        return tuple(found)

    def _some_passes(
        self, meetings: frozenset[Meeting], version: int, now: float, emergency_only: bool
    ) -> bool:
        ranges = service_ranges(self.intents(meetings), version)
        return any(
            verdict.forwarded and (verdict.tier is Tier.EMERGENCY or not emergency_only)
            for meeting in meetings
            for _, verdict in self._verdicts(meeting, ranges, version, now)
        )

    def _verdicts(
        self,
        meeting: Meeting,
        ranges: Sequence[Service],
        version: int,
        now: float,
        known: Sequence[bool] = (),
    ) -> Iterator[tuple[int, Verdict]]:
        """Of each range that is not ``known`` yet, its index and verdict."""
        sources, targets = self._ends[meeting]
        for index, each in enumerate(ranges):
            if not (known and known[index]):
                connection = example(each, version, ranges)
                yield index, self._judge.judge(sources, targets, connection, now, explain=False)

    def _meeting(self, sources: frozenset[str], targets: frozenset[str]) -> Meeting:
        found = self._met.get((sources, targets))
        if found is None:
            found = self._met[sources, targets] = self._judge.meeting(sources, targets)
            self._ends.setdefault(found, (sources, targets))
        return found
