"""Rules for switches with one small table.

Every rule says all at once: from which port and address, to which address, for
which service, out of which port. Local hosts are named one by one, since that
is also what binds an address to its port; remote addresses are merged to
prefixes. Packets between two other switches are only passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product

from policies.compiler.common.aggregate import Aggregate
from policies.compiler.common.host_addresses import (
    AddressOnPort,
    hosts_on,
    own_link_local,
    place_of,
)
from policies.compiler.common.intent_rules import MAX_TIMEOUT, intent_numbers
from policies.compiler.common.port_guard import guard_rules
from policies.compiler.common.refusals import CompileError, refuse_shared
from policies.compiler.common.rule_parts import ETH_ARP, ETH_LLDP, neighbour_fields
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.stateless.multi_table import prefix_fields
from policies.compiler.stateless.resolved_pairs import Between, Passing, Resolver
from policies.compiler.stateless.service_matches import Fields, never_replies, service_matches
from policies.model import Action, Policy, Restriction
from policies.rules import layout
from policies.rules.layout import Category, SmallTable, cookie, name_number
from policies.rules.rule import Field, Output, Rule, RuleAction, ToController, UseMeter, match
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX
from topology.records import Binding

MOST = 200_000  # rules: more than any switch with one table holds
_CONTROL, _NEIGHBOURS, _TRANSIT = 60_000, 50_000, 40_000
# A quarantined host's own band, and below it that of all others: first packets stand above
# what is never a reply, that above replies, and those above what stands against "any other".
_QUARANTINE, _ALL = 30_000, 20_000
_FIRST, _NEVER, _REPLIES, _DENIED, _OTHERS, _SHUT = 500, 400, 300, 200, 100, 50
_BASE = cookie(Category.BASE)
_REPORT: tuple[RuleAction, ...] = (UseMeter(layout.PLAIN_METER), ToController())


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
    held = [r for r in restrictions if r.action == "quarantine" and r.expires > now]
    shut = {int(a) | (SIX if a.version == 6 else 0) for r in held for a in r.addresses}
    places = sorted({p for b in bindings for p in (place_of(b), own_link_local(place_of(b)))})
    units = _units(places, membership, view, shut)
    resolver = Resolver(policy, membership, now)
    rules = chain(
        _control(policy, view, places),
        _quarantine(held, now, port_masks),
        (Rule(SmallTable.ONLY, _ALL + _NEVER, f, (), _BASE) for f in never_replies(port_masks)),
        _transit(places, view),
        _judged(units, resolver, port_masks),
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
            way = view.next_ports.get(place.switch)
            if way is not None:
                remote.setdefault(point, (segments, way, place.number in shut))
            continue
        own = (Field("in_port", place.port), Field("eth_src", place.mac))
        source, _ = prefix_fields(point, "src")
        target, _ = prefix_fields(point, "dst")
        version = 6 if place.number & SIX else 4
        fields = ((*own, *source),)
        at = (place.port, True, place.number in shut)
        units.append(_Unit(segments, version, fields, target, *at))
    for key, (segments, way, closed) in Aggregate(remote.items()).kept():
        source, _ = prefix_fields(key, "src")
        target, _ = prefix_fields(key, "dst")
        trunks = tuple((Field("in_port", port), *source) for port in sorted(view.trunks))
        version = 6 if key[0] & SIX else 4
        units.append(_Unit(segments, version, trunks, target, way, False, closed))
    return units


def _control(policy: Policy, view: SwitchView, places: Sequence[AddressOnPort]) -> Iterator[Rule]:
    """Link discovery, and how hosts find one another."""
    infrastructure = policy.defaults.infrastructure
    yield _rule(_CONTROL + 1, (Field("eth_type", ETH_LLDP),), *_REPORT)
    yield _rule(_CONTROL, (Field("eth_dst", 0x0180C2000000, 0xFFFFFFFFFFF0),))
    for kind in (135, 136):  # neighbour discovery passes only by a host's own rule
        yield _rule(_NEIGHBOURS - 1, neighbour_fields(kind), *_REPORT)
    yield _rule(0, (), *_REPORT)
    ports = sorted({*view.ports, *view.trunks})
    for at, mac, numbers in hosts_on(view.switch, places):
        # What the host may ask and answer goes everywhere: where to would be a rule each.
        out = tuple(Output(port) for port in ports if port != at)
        own = guard_rules(at, mac, numbers, infrastructure, out)
        for rule in chain.from_iterable(rules for _, rules in own):
            if any(f.name in ("arp_op", "arp_spa", "icmpv6_type") for f in rule.match):
                only = SmallTable.ONLY
                yield Rule(only, _NEIGHBOURS, rule.match, rule.actions, rule.cookie)
    for place in places:
        local = place.switch == view.switch
        way = place.port if local else view.next_ports.get(place.switch)
        allowed = infrastructure.arp if place.number < SIX else infrastructure.nd
        if way is not None and allowed is Action.ALLOW:
            for trunk, fields in product(sorted(view.trunks), _asked(place)):
                yield _rule(_NEIGHBOURS, (Field("in_port", trunk), *fields), Output(way))


def _asked(place: AddressOnPort) -> Iterator[Fields]:
    """Questions for an address, and answers to the host that has it."""
    if place.number < SIX:
        arp = Field("eth_type", ETH_ARP)
        yield (arp, Field("arp_op", 1), Field("arp_tpa", place.number))
        yield (arp, Field("arp_op", 2), Field("eth_dst", place.mac))
    else:
        yield (*neighbour_fields(135), Field("nd_target", place.number & ~SIX))
        yield (*neighbour_fields(136), Field("eth_dst", place.mac))


def _transit(places: Iterable[AddressOnPort], view: SwitchView) -> Iterator[Rule]:
    """Packets between two other switches: judged there, passed on here."""
    if len(view.trunks) < 2:
        return
    ways = {(p.number, -1): view.next_ports.get(p.switch) for p in places}
    known = [(key, way) for key, way in ways.items() if way is not None]
    for key, way in Aggregate(known).kept():
        target, _ = prefix_fields(key, "dst")
        for trunk in sorted(view.trunks - {way}):
            yield _rule(_TRANSIT, (Field("in_port", trunk), *target), Output(way))


def _judged(units: Sequence[_Unit], resolver: Resolver, masks: bool) -> Iterator[Rule]:
    for source, target in product(units, units):
        if source.version != target.version or not (source.local or target.local):
            continue
        if source is target and source.local:
            continue
        groups = (source.segments, target.segments, source.version)
        between = resolver.between(*groups)
        always = resolver.between(*groups, emergency=True)
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
    for level, reply, some in (
        (_FIRST, False, between.first),
        (_REPLIES, True, between.replies),
    ):
        for each in some:
            for fields in service_matches([each.service], reply=reply, masks=masks):
                matched = match(*ends, *_without_family(fields))
                yield Rule(table, band + level, matched, out, _cause(each))
    for fields in service_matches(between.denied, reply=False, masks=masks):
        yield _rule(band + _DENIED, (*ends, *_without_family(fields)))
    if between.others is not None:
        yield Rule(table, band + _OTHERS, match(*ends), out, _cause(between.others))


def _quarantine(held: Iterable[Restriction], now: float, masks: bool) -> Iterator[Rule]:
    """Nothing passes from or to these addresses but what stands above; the switch ends it."""
    for restriction in held:
        left = max(1, min(MAX_TIMEOUT, round(restriction.expires - now)))
        cause = cookie(Category.DECISION, restriction.number)
        for address, side in product(restriction.addresses, ("src", "dst")):
            number = int(address) | (SIX if address.version == 6 else 0)
            own, _ = prefix_fields((number, -1), side)
            yield Rule(SmallTable.ONLY, _QUARANTINE + _SHUT, match(*own), (), cause, left)
            for fields in never_replies(masks):
                if own[0] in fields:
                    both = match(*own, *_without_family(fields))
                    yield Rule(SmallTable.ONLY, _QUARANTINE + _NEVER, both, (), cause, left)


def _without_family(fields: Fields) -> Fields:
    return tuple(field for field in fields if field.name != "eth_type")


def _cause(passing: Passing) -> int:
    if passing.intent is None:
        return cookie(Category.DEFAULT)
    return cookie(Category.INTENT, name_number(passing.intent))


def _rule(priority: int, fields: Iterable[Field], *actions: RuleAction) -> Rule:
    return Rule(SmallTable.ONLY, priority, match(*fields), actions, _BASE)
