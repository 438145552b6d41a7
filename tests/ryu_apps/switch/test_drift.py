"""What others change on a switch is found, reported and repaired; a failed reading is only that."""

from __future__ import annotations

import struct

import pytest

from policies.rules.layout import Category, RuleTable, category_of, cookie
from response.ipc.messages import Enforce, SwitchChanged
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import match_bytes
from ryu_apps.switch.session import CHECK_EVERY
from ryu_apps.switch.table_reader import TIMEOUT
from tests.support.controller_rig import HOLD, Rig
from tests.support.fake_switch import FakeSwitch

Change = tuple[tuple[int, int, bytes], tuple[int, int, bytes] | None]


def changed(rig: Rig, what: str) -> list[str]:
    return [each.detail for each in rig.messages(SwitchChanged) if each.what == what]


def first(switch: FakeSwitch, category: Category) -> tuple[int, int, bytes]:
    return next(key for key, (c, _, _) in switch.rules.items() if category_of(c) == category)


def removed(switch: FakeSwitch) -> None:
    del switch.rules[first(switch, Category.INTENT)]


def added(switch: FakeSwitch) -> None:
    switch.rules[0, 60_000, match_bytes(())] = (0, 0, b"")


def altered(switch: FakeSwitch) -> None:
    key = first(switch, Category.INTENT)
    value, hard, _ = switch.rules[key]
    switch.rules[key] = (value, hard, struct.pack("!HHBxxx", 1, 8, RuleTable.FORWARD))


def with_another_cookie(switch: FakeSwitch) -> None:
    key = first(switch, Category.BINDING)
    _, hard, actions = switch.rules[key]
    switch.rules[key] = (0, hard, actions)


def timed(switch: FakeSwitch) -> None:
    key = first(switch, Category.INTENT)
    value, _, actions = switch.rules[key]
    switch.rules[key] = (value, 30, actions)


FAULTS = {
    "1 missing, 0 altered, 0 extra": removed,
    "0 missing, 0 altered, 1 extra": added,
    "0 missing, 1 altered, 0 extra": altered,
}


@pytest.mark.parametrize("fault", [removed, added, altered, with_another_cookie, timed])
def test_what_somebody_else_changed_is_repaired_in_time(fault) -> None:  # type: ignore[no-untyped-def]
    rig = Rig()
    switch = rig.connect()
    before, sent = dict(switch.rules), switch.flow_mods
    fault(switch)
    assert switch.rules != before
    rig.advance(CHECK_EVERY)
    rig.advance(CHECK_EVERY)  # what was not due at the first is at the second: 8 s at most
    assert switch.rules == before
    assert switch.flow_mods - sent == 1
    assert len(changed(rig, "drift")) == len(changed(rig, "repaired")) == 1
    rig.advance(CHECK_EVERY)
    assert len(changed(rig, "drift")) == 1


@pytest.mark.parametrize("expected", FAULTS)
def test_a_fault_is_named_by_its_kind(expected: str) -> None:
    rig = Rig()
    switch = rig.connect()
    FAULTS[expected](switch)
    rig.advance(CHECK_EVERY)
    (detail,) = changed(rig, "drift")
    assert expected in detail and "cookie=0x" in detail and "table=" in detail


def test_a_changed_meter_is_put_back() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.meters)
    assert before
    switch.meters[1] = (1, 1)
    rig.advance(CHECK_EVERY)
    assert switch.meters == before
    assert "1 meters changed" in changed(rig, "drift")[0]


def test_a_right_switch_is_left_alone() -> None:
    rig = Rig()
    switch = rig.connect()
    switch.rules[RuleTable.COUNT, 7, match_bytes(())] = (cookie(Category.COUNT), 0, b"")
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    sent = switch.flow_mods
    for _ in range(10):
        rig.advance(CHECK_EVERY)
    assert switch.flow_mods == sent
    assert rig.core.sessions[1].counters.checks == 10
    assert not changed(rig, "drift")


def test_a_rule_taken_away_that_has_a_timer_comes_back_with_the_time_that_remains() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    del switch.rules[first(switch, Category.DECISION)]
    rig.advance(CHECK_EVERY)
    held = sorted(hard for value, hard, _ in switch.rules.values() if category_of(value) == 6)
    assert held == [56, 60]


def test_what_we_change_while_a_reading_is_on_its_way_is_no_drift() -> None:
    rig = Rig()
    switch = rig.connect()
    asked = rig.core.check(rig.now)
    answers = switch.take(asked)
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    for kind, xid, buf in answers:
        rig.carry_out(rig.core.message(1, kind, xid, buf, rig.now))
    checked = rig.core.sessions[1].checked
    assert checked is not None and checked.right, checked
    assert not changed(rig, "drift")


def test_a_thorough_check_compares_with_the_policy_itself() -> None:
    rig = Rig()
    switch = rig.connect()
    key = first(switch, Category.INTENT)
    del switch.rules[key]  # and what the controller believes agrees
    session = rig.core.sessions[1]
    session.installed = {k: r for k, r in session.installed.items() if match_bytes(k[2]) != key[2]}
    rig.advance(CHECK_EVERY)
    assert session.checked is not None and session.checked.right
    rig.carry_out(rig.core.check(rig.now))
    assert key in switch.rules
    assert changed(rig, "drift")[0].startswith("1 missing")


@pytest.mark.parametrize("how", ["unanswered", "unreadable"])
def test_a_failed_reading_is_told_as_such_and_repairs_nothing(how: str) -> None:
    rig = Rig()
    switch = rig.connect()
    sent = switch.flow_mods
    getattr(switch, how).add(messages.MULTIPART_FLOW)
    for _ in range(3):
        rig.advance(CHECK_EVERY)
        rig.advance(TIMEOUT + 1)
    assert switch.flow_mods == sent
    assert not changed(rig, "drift")
    (detail,) = changed(rig, "unread")
    assert "could not be read" in detail
    getattr(switch, how).clear()
    rig.advance(CHECK_EVERY)
    rig.advance(CHECK_EVERY)
    checked = rig.core.sessions[1].checked
    assert checked is not None and checked.right


def test_a_first_reading_that_is_refused_is_tried_again() -> None:
    rig = Rig()
    switch = FakeSwitch(1)
    switch.unreadable.add(messages.MULTIPART_METER_CONFIG)
    rig.connect(1, switch)
    assert changed(rig, "unread") and not switch.rules
    switch.unreadable.clear()
    rig.advance(TIMEOUT)
    rig.advance(1)
    assert switch.rules and changed(rig, "reconciled")
