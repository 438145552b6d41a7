"""One meaning, two implementations: compiled rules, run in software, against the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import CompileError, SwitchView, compile_switch, declared_bindings
from policies.compiler.common.identity_codes import Ends, assign_codes
from policies.compiler.common.services import port_masks
from policies.compiler.probe_packets import ESTABLISHED_REPLY, NEW, binding_of, packet_of
from policies.feed_block import FeedBlock
from policies.model import (
    ANY,
    TCP,
    Action,
    Connection,
    Envelope,
    Host,
    Intent,
    Mode,
    Policy,
    Restriction,
    Selector,
    Service,
    Tier,
    Verdict,
)
from policies.rules import layout
from policies.rules.conntrack import CT_EST, CT_INV, CT_REL, CT_TRK
from policies.rules.layout import Category, Reason, RuleTable, category_of, name_number
from policies.rules.ovs_text import ovs_text
from policies.rules.rule import Rule, UseMeter
from policies.rules.simulator import Interpreter, Passage
from policies.semantics.feed_listings import Listings
from policies.semantics.membership import Membership, Region
from policies.semantics.prefixes import fewest, prefix_of
from policies.semantics.verdict import Judge
from policies.verify.boxes import TIERS
from policies.verify.fragments import fragment_of
from tests.support.random_policies import (
    HOSTS,
    NOW,
    connections,
    feed_blocks,
    policies,
    restrictions,
)
from tests.support.shop import FABRIC, READ, shop
from topology.addresses import link_local


def compiled(
    policy: Policy,
    restrictions: tuple[Restriction, ...] = (),
    feeds: tuple[FeedBlock, ...] = (),
) -> dict[int, Interpreter]:
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    switches = {}
    for switch in (1, 2):
        ports = tuple(each.port for each in bindings if each.switch == switch)
        view = SwitchView(
            switch, tuple(sorted(set(ports))), FABRIC.trunks(switch), FABRIC.next_ports(switch)
        )
        rules = compile_switch(policy, membership, view, bindings, NOW, restrictions, feeds)
        switches[switch] = Interpreter(rules)
    return switches


def travel(
    switches: dict[int, Interpreter],
    policy: Policy,
    connection: Connection,
    *,
    reply: bool = False,
    piece: Literal["whole", "first", "later"] = "whole",
) -> tuple[bool, Passage]:
    """Whether a packet, or a fragment of one, arrives at the other end, and its passage at the
    first switch."""
    bindings = declared_bindings(policy)
    sender = binding_of(str(connection.src), bindings)
    receiver = binding_of(str(connection.dst), bindings)
    assert sender is not None and receiver is not None
    start, goal = (receiver, sender) if reply else (sender, receiver)
    state = ESTABLISHED_REPLY if reply else NEW
    first = None
    at, port = start.switch, start.port
    while True:
        packet = packet_of(connection, sender, receiver, in_port=port, reply=reply)
        if piece != "whole":
            packet = fragment_of(packet, piece == "later")
        passage = switches[at].run(packet, state)
        first = first or passage
        if not passage.outputs:
            return False, first
        (out,) = passage.outputs
        if (at, out) == (goal.switch, goal.port):
            return True, first
        assert out == 9, "only ever towards the other switch"
        at, port = 3 - at, 9


def outcome_of(passage: Passage) -> int:
    return passage.fields.get("reg0", 0) >> layout.OUTCOME.low & 7


def check(
    policy: Policy,
    connection: Connection,
    restrictions: tuple[Restriction, ...],
    feeds: tuple[FeedBlock, ...] = (),
) -> Verdict:
    switches = compiled(policy, restrictions, feeds)
    judge = Judge(policy, Membership(policy, declared_bindings(policy)))
    wanted = judge.verdict(connection, NOW, restrictions, Listings(feeds))
    arrived, passage = travel(switches, policy, connection)
    assert arrived == wanted.forwarded, [ovs_text(rule) for rule in passage.rules]
    number = 0 if wanted.intent is None else name_number(wanted.intent)
    assert passage.fields.get("reg1", 0) == number
    words = {Mode.ENFORCE: 4, Mode.AUDIT: 2, Mode.OBSERVE: 3}
    expected = 1 if wanted.action is Action.ALLOW else words[wanted.mode]
    if wanted.tier is Tier.ADAPTIVE:
        expected = 2 if wanted.forwarded else 4
    assert outcome_of(passage) == expected
    back, returned = travel(switches, policy, connection, reply=True)
    assert back == wanted.forwarded
    for each in (passage, returned):
        assert bool(each.fields.get("reg0", 0) & 1 << 15) == (wanted.tier is Tier.ADAPTIVE)
        if wanted.decision is not None:
            assert each.fields["reg3"] == wanted.decision
        if wanted.feed is not None:
            assert each.fields.get("reg3", 0) == 0
            assert each.fields["reg4"] == name_number(wanted.feed)
    for reply, whole in ((False, passage), (True, returned)):
        came, first = travel(switches, policy, connection, reply=reply, piece="first")
        assert came == wanted.forwarded
        assert [rule for rule in first.rules if rule.table in TIERS] == [
            rule for rule in whole.rules if rule.table in TIERS
        ]
        assert (outcome_of(first), first.copies) == (expected, whole.copies)
        assert (first.committed, first.learned) == (whole.committed, whole.learned)
        if connection.proto in (6, 17, 132, 1 if connection.src.version == 4 else 58):
            spoilt = bool(first.fields["ct_state"] & CT_INV)
            assert spoilt != came, "what waits for a denied one is let go"
        came, later = travel(switches, policy, connection, reply=reply, piece="later")
        assert came and not later.copies and not later.learned
        assert not [rule for rule in later.rules if rule.table in TIERS]
    return wanted


def metered(passage: Passage) -> list[int]:
    """The meters of limits that a packet goes through."""
    actions = (action for rule in passage.rules for action in rule.actions)
    numbers = [action.number for action in actions if isinstance(action, UseMeter)]
    return [number for number in numbers if not layout.is_connection_meter(number)]


@settings(max_examples=150, deadline=None)
@given(policies(), connections())
def test_rules_say_what_the_verdict_says(policy: Policy, connection: Connection) -> None:
    check(policy, connection, ())


@settings(max_examples=60, deadline=None)
@given(policies(), connections(), st.sampled_from(HOSTS))
def test_quarantine_stands_between_emergency_and_the_rest(
    policy: Policy, connection: Connection, suspect: Host
) -> None:
    check(policy, connection, (Restriction(7, "quarantine", suspect.ips, NOW + 60),))


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(policies(), connections(), restrictions(), feed_blocks())
def test_decisions_and_feeds_stand_between_emergency_and_the_rest(
    policy: Policy,
    connection: Connection,
    held: tuple[Restriction, ...],
    feeds: tuple[FeedBlock, ...],
) -> None:
    check(policy, connection, held, feeds)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(policies(), connections(), restrictions())
def test_a_limit_meters_what_the_host_itself_sends_and_decides_nothing(
    policy: Policy, connection: Connection, held: tuple[Restriction, ...]
) -> None:
    """Above it only what is denied, or what tier emergency decides, is not metered."""
    switches = compiled(policy, held)
    verdict = check(policy, connection, held)
    limits = [each for each in held if each.action == "rate_limit" and each.expires > NOW]
    places = {a: (host.switch, host.port) for host in HOSTS for a in host.ips}
    for reply, sender in ((False, connection.src), (True, connection.dst)):
        _, passage = travel(switches, policy, connection, reply=reply)
        by_port = [each for each in limits if places[sender] in each.ports]
        mine = by_port or [each for each in limits if sender in each.addresses]
        skipped = verdict.tier is Tier.EMERGENCY or verdict.decision is not None
        longest = max(mine, key=lambda each: (each.expires, each.number), default=None)
        wanted = [] if skipped or longest is None else [layout.limit_meter(longest.number)]
        assert metered(passage) == wanted


@pytest.mark.threat("host-is-its-port")
@pytest.mark.parametrize("action", ["quarantine", "isolate", "rate_limit"])
def test_a_port_is_held_with_any_address_on_it_and_no_other(action: str) -> None:
    """Rules that know the port alone; the verdict knows who is there."""
    everything = Intent("all", (ANY,), (ANY,), (Service(),))
    glass = Intent("glass", (ANY,), (ANY,), (Service(TCP, 22, 22),), tier=Tier.EMERGENCY)
    policy = shop(everything, glass)
    web, db, other = HOSTS[3], HOSTS[1], HOSTS[0]
    held = (Restriction(5, action, (), NOW + 60, ((web.switch or 0, web.port or 0),)),)
    for version in (0, 1):
        here, near, far = (host.ips[version] for host in (web, db, other))
        blocked = {"quarantine": (True, True), "isolate": (True, False), "rate_limit": (False,) * 2}
        for start, goal, stops in zip((here, far), (far, here), blocked[action], strict=True):
            assert check(policy, Connection(start, goal, TCP, 23), held).forwarded is not stops
            assert check(policy, Connection(start, goal, TCP, 22), held).tier is Tier.EMERGENCY
        assert check(policy, Connection(near, far, TCP, 23), held).decision is None
    asked = Connection(web.ips[0], other.ips[0], TCP, 23)
    _, passage = travel(compiled(policy, held), policy, asked)
    assert bool(metered(passage)) is (action == "rate_limit")


def test_isolated_hosts_answer_and_reach_the_protected_alone() -> None:
    web, db, other = HOSTS[3], HOSTS[1], HOSTS[0]
    everything = Intent("all", (ANY,), (ANY,), (Service(),))
    policy = replace(shop(everything), envelope=Envelope(protected=(Selector(host=db.name),)))
    held = (Restriction(5, "isolate", web.ips, NOW + 60),)
    for version in (0, 1):
        start, protected, far = (host.ips[version] for host in (web, db, other))
        assert check(policy, Connection(start, far, TCP, 22), held).decision == 5
        assert check(policy, Connection(start, protected, TCP, 22), held).forwarded
        assert check(policy, Connection(far, start, TCP, 22), held).forwarded


def test_what_feeds_record_never_opens_and_never_hides_what_policy_denies() -> None:
    policy = shop(READ)
    listed = fewest([prefix_of(ip_network("10.0.0.0/8"))])
    feeds = (FeedBlock("seen", Mode.AUDIT, listed),)
    allowed, denied = (Connection(HOSTS[0].ips[0], HOSTS[1].ips[0], TCP, port) for port in (22, 23))
    verdict = check(policy, allowed, (), feeds)
    assert (verdict.forwarded, verdict.action, verdict.feed) == (True, Action.DENY, "seen")
    assert verdict.intent == "read"
    verdict = check(policy, denied, (), feeds)
    assert (verdict.forwarded, verdict.tier, verdict.feed) == (False, Tier.DEFAULT, None)


def rules_at(policy: Policy, switch: int = 1, now: float = NOW) -> tuple[Rule, ...]:
    bindings = declared_bindings(policy)
    view = SwitchView(switch, (2, 4, 6), FABRIC.trunks(switch), FABRIC.next_ports(switch))
    return compile_switch(policy, Membership(policy, bindings), view, bindings, now)


def test_same_policy_same_bytes() -> None:
    first, second = ("\n".join(ovs_text(rule) for rule in rules_at(shop(READ))) for _ in range(2))
    assert first == second


def test_one_more_intent_is_only_its_own_rules() -> None:
    more = Intent("also", ("db",), ("web",), (Service(TCP, 443, 443), Service(17, 53, 53)))
    before, after = set(rules_at(shop(READ))), set(rules_at(shop(READ, more)))
    assert not before - after
    new = after - before
    assert len(new) == 2
    assert {rule.cookie for rule in new} == {layout.cookie(Category.INTENT, name_number("also"))}


def test_overlapping_intents_count_for_the_first_name() -> None:
    wide = Intent("a-wide", (ANY,), (ANY,), (Service(TCP),))
    verdict = check(shop(READ, wide), Connection(HOSTS[0].ips[0], HOSTS[1].ips[0], TCP, 22), ())
    assert verdict.intent == "a-wide"


def test_an_intent_near_its_end_ends_on_the_switch() -> None:
    soon = Intent(
        "soon",
        ("web",),
        ("db",),
        (Service(TCP, 80, 80),),
        expires=datetime.fromtimestamp(NOW + 30, UTC),
    )
    cookie = layout.cookie(Category.INTENT, name_number("soon"))
    assert [r.hard_timeout for r in rules_at(shop(soon)) if r.cookie == cookie] == [30]
    assert not [r for r in rules_at(shop(soon), now=NOW + 31) if r.cookie == cookie]


def test_spoofed_sources_do_not_leave_the_guard() -> None:
    switches = compiled(shop(Intent("all", (ANY,), (ANY,), (Service(),))))
    bindings = declared_bindings(shop())
    sender, victim = (binding_of(str(HOSTS[index].ips[0]), bindings) for index in (1, 3))
    receiver = binding_of(str(HOSTS[5].ips[0]), bindings)
    assert sender is not None and victim is not None and receiver is not None
    connection = Connection(HOSTS[3].ips[0], HOSTS[5].ips[0], TCP, 22)
    packet = packet_of(connection, victim, receiver, in_port=sender.port)
    passage = switches[1].run(packet, NEW)
    assert passage.outputs == []
    assert passage.rules[0].table == RuleTable.GUARD
    assert passage.fields["reg0"] >> layout.REASON.low & 15 == layout.Reason.GUARD


def test_quarantine_is_two_rules_per_address_and_leaves_no_other_trace() -> None:
    policy = shop(READ)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    view = SwitchView(1, (2, 4, 6), FABRIC.trunks(1), FABRIC.next_ports(1))
    plain = set(compile_switch(policy, membership, view, bindings, NOW))
    held = Restriction(9, "quarantine", HOSTS[0].ips, NOW + 60)
    marked = set(compile_switch(policy, membership, view, bindings, NOW, [held]))
    assert not plain - marked
    new = marked - plain
    assert len(new) == 2 * len(HOSTS[0].ips)
    assert all(category_of(rule.cookie) == Category.DECISION for rule in new)
    assert {rule.hard_timeout for rule in new} == {60}


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_port_masks_cover_exactly_the_range(low: int, high: int) -> None:
    masks = list(port_masks(low, high))
    covered = [value + each for value, mask in masks for each in range(0x10000 - mask)]
    assert covered == list(range(low, high + 1))
    assert len(masks) <= 30


def test_overlapping_segments_get_different_fields() -> None:
    region = Region(ip_network("10.0.0.1/32"), frozenset({"a", "b", "c"}))
    codes = assign_codes(Ends(frozenset("abc")), [region])
    assert len({code.mask for code in codes.single.values()}) == 3


def test_an_address_in_too_many_segments_is_refused_with_a_reason() -> None:
    names = frozenset(f"s{index}" for index in range(9))
    with pytest.raises(CompileError, match="overlaps too many others"):
        assign_codes(Ends(names), [Region(ip_network("10.0.0.1/32"), names)])


def test_link_local_addresses_follow_the_mac() -> None:
    assert str(link_local("00:00:00:00:01:11")) == "fe80::200:ff:fe00:111"


def test_a_switch_that_can_track_no_more_denies_what_is_new_and_says_so() -> None:
    policy = shop(Intent("all", ("any",), ("any",), (Service(None),)))
    asked = Connection(HOSTS[3].ips[0], HOSTS[1].ips[0], TCP, 22)
    bindings = declared_bindings(policy)
    view = SwitchView(1, (2, 4, 6), FABRIC.trunks(1), FABRIC.next_ports(1))
    membership = Membership(policy, bindings)
    rules = compile_switch(policy, membership, view, bindings, NOW)
    ends = [binding_of(str(ip), bindings) for ip in (asked.src, asked.dst)]
    assert ends[0] is not None and ends[1] is not None
    packet = packet_of(asked, ends[0], ends[1], in_port=ends[0].port)
    for full in (False, True):
        switch = Interpreter(rules, full=full)
        for whole in (packet, fragment_of(packet, False), fragment_of(packet, True)):
            passage = switch.run(whole, NEW)
            assert bool(passage.outputs) != full and passage.committed != full
            reason = passage.fields["reg0"] >> layout.REASON.low & 15
            assert (reason == Reason.FULL) == full
            assert switch.run(whole, CT_TRK | CT_EST).outputs, "what is known goes on"


def test_a_first_fragment_that_hides_its_port_is_dropped() -> None:
    """It might be an offer of addresses, which the guard could not see."""
    policy = shop(Intent("all", ("any",), ("any",), (Service(None),)))
    switches = compiled(policy)
    one, other = (next(ip for ip in host.ips if ip.version == 6) for host in (HOSTS[3], HOSTS[1]))
    for proto in (6, 17, 132):
        for port in (0, 1):
            asked = Connection(one, other, proto, port)
            assert travel(switches, policy, asked, piece="first")[0] == bool(port)


@pytest.mark.parametrize(
    ("asked", "source", "target"),
    [
        (Service(1, 8, 8), 8, 0),  # a query's type is tracked as its source port
        (Service(17, 53, 53), 40_000, 53),
    ],
)
def test_an_error_about_an_allowed_connection_passes(
    asked: Service, source: int, target: int
) -> None:
    ask = Intent("ask", ("web",), ("db",), (asked,))
    assert asked.proto is not None
    web, db = HOSTS[3], HOSTS[1]
    bindings = declared_bindings(shop(ask))
    asker, asking = (binding_of(str(host.ips[0]), bindings) for host in (web, db))
    assert asker is not None and asking is not None and asker.switch == asking.switch
    error = packet_of(Connection(db.ips[0], web.ips[0], 1, 3), asking, asker, in_port=asking.port)
    error |= {"ct_nw_src": int(web.ips[0]), "ct_nw_dst": int(db.ips[0])}
    error |= {"ct_nw_proto": asked.proto, "ct_tp_src": source, "ct_tp_dst": target}
    for intents, arrives in (((ask,), True), ((), False)):
        passage = compiled(shop(*intents))[asking.switch].run(error, CT_TRK | CT_REL)
        assert passage.outputs == ([asker.port] if arrives else [])
