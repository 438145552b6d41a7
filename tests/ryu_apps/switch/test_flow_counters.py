"""What intents and counted connections have carried, read off a switch."""

from __future__ import annotations

import struct

from policies.feed_block import FeedBlock
from policies.model import Mode
from policies.rules.layout import Category, RuleTable, cookie, name_number
from ryu_apps.control_requests import traffic_of
from ryu_apps.core import MULTIPART
from ryu_apps.enforcement.decision_state import DecisionState
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import match_bytes
from ryu_apps.switch.flow_counters import Carried, SwitchCounters
from ryu_apps.switch.transactions import Transactions
from tests.support.controller_rig import HOLD, POLICY, Rig

INTENT = POLICY.intents[0].name
WEB = cookie(Category.INTENT, name_number(INTENT))


def read(rig: Rig) -> SwitchCounters:
    rig.now += 1.0
    rig.carry_out(rig.core.read_counters())
    return rig.core.sessions[1].flow_counters


def held(rig: Rig) -> DecisionState:
    return rig.core.desired_state.decision_state


def test_counters_are_added_up_by_intent() -> None:
    rig = Rig()
    switch = rig.connect()
    rules = sum(found == WEB for found, _, _ in switch.rules.values())
    assert rules > 0
    switch.carried = {WEB: (7, 900), cookie(Category.DEFAULT): (2, 120)}
    for number in range(3):
        key = (RuleTable.COUNT, 100, match_bytes((struct.pack("!IH", 0x80001C02, number),)))
        switch.rules[key] = (cookie(Category.COUNT), 0, b"")
    switch.carried[cookie(Category.COUNT)] = (5, 400)
    tally = read(rig).tally
    assert tally.intents[name_number(INTENT)] == Carried(rules, 7 * rules, 900 * rules)
    assert tally.default == Carried(1, 2, 120)
    assert tally.connections == Carried(3, 15, 1200)
    data = traffic_of(rig.core.sessions[1], rig.core.intent_names(), rig.now, held(rig))
    assert data["intents"][INTENT] == {"packets": 7 * rules, "bytes": 900 * rules}
    assert data["connections"] == {"counted": 3, "packets": 15, "bytes": 1200}


def test_an_intent_that_nothing_has_used_is_named_all_the_same() -> None:
    rig = Rig()
    rig.connect()
    read(rig)
    data = traffic_of(rig.core.sessions[1], rig.core.intent_names(), rig.now, held(rig))
    assert set(data["intents"]) == {intent.name for intent in POLICY.intents}
    assert data["intents"][INTENT] == {"packets": 0, "bytes": 0}


def test_half_an_answer_changes_nothing_and_an_old_one_is_not_taken() -> None:
    transactions = Transactions()
    counters = SwitchCounters(transactions)
    (xid,) = struct.unpack_from("!I", counters.ask(), 4)
    entry = struct.pack("!HBxIIHHHHxxxxQQQHHI", 56, 0, 0, 0, 0, 0, 0, 0, WEB, 1, 60, 1, 4, 0)

    def answer(more: int) -> bytes:
        return messages.message(MULTIPART, xid, struct.pack("!HHxxxx", 1, more) + entry)

    counters.take(answer(1), 5.0)
    assert counters.at is None and not counters.tally.intents
    assert transactions.route(xid) is counters
    counters.take(answer(0), 6.0)
    assert counters.at == 6.0
    assert counters.tally.intents[name_number(INTENT)] == Carried(2, 2, 120)
    assert transactions.route(xid) is None, "answered already"
    counters.ask()
    assert transactions.route(xid) is None, "the answer to an earlier request"


def test_a_switch_that_does_not_answer_is_not_reported_to_carry_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    read(rig)
    asked = rig.now
    switch.unanswered.add(messages.MULTIPART_FLOW)
    rig.now += 1.0
    rig.carry_out(rig.core.read_counters())
    data = traffic_of(rig.core.sessions[1], rig.core.intent_names(), asked + 1.0, held(rig))
    assert data == {"switch": 1, "failure": "no answer in time"}


def test_decisions_and_feeds_are_counted_by_name() -> None:
    rig = Rig()
    held(rig).restore([HOLD], [FeedBlock("drop", Mode.ENFORCE, ((0, -1),))])
    switch = rig.connect()
    decision = cookie(Category.DECISION, HOLD.number)
    rules = sum(found == decision for found, _, _ in switch.rules.values())
    switch.carried = {
        decision: (3, 300), cookie(Category.FEED, name_number("drop")): (4, 400),
        cookie(Category.FEED): (9, 900),
    }  # fmt: skip
    read(rig)
    data = traffic_of(rig.core.sessions[1], rig.core.intent_names(), rig.now, held(rig))
    assert data["decisions"] == {HOLD.id: {"packets": 3 * rules, "bytes": 300 * rules}}
    assert data["feeds"] == {"drop": {"packets": 4, "bytes": 400}}, "look-ups are no hits"
