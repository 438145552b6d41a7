"""Machine decisions and feeds on a switch in software: each action, and back again, exactly."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from msgspec import structs

from policies.feed_block import FeedBlock
from policies.model import Envelope, Mode
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, category_of, cookie, limit_meter, name_number
from policies.semantics.prefixes import fewest, prefix_of
from response.decision import Decision, InstalledRule
from response.feed_listing import ListFeed
from response.ipc.messages import Enforce, Release, RulesConfirmed, SwitchChanged
from tests.support.controller_rig import HOLD, POLICY, Rig
from tests.support.fake_switch import FakeSwitch

LIMITED = replace(POLICY, envelope=Envelope(rate_limit=40))


def timed(switch: FakeSwitch) -> dict[tuple[int, int], int]:
    """The hard timeouts of all decisions' rules, by table and decision."""
    return {
        (table, layout.number_of(value)): hard
        for (table, _, _), (value, hard, _) in switch.rules.items()
        if category_of(value) == Category.DECISION
    }


def decide(rig: Rig, decision: Decision, *, held: bool = True) -> None:
    order = Enforce(decision) if held else Release(decision, "a person")
    rig.carry_out(rig.core.decisions.order(order, rig.now))


def test_every_action_is_confirmed_with_its_tables_and_undone_exactly() -> None:
    rig = Rig(LIMITED)
    switch = rig.connect()
    before, meters = dict(switch.rules), dict(switch.meters)
    marks = (RuleTable.MARK_SOURCE, RuleTable.MARK_TARGET)
    for number, action, tables in (
        (5, "quarantine", marks),
        (6, "isolate", marks[:1]),
        (7, "rate_limit", (RuleTable.ADAPTIVE,)),
    ):
        held = structs.replace(HOLD, id=f"d-{number}", number=number, action=action)
        decide(rig, held)
        rules = {InstalledRule(1, table, cookie(Category.DECISION, number)) for table in tables}
        last = rig.messages(RulesConfirmed)[-1]
        assert (last.decision, set(last.rules), last.removed) == (held.id, rules, False)
        assert set(timed(switch)) == {(table, number) for table in tables}
        decide(rig, held, held=False)
        last = rig.messages(RulesConfirmed)[-1]
        assert (last.decision, set(last.rules), last.removed) == (held.id, rules, True)
        assert (switch.rules, switch.meters) == (before, meters)


def test_a_limit_has_a_meter_of_its_own_that_comes_first_and_goes_last() -> None:
    rig = Rig(LIMITED)
    switch = rig.connect()
    hosts = [
        structs.replace(
            HOLD, id=f"d-{n}", number=n, action="rate_limit", addresses=(f"10.0.0.{n}",)
        )
        for n in range(1, 30)
    ]
    for held in hosts:
        decide(rig, held)
    wanted = {limit_meter(held.number): (40, 4) for held in hosts}
    assert {n: m for n, m in switch.meters.items() if layout.is_limit_meter(n)} == wanted
    decide(rig, hosts[3], held=False)
    assert limit_meter(4) not in switch.meters and limit_meter(5) in switch.meters
    fresh = Rig(LIMITED)
    fresh.now = rig.now
    fresh.core.start((), (), hosts[:2])
    fresh.connect(1, switch)
    assert {n for n in switch.meters if layout.is_limit_meter(n)} == {
        limit_meter(1),
        limit_meter(2),
    }


def test_a_limit_follows_the_policy() -> None:
    rig = Rig(LIMITED)
    switch = rig.connect()
    decide(rig, structs.replace(HOLD, action="rate_limit"))
    assert switch.meters[limit_meter(5)] == (40, 4)
    faster = replace(LIMITED, envelope=Envelope(rate_limit=500))
    rig.carry_out(rig.core.apply_policy(faster, (), rig.now))
    assert switch.meters[limit_meter(5)] == (500, 50)


def test_escalation_and_the_way_back() -> None:
    """One decision that changes its action, and one beside another of the same host."""
    rig = Rig(LIMITED)
    switch = rig.connect()
    before = dict(switch.rules)
    limited = structs.replace(HOLD, action="rate_limit")
    states = {}
    decide(rig, limited)
    states["rate_limit"] = dict(switch.rules)
    for action in ("isolate", "quarantine", "isolate", "rate_limit"):
        decide(rig, structs.replace(HOLD, action=action))
        assert states.setdefault(action, dict(switch.rules)) == switch.rules
    longer = structs.replace(HOLD, id="d-2", number=6, ttl=600)
    decide(rig, longer)
    assert {number for _, number in timed(switch)} == {5, 6}
    decide(rig, longer, held=False)
    assert switch.rules == states["rate_limit"]
    decide(rig, limited, held=False)
    assert switch.rules == before


def test_of_two_quarantines_the_longer_has_the_rules_and_the_other_gets_them_back() -> None:
    rig = Rig()
    switch = rig.connect()
    decide(rig, HOLD)
    mine = dict(switch.rules)
    longer = structs.replace(HOLD, id="d-2", number=6, ttl=600)
    decide(rig, longer)
    assert {number for _, number in timed(switch)} == {6}
    last = {each.decision: each for each in rig.messages(RulesConfirmed)[-2:]}
    assert last["d-1"].removed and not last["d-2"].removed
    decide(rig, longer, held=False)
    assert switch.rules == mine
    assert rig.messages(RulesConfirmed)[-2].decision == "d-1"


