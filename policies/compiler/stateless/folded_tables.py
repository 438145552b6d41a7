"""The tables that decide, folded into what passes between two groups, without denies.

A switch with one small table cannot look a packet up twice. So for two groups
the rules that a switch with several tables would have are followed here: which
services pass as the first packet of a connection, which as a reply, and by which rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from policies.compiler.common.services import ANSWERS, PORTS
from policies.compiler.stateless.service_fields import TYPES
from policies.model import Service
from policies.rules.layout import Category, StatelessTable, category_of
from policies.rules.rule import Goto, Rule

_REPLIES = (StatelessTable.EMERGENCY_REPLY, StatelessTable.REPLY)
_EMERGENCY = (StatelessTable.EMERGENCY, StatelessTable.EMERGENCY_REPLY)
_LAST_PORT, _LAST_TYPE = 0xFFFF, 0xFF


@dataclass(frozen=True, slots=True)
class Passing:
    """A service that passes, and the cookie of the rule that says so."""

    service: Service
    cause: int


@dataclass(frozen=True, slots=True)
class Between:
    """``everything`` passes, or what is listed: ``first`` packets, ``replies`` (by the ICMP type
    that they have themselves), and where ``others`` is set, a cookie, also every protocol that
    ``denied`` does not name."""

    everything: bool
    first: tuple[Passing, ...] = ()
    replies: tuple[Passing, ...] = ()
    others: int | None = None
    denied: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """A rule that decides: what it matches, and what it says."""

    value: int
    mask: int
    family: int | None
    proto: int | None
    low: int
    high: int
    passes: bool
    emergency: bool
    cause: int


class FoldedTables:
    """Answers for pairs of groups, each worked out once.

    ``rules`` are those of `policies.compiler.stateless.decision_tables`, with masks of ports.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        ordered = sorted(rules, key=lambda rule: (rule.table, -rule.priority))
        self._modes = [rule for rule in ordered if rule.table == StatelessTable.MODE]
        causes = (Category.INTENT, Category.DEFAULT)
        decides = [rule for rule in ordered if category_of(rule.cookie) in causes]
        self._forth = [_row(rule) for rule in decides if rule.table not in _REPLIES]
        self._back = [_row(rule) for rule in decides if rule.table in _REPLIES]
        self._known: dict[tuple[int, int], tuple[Between, Between]] = {}

    def between(self, metadata: int, family: int, *, emergency: bool = False) -> Between:
        """What passes between the ends that ``metadata`` describes, in an Ethernet type; with
        ``emergency`` by the word of that tier alone."""
        key = (metadata, family)
        if key not in self._known:
            self._known[key] = self._folded(metadata, family)
        return self._known[key][emergency]

    def _folded(self, metadata: int, family: int) -> tuple[Between, Between]:
        forth, back = (
            [
                row
                for row in rows
                if metadata & row.mask == row.value and row.family in (None, family)
            ]
            for rows in (self._forth, self._back)
        )
        # What is denied where the mode only watches passes all the same.
        watched = next(rule for rule in self._modes if _matches(rule, metadata)).actions != ()
        ordinary = Between(True) if watched else _between(forth, back, family)
        first, replies = (
            [replace(row, passes=row.passes or watched) for row in rows if row.emergency]
            for rows in (forth, back)
        )
        return ordinary, _between(first, replies, family)


def _matches(rule: Rule, metadata: int) -> bool:
    return all(
        metadata & (-1 if field.mask is None else field.mask) == field.value for field in rule.match
    )


def _row(rule: Rule) -> _Row:
    found = {field.name: field for field in rule.match}
    ends, family, proto = (found.pop(name, None) for name in ("metadata", "eth_type", "ip_proto"))
    low, high = 0, _LAST_PORT
    for number in found.values():
        mask = _LAST_PORT if number.mask is None else number.mask
        low, high = number.value, number.value | _LAST_PORT & ~mask
    return _Row(
        ends.value if ends else 0,
        ends.mask or 0 if ends else 0,
        family.value if family else None,
        proto.value if proto else None,
        low,
        high,
        rule.actions == (Goto(StatelessTable.FORWARD),),
        rule.table in _EMERGENCY,
        rule.cookie,
    )


_Run = tuple[Service, int | None]  # the cookie of what passes it, None for what does not pass


def _between(forth: Sequence[_Row], back: Sequence[_Row], family: int) -> Between:
    named = {row.proto for row in (*forth, *back) if row.proto is not None}
    typed = {proto for proto, (_, only) in TYPES.items() if only == family}
    protos = sorted(named | typed | {*PORTS})
    first = [run for proto in protos for run in _runs(forth, proto)]
    ((_, others),) = _runs(forth, None)
    if others is not None and all(cause is not None for _, cause in first):
        return Between(True)
    if others is None:
        ((_, others),) = _runs(back, None)
    replies = (run for proto in protos for run in _runs(back, proto))
    return Between(
        False,
        tuple(Passing(service, cause) for service, cause in first if cause is not None),
        tuple(
            Passing(part, cause)
            for service, cause in replies
            if cause is not None
            for part in _answering(service)
        ),
        others,
        tuple(service for service, cause in first if cause is None and others is not None),
    )


def _runs(rows: Sequence[_Row], proto: int | None) -> list[_Run]:
    """All of a protocol (None: of any that is not named), apart by what the rows say of it."""
    near = [row for row in rows if row.proto in (None, proto)]
    last = _LAST_PORT if proto in PORTS else _LAST_TYPE if proto in TYPES else 0
    cuts = sorted({cut for row in near for cut in (row.low, row.high + 1) if 0 < cut <= last})
    found: list[tuple[int, int, int | None]] = []
    for low, end in pairwise((0, *cuts, last + 1)):
        row = next((row for row in near if row.low <= low <= row.high), None)
        cause = row.cause if row is not None and row.passes else None
        if found and found[-1][2] == cause:
            low = found.pop()[0]
        found.append((low, end - 1, cause))
    if len(found) == 1:
        return [(Service(proto), found[0][2])]
    return [(Service(proto, low, high), cause) for low, high, cause in found]


def _answering(service: Service) -> Iterator[Service]:
    """A service but for the ICMP types that only ask, where it does not have all types."""
    if service.proto not in TYPES or service.low is None or service.high is None:
        yield service
        return
    low = service.low
    for question in sorted(ANSWERS[service.proto].values()):
        if low <= question <= service.high:
            if low < question:
                yield Service(service.proto, low, question - 1)
            low = question + 1
    if low <= service.high:
        yield Service(service.proto, low, service.high)
