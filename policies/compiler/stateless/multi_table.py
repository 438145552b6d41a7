"""Rules for switches with several tables but without connection tracking: plain OpenFlow 1.3.

A packet passes when the policy allows it as the first of a connection, or
allows the connection that it would be the reply of. Both are looked up one
after the other, each in tables of its own, so that a deny of the one does not
take the other away. What plainly asks (an ICMP echo request, a stream to a port
below 1,024) is never taken for a reply. Nothing here needs more than matches, metadata and output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from policies.compiler.common.aggregate import Aggregate
from policies.compiler.common.bindings import hosts_on, places_of
from policies.compiler.common.identity_codes import Codes, codes_of, ends_of
from policies.compiler.common.intent_rules import intent_numbers
from policies.compiler.common.overlaps import SegmentOverlaps
from policies.compiler.common.port_guard import (
    ADVERTISEMENT,
    SOLICITATION,
    entrance_rules,
    guard_rules,
    unbound_rules,
)
from policies.compiler.common.refusals import refuse_helpers, refuse_shared
from policies.compiler.common.requests import allowed, owner_rule, request_rules
from policies.compiler.common.routers import (
    bound_prefixes,
    elsewhere_rule,
    overlap,
    route_rules,
    routers_of,
)
from policies.compiler.common.rule_parts import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    neighbour_fields,
    prefix_fields,
    prefix_length,
)
from policies.compiler.common.services import Fields
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.stateless.decision_tables import decision_rules
from policies.compiler.stateless.layouts import (
    STATELESS_GUARD,
    STATELESS_REQUESTS,
    quarantined,
    stateless_rule,
)
from policies.compiler.stateless.metadata import (
    PLAIN,
    SOURCE,
    TARGET,
    MetadataEnd,
    has_bits,
    written,
)
from policies.model import Infrastructure, Mode, Policy, Restriction
from policies.rules import layout
from policies.rules.layout import Category, StatelessTable, cookie, name_number
from policies.rules.rule import (
    Field,
    Goto,
    Output,
    Rule,
    RuleKey,
    WriteMetadata,
    match,
)
from policies.semantics.membership import Membership
from topology.records import Binding

_MULTICAST = Field("eth_dst", 1 << 40, 1 << 40)


def stateless_rules(
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    now: float,
    restrictions: Sequence[Restriction] = (),
    *,
    port_masks: bool = True,
) -> tuple[Rule, ...]:
    """All rules of one switch, by table and then priority, highest first.

    The switch must be told to drop IP fragments after the first. ``port_masks``:
    whether it can match ports under a mask. Raises CompileError for a policy
    that the metadata cannot hold.
    """
    intent_numbers(policy)
    refuse_shared(policy.hosts)
    refuse_helpers(policy.intents)
    together = SegmentOverlaps(membership.spans.values()).together
    codes = codes_of(ends_of(policy.intents), together, PLAIN.width)
    rules = chain(
        _entrance(view),
        _hosts(view, bindings, policy.defaults.infrastructure),
        _routers(policy, view, bindings),
        _identities(policy, membership, codes),
        decision_rules(policy, together, codes, now, port_masks),
        _restrictions(restrictions, now, view, bindings),
    )
    unique: dict[RuleKey, Rule] = {}
    for rule in rules:
        unique.setdefault(rule.key, rule)  # of two owners of an address the first, as everywhere
    return tuple(sorted(unique.values(), key=lambda rule: rule.sort_key))


def _entrance(view: SwitchView) -> Iterator[Rule]:
    """What comes in from where, and what never goes on."""
    yield from entrance_rules(STATELESS_GUARD, view.trunks)
    yield from unbound_rules(STATELESS_GUARD)
    locality = StatelessTable.LOCALITY
    yield stateless_rule(locality, 300, (Field("eth_type", ETH_ARP),), Goto(StatelessTable.ARP))
    for kind in (SOLICITATION, ADVERTISEMENT):
        yield stateless_rule(locality, 300, neighbour_fields(kind), Goto(StatelessTable.ND))
    yield stateless_rule(locality, 200, (_MULTICAST,))
    for family in (ETH_IP, ETH_IPV6):
        edge = (Field("eth_type", family), has_bits(layout.PLAIN_FROM_EDGE))
        yield stateless_rule(locality, 90, edge, Goto(StatelessTable.SOURCE))
    yield stateless_rule(locality, 80, (has_bits(layout.PLAIN_FROM_EDGE),))  # neither IP nor ARP
    yield stateless_rule(locality, 0, (), Goto(StatelessTable.FORWARD))


def _hosts(
    view: SwitchView, bindings: Sequence[Binding], infrastructure: Infrastructure
) -> Iterator[Rule]:
    """What hosts may send, and the way to them."""
    places = sorted(set(places_of(bindings)))
    for at, mac, numbers in hosts_on(view.switch, places):
        for _, rules in guard_rules(at, mac, numbers, infrastructure, STATELESS_GUARD):
            yield from rules
    known: set[int] = set()
    for place in places:
        way = view.way(place.switch, place.port)
        if way is None:
            continue
        here, out = Field("eth_dst", place.mac), (Output(way),)
        if place.mac not in known:
            known.add(place.mac)
            yield Rule(StatelessTable.FORWARD, 100, (here,), out, cookie(Category.FORWARD))
            for family in (ETH_IP, ETH_IPV6) if place.switch == view.switch else ():
                fields = (here, Field("eth_type", family))
                yield stateless_rule(
                    StatelessTable.LOCALITY, 100, fields, Goto(StatelessTable.SOURCE)
                )
        if allowed(infrastructure, place.number):
            yield owner_rule(STATELESS_REQUESTS, place.number, out)
    yield from request_rules(STATELESS_REQUESTS, infrastructure)


def _routers(policy: Policy, view: SwitchView, bindings: Sequence[Binding]) -> Iterator[Rule]:
    """What routers may send from the prefixes behind them."""
    here = [each for each in routers_of(policy.hosts, bindings) if each.switch == view.switch]
    for router in here:
        yield from route_rules(router, STATELESS_GUARD)
    lent = [route for router in here if not router.routed for route in router.routes]
    for key, _ in bound_prefixes(bindings).kept() if lent else ():
        if any(overlap(key, route) for route in lent):
            yield elsewhere_rule(key, STATELESS_GUARD)


def _identities(policy: Policy, membership: Membership, codes: Codes) -> Iterator[Rule]:
    prefixes = sorted(Aggregate(membership.spans.items()).kept())
    for end, table, side in (
        (SOURCE, StatelessTable.SOURCE, "src"),
        (TARGET, StatelessTable.TARGET, "dst"),
    ):
        following = StatelessTable(table + 1)
        nobody = frozenset[str]()
        yield _identity(table, 0, (), end, nobody, policy.defaults.mode, codes, following)
        for key, segments in prefixes:
            fields, priority = prefix_fields(key, side), 100 + prefix_length(key)
            mode = membership.mode_of(segments)
            yield _identity(table, priority, fields, end, segments, mode, codes, following)


def _identity(
    table: StatelessTable,
    priority: int,
    fields: Fields,
    end: MetadataEnd,
    segments: frozenset[str],
    mode: Mode,
    codes: Codes,
    following: StatelessTable,
) -> Rule:
    actions = (WriteMetadata(*written(end, codes, segments, mode)), Goto(following))
    number = name_number(",".join(sorted(segments))) if segments else 0
    return Rule(table, priority, match(*fields), actions, cookie(Category.IDENTITY, number))


def _restrictions(
    restrictions: Sequence[Restriction], now: float, view: SwitchView, bindings: Sequence[Binding]
) -> Iterator[Rule]:
    """Quarantined ports and addresses; the switch itself ends it."""
    for fields, held in quarantined(restrictions, now, view, places_of(bindings)):
        yield Rule(StatelessTable.ADAPTIVE, 100, fields, (), held.cause, held.timeout)
        # What the emergency tier denies is its own, and may be watched only.
        for denied in (layout.STATELESS_DENIED, layout.PLAIN_REPLY_DENIED):
            priority = 201 if denied is layout.STATELESS_DENIED else 200
            matched, on = match(*fields, has_bits(denied)), (Goto(StatelessTable.MODE),)
            yield Rule(StatelessTable.ADAPTIVE, priority, matched, on, held.cause, held.timeout)