def test_more_time_goes_to_the_switch_and_asking_twice_changes_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    decide(rig, HOLD)
    sent, before = switch.flow_mods, len(rig.messages(RulesConfirmed))
    decide(rig, HOLD)
    assert switch.flow_mods == sent
    assert len(rig.messages(RulesConfirmed)) == before + 1, "confirmed by a barrier all the same"
    rig.now += 10
    decide(rig, structs.replace(HOLD, ttl=600))
    assert set(timed(switch).values()) == {590}
    decide(rig, structs.replace(HOLD, ttl=600), held=False)
    decide(rig, structs.replace(HOLD, ttl=600), held=False)
    assert not timed(switch)


def test_a_switch_that_comes_later_confirms_what_it_holds() -> None:
    rig = Rig()
    rig.connect(1)
    decide(rig, HOLD)
    rig.connect(2)
    assert {rule.switch for rule in rig.messages(RulesConfirmed)[-1].rules} == {2}


def listed(*texts: str, mode: Mode = Mode.ENFORCE, feed: str = "drop") -> ListFeed:
    prefixes = fewest(prefix_of(ip_network(text)) for text in texts)
    return ListFeed.of(FeedBlock(feed, mode, prefixes))


def test_a_feed_is_a_rule_for_each_prefix_and_its_change_only_what_changed() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    many = [f"198.51.{n}.0/24" for n in range(0, 200, 2)] + ["2001:db8::/48"]
    rig.carry_out(rig.core.decisions.order(listed(*many), rig.now))
    own = cookie(Category.FEED, name_number("drop"))
    assert sum(value == own for value, _, _ in switch.rules.values()) == 101
    sent = switch.flow_mods
    rig.carry_out(rig.core.decisions.order(listed(*many), rig.now))
    assert switch.flow_mods == sent
    rig.carry_out(rig.core.decisions.order(listed(*many[5:], "203.0.113.0/24"), rig.now))
    assert switch.flow_mods == sent + 6
    again = Rig()
    again.core.start((), (), (), [listed(*many[5:], "203.0.113.0/24").block])
    again.connect(1, switch)
    assert again.core.sessions[1].counters.flow_mods == 0
    rig.carry_out(rig.core.decisions.order(listed(), rig.now))
    assert switch.rules == before


def test_two_feeds_have_cookies_of_their_own() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.carry_out(rig.core.decisions.order(listed("192.0.2.0/24"), rig.now))
    one = dict(switch.rules)
    rig.carry_out(
        rig.core.decisions.order(listed("192.0.2.0/24", mode=Mode.AUDIT, feed="seen"), rig.now)
    )
    assert len(switch.rules) == len(one) + 1
    rig.carry_out(rig.core.decisions.order(listed(feed="seen"), rig.now))
    assert switch.rules == one


@pytest.mark.thorough
def test_a_long_feed_goes_out_in_parts_and_all_else_goes_on() -> None:
    rig = Rig()
    switch = rig.connect()
    block = FeedBlock("long", Mode.ENFORCE, tuple((0xCB000000 + 2 * n, -1) for n in range(5_000)))
    rig.carry_out(rig.core.decisions.order(ListFeed.of(block), rig.now))

    def rules() -> int:
        return sum(category_of(value) == Category.FEED for value, _, _ in switch.rules.values())

    assert rules() == 2_000
    decide(rig, HOLD)
    assert timed(switch)
    late = rig.connect(2)
    assert rules() < 5_006, "each tick one part"
    for _ in range(3):
        rig.advance(0.05)
    assert rules() == 5_006
    sent = late.flow_mods
    rig.advance(1.0)
    assert late.flow_mods == sent
    assert {key for key in late.rules if key[0] == RuleTable.LISTED} == {
        key for key in switch.rules if key[0] == RuleTable.LISTED
    }


def test_a_plain_switch_confirms_what_it_has_and_says_what_it_cannot() -> None:
    rig = Rig(LIMITED)
    rig.connect(1, FakeSwitch(1, vendor=False))
    decide(rig, HOLD)
    confirmed = rig.messages(RulesConfirmed)[-1]
    session = rig.core.sessions[1]
    there = {
        (key[0], rule.cookie)
        for key, rule in session.installed.items()
        if category_of(rule.cookie) == Category.DECISION
    }
    assert there and {(rule.table, rule.cookie) for rule in confirmed.rules} == there
    decide(rig, HOLD, held=False)
    confirmed = rig.messages(RulesConfirmed)[-1]
    assert confirmed.removed and {(rule.table, rule.cookie) for rule in confirmed.rules} == there
    before = len(rig.messages(RulesConfirmed))
    decide(rig, structs.replace(HOLD, action="rate_limit"))
    assert len(rig.messages(RulesConfirmed)) == before
    assert "cannot rate_limit: d-1" in rig.messages(SwitchChanged)[-1].detail
