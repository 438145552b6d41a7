"""Rules for switches with one small table.

Every rule says all at once: from which port and address, to which address, for
which service, out of which port. Local hosts are named one by one, since that
is also what binds an address to its port; remote addresses are merged to
prefixes. Packets between two other switches are only passed on. What passes
between two of them is read off the tables that a switch with several of them
would have (`policies.compiler.stateless.folded_tables`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

from policies.compiler.common.aggregate import Aggregate
from policies.compiler.common.bindings import AddressOnPort, hosts_on, places_of
from policies.compiler.common.identity_codes import codes_of, ends_of
from policies.compiler.common.intent_rules import intent_numbers
from policies.compiler.common.overlaps import SegmentOverlaps
from policies.compiler.common.port_guard import REQUESTS, entrance_rules, guard_rules, unbound_rules
from policies.compiler.common.refusals import CompileError, refuse_helpers, refuse_shared
from policies.compiler.common.requests import allowed, answer_fields, request_fields
from policies.compiler.common.restrictions import HeldAddress, HeldPort
from policies.compiler.common.rule_parts import BASE, ETH_IP, ETH_IPV6, prefix_fields
from policies.compiler.common.services import PORTS, Fields, service_matches
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.stateless.decision_tables import decision_rules
from policies.compiler.stateless.folded_tables import Between, FoldedTables
from policies.compiler.stateless.layouts import SMALL_GUARD, quarantined
from policies.compiler.stateless.metadata import (
    SOURCE,
    TARGET,
    MetadataEnd,
    MetadataLayout,
    written,
)
from policies.compiler.stateless.service_fields import HeaderServices, never_replies
from policies.model import Policy, Restriction
from policies.rules.layout import Category, SmallTable, cookie
from policies.rules.rule import Bits, Field, Output, Rule, RuleAction, match
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX, number_of
from topology.records import Binding

MOST = 200_000  # rules: more than any switch with one table holds
_TRANSIT = 40_000
# Metadata that no switch has: what it would decide is worked out here, so any policy has room.
_BITS = 4_096
_WIDE = MetadataLayout(
    replace(SOURCE, segments=Bits("metadata", SOURCE.segments.low, _BITS)),
    replace(TARGET, segments=Bits("metadata", SOURCE.segments.low + _BITS, _BITS)),
)
# A quarantined host's own band, and below it that of all others: first packets stand above
# what is never a reply, that above replies, and those above what stands against "any other".
_QUARANTINE, _ALL = 30_000, 20_000
_FIRST, _NEVER, _REPLIES, _DENIED, _OTHERS, _SHUT = 500, 400, 300, 200, 100, 50


@dataclass(frozen=True, slots=True)
class _Unit:
    """Addresses in the same segments, on one port: what a packet from or to them matches."""

    segments: frozenset[str]
    version: int
    source: tuple[Fields, ...]
    target: Fields
    port: int
    local: bool
    quarantined: bool = False


def single_rules(
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    now: float,
    restrictions: Sequence[Restriction] = (),
    *,
    port_masks: bool = True,
) -> tuple[Rule, ...]:
    """All rules of one switch, highest priority first.

    ``port_masks``: whether it can match ports under a mask. Raises CompileError
    when there would be more rules than any such switch holds.
    """
    intent_numbers(policy)
    refuse_shared(policy.hosts)
    refuse_helpers(policy.intents)
    places = sorted(set(places_of(bindings)))
    held = list(quarantined(restrictions, now, view, places))
    shut = {number_of(each.address) for _, each in held if isinstance(each, HeldAddress)}
    taken = {(each.switch, each.port) for _, each in held if isinstance(each, HeldPort)}
    shut |= {place.number for place in places if (place.switch, place.port) in taken}
    units = _units(places, membership, view, shut)
    pairs = _Pairs(policy, membership, now)
    rules = chain(
        _control(policy, view, places),
        _quarantine(held, port_masks),
        (Rule(SmallTable.ONLY, _ALL + _NEVER, f, (), BASE) for f in never_replies(port_masks)),
        _transit(places, view),
        _judged(units, pairs, port_masks),
    )
    unique: dict[object, Rule] = {}
    for rule in rules:
        unique.setdefault(rule.key, rule)
        if len(unique) > MOST:
            raise CompileError(
                f"switch {view.switch} would need more than {MOST} rules in its one table; "
                "such a switch suits small networks only"
            )
    return tuple(sorted(unique.values(), key=lambda rule: rule.sort_key))


class _Pairs:
    """What passes between units, as a switch with several tables and wider metadata has it."""

    def __init__(self, policy: Policy, membership: Membership, now: float) -> None:
        together = SegmentOverlaps(membership.spans.values()).together
        self._codes = codes_of(ends_of(policy.intents), together, _WIDE.width)
        rules = decision_rules(policy, together, self._codes, now, True, _WIDE)
        self._tables, self._mode_of = FoldedTables(rules), membership.mode_of
        self._written: dict[tuple[MetadataEnd, frozenset[str]], int] = {}

    def between(self, source: _Unit, target: _Unit, *, emergency: bool = False) -> Between:
        """What passes; with ``emergency`` by the word of that tier alone."""
        metadata = self._identity(_WIDE.source, source) | self._identity(_WIDE.target, target)
        family = ETH_IP if source.version == 4 else ETH_IPV6
        return self._tables.between(metadata, family, emergency=emergency)

    def _identity(self, end: MetadataEnd, unit: _Unit) -> int:
        key = (end, unit.segments)
        if key not in self._written:
            mode = self._mode_of(unit.segments)
            self._written[key], _ = written(end, self._codes, unit.segments, mode)
        return self._written[key]


def _units(
    places: Iterable[AddressOnPort], membership: Membership, view: SwitchView, shut: set[int]
) -> list[_Unit]:
    """Local addresses one by one, remote ones as prefixes by segments and way."""
    units: list[_Unit] = []
    remote: dict[tuple[int, int], tuple[frozenset[str], int, bool]] = {}
    by_number = membership.segments_of_number
    for place in places:
        segments = by_number(place.number)
        point = (place.number, -1)
        if place.switch != view.switch:
            way = view.way(place.switch, place.port)
            if way is not None:
                remote.setdefault(point, (segments, way, place.number in shut))
            continue
        own = (Field("in_port", place.port), Field("eth_src", place.mac))
        source = prefix_fields(point, "src")
        target = prefix_fields(point, "dst")
        version = 6 if place.number & SIX else 4
        fields = ((*own, *source),)
        at = (place.port, True, place.number in shut)
        units.append(_Unit(segments, version, fields, target, *at))
    for key, (segments, way, closed) in Aggregate(remote.items()).kept():
        source = prefix_fields(key, "src")
        target = prefix_fields(key, "dst")
        trunks = tuple((Field("in_port", port), *source) for port in sorted(view.trunks))
        version = 6 if key[0] & SIX else 4
        units.append(_Unit(segments, version, trunks, target, way, False, closed))
    return units


def _control(policy: Policy, view: SwitchView, places: Sequence[AddressOnPort]) -> Iterator[Rule]:
    """Link discovery, and how hosts find one another."""
    infrastructure = policy.defaults.infrastructure
    yield from entrance_rules(SMALL_GUARD, ())
    yield from unbound_rules(SMALL_GUARD)
    ports = sorted({*view.ports, *view.trunks})
    for at, mac, numbers in hosts_on(view.switch, places):
        # What the host may ask and answer goes everywhere: where to would be a rule each.
        out = tuple(Output(port) for port in ports if port != at)
        guard = replace(SMALL_GUARD, admit=out)
        for _, rules in guard_rules(at, mac, numbers, infrastructure, guard):
            yield from (rule for rule in rules if rule.priority == guard.raised + REQUESTS)
    for place in places:
        way = view.way(place.switch, place.port)
        if way is None or not allowed(infrastructure, place.number):
            continue
        answer = (*answer_fields(place.number), Field("eth_dst", place.mac))
        for trunk, fields in product(sorted(view.trunks), (request_fields(place.number), answer)):
            priority = SMALL_GUARD.raised + REQUESTS
            yield _rule(priority, (Field("in_port", trunk), *fields), Output(way))


def _transit(places: Iterable[AddressOnPort], view: SwitchView) -> Iterator[Rule]:
    """Packets between two other switches: judged there, passed on here."""
    if len(view.trunks) < 2:
        return
    ways = {(p.number, -1): view.next_ports.get(p.switch) for p in places}
    known = [(key, way) for key, way in ways.items() if way is not None]
    for key, way in Aggregate(known).kept():
        target = prefix_fields(key, "dst")
        for trunk in sorted(view.trunks - {way}):
            yield _rule(_TRANSIT, (Field("in_port", trunk), *target), Output(way))


def _judged(units: Sequence[_Unit], pairs: _Pairs, masks: bool) -> Iterator[Rule]:
    for source, target in product(units, units):
        if source.version != target.version or not (source.local or target.local):
            continue
        if source is target and source.local:
            continue
        between = pairs.between(source, target)
        always = pairs.between(source, target, emergency=True)
        for own in source.source:
            ends = (*own, *_without_family(target.target))
            yield from _pair(ends, target.port, between, _ALL, masks)
            if source.quarantined or target.quarantined:
                yield from _pair(ends, target.port, always, _QUARANTINE, masks)


def _pair(ends: Fields, port: int, between: Between, band: int, masks: bool) -> Iterator[Rule]:
    """What passes from one unit to another, out of a port."""
    out = (Output(port),)
    table = SmallTable.ONLY
    if between.everything:
        yield Rule(table, band + _FIRST, match(*ends), out, cookie(Category.DEFAULT))
        return
    for place, reply, some in (
        (_FIRST, False, between.first),
        (_REPLIES, True, between.replies),
    ):
        for each in some:
            layout = HeaderServices(reply and each.service.proto in PORTS, masks)
            for fields in service_matches([each.service], layout):
                matched = match(*ends, *_without_family(fields))
                yield Rule(table, band + place, matched, out, each.cause)
    for fields in service_matches(between.denied, HeaderServices(False, masks)):
        yield _rule(band + _DENIED, (*ends, *_without_family(fields)))
    if between.others is not None:
        yield Rule(table, band + _OTHERS, match(*ends), out, between.others)


def _quarantine(
    held: Iterable[tuple[Fields, HeldAddress | HeldPort]], masks: bool
) -> Iterator[Rule]:
    """Nothing passes from or to these but what stands above; the switch ends it."""
    for own, each in held:
        yield Rule(SmallTable.ONLY, _QUARANTINE + _SHUT, own, (), each.cause, each.timeout)
        for fields in never_replies(masks):
            if own[0] in fields:
                both = match(*own, *_without_family(fields))
                priority = _QUARANTINE + _NEVER
                yield Rule(SmallTable.ONLY, priority, both, (), each.cause, each.timeout)


def _without_family(fields: Fields) -> Fields:
    return tuple(field for field in fields if field.name != "eth_type")


def _rule(priority: int, fields: Iterable[Field], *actions: RuleAction) -> Rule:
    return Rule(SmallTable.ONLY, priority, match(*fields), actions, BASE)
