"""What a switch reports of others' changes is compared and repaired at once, within bounds."""

from __future__ import annotations

import pytest

from policies.rules.layout import RuleTable
from response.ipc.messages import Enforce, SwitchChanged
from ryu_apps.core import MULTIPART
from ryu_apps.openflow import flow_monitor, messages
from ryu_apps.openflow.encode import match_bytes
from ryu_apps.openflow.foreign_changes import LONGEST_PAUSE, PAUSE, REPORTED_AT_ONCE
from ryu_apps.switch.session import CHECK_EVERY
from tests.support.controller_rig import HOLD, Rig
from tests.support.fake_switch import FakeSwitch

FOREIGN = (0, 60_000, match_bytes(()))
pytestmark = pytest.mark.threat("switch-identity")


def report(rig: Rig, event: int = flow_monitor.ADDED, reason: int = 0, table: int = 0) -> None:
    kind, xid, buf = rig.switches[1].changed(table, event, reason)
    rig.carry_out(rig.core.message(1, kind, xid, buf, rig.now))


def checks(rig: Rig) -> int:
    return rig.core.sessions[1].counters.checks


def drifts(rig: Rig) -> list[str]:
    return [each.detail for each in rig.messages(SwitchChanged) if each.what == "drift"]


def test_a_reported_change_is_put_right_at_once() -> None:
    rig = Rig()
    switch = rig.connect()
    assert switch.watched == set(RuleTable) - {RuleTable.COUNT}
    rig.advance(1.0)
    before = dict(switch.rules)
    switch.rules[FOREIGN] = (0, 0, b"")
    report(rig)
    assert switch.rules == before and len(drifts(rig)) == 1
    gone = next(iter(switch.rules))
    del switch.rules[gone]
    rig.advance(PAUSE)
    report(rig, flow_monitor.DELETED, 2)
    assert switch.rules == before and len(drifts(rig)) == 2


def test_what_times_out_and_what_we_change_ourselves_is_not_compared() -> None:
    rig = Rig()
    rig.connect()
    rig.advance(1.0)
    before = checks(rig)
    report(rig, flow_monitor.DELETED, flow_monitor.HARD_TIMEOUT)
    report(rig, flow_monitor.DELETED, flow_monitor.IDLE_TIMEOUT)
    abbreviated = messages.message(
        MULTIPART,
        0,
        b"\xff\xff" + bytes(6) + b"\x4f\x4e\x46\x00\0\0\x07\x4e" + b"\0\x08\0\x03\0\0\0\x58",
    )
    rig.carry_out(rig.core.message(1, MULTIPART, 0, abbreviated, rig.now))
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    rig.advance(PAUSE)
    assert checks(rig) == before


def test_a_change_during_a_comparison_is_compared_after_it() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.advance(1.0)
    answers = switch.take(rig.core.check(rig.now))
    switch.rules[FOREIGN] = (0, 0, b"")
    report(rig)
    for kind, xid, buf in answers:  # as it was before
        rig.carry_out(rig.core.message(1, kind, xid, buf, rig.now))
    assert FOREIGN in switch.rules
    rig.advance(PAUSE)
    assert FOREIGN not in switch.rules


def test_reports_that_go_on_after_a_pause_are_followed_by_a_comparison() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.advance(1.0)
    switch.rules[FOREIGN] = (0, 0, b"")
    buf = messages.message(4, 0, b"\x4f\x4e\x46\x00\0\0\x07\x50")
    rig.carry_out(rig.core.message(1, 4, 0, buf, rig.now))
    assert FOREIGN not in switch.rules


def test_a_flood_of_changes_is_compared_and_reported_within_bounds() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.advance(1.0)
    before, since = checks(rig), rig.now
    for _ in range(2_000):
        switch.rules[FOREIGN] = (0, 0, b"")
        report(rig)
        rig.advance(0.005)
    compared = checks(rig) - before
    assert compared <= (rig.now - since) / PAUSE + 2
    assert FOREIGN not in switch.rules or checks(rig) > 100
    assert len(drifts(rig)) <= REPORTED_AT_ONCE
    rig.advance(PAUSE)
    switch.rules.pop(FOREIGN, None)
    rig.advance(CHECK_EVERY)
    rig.advance(CHECK_EVERY)
    assert len(drifts(rig)) == REPORTED_AT_ONCE + 1, "the rest is summed up"
    assert "more comparisons" in drifts(rig)[-1]


def test_slow_comparisons_take_a_fifth_of_the_time_and_a_clock_set_back_holds_none_up() -> None:
    rig = Rig()
    rig.connect()
    foreign = rig.core.sessions[1].foreign
    kind, _, buf = rig.switches[1].changed(0, flow_monitor.ADDED)
    assert kind == MULTIPART
    foreign.comparing(100.0)
    foreign.compared(100.5)
    foreign.take(buf)
    assert not foreign.due(102.4) and foreign.due(102.6)
    foreign.comparing(200.0)
    foreign.compared(260.0)
    foreign.take(buf)
    assert foreign.due(260.0 + LONGEST_PAUSE)
    assert foreign.due(100.0), "an hour back"


def test_a_switch_without_a_monitor_is_compared_as_often_as_before() -> None:
    rig = Rig()
    switch = rig.connect(1, FakeSwitch(1, vendor=False))
    session = rig.core.sessions[1]
    assert not switch.watched and not session.foreign.watched
    switch.rules[FOREIGN] = (0, 0, b"")
    rig.advance(CHECK_EVERY)
    assert FOREIGN not in switch.rules


def test_a_report_that_cannot_be_read_is_counted_and_costs_nothing_else() -> None:
    rig = Rig()
    rig.connect()
    head = b"\xff\xff" + bytes(6) + b"\x4f\x4e\x46\x00\0\0\x07\x4e"
    for rest in (b"\0\x04\0\0", b"\0\x00\0\0\0\0\0\0", b"\0\x20\0\0", b"\0\x08\0\0\0\0\0\0", b"\0"):
        buf = messages.message(MULTIPART, 0, head + rest)
        rig.carry_out(rig.core.message(1, MULTIPART, 0, buf, rig.now))
    assert rig.core.malformed == 5
    reading = rig.core.check(rig.now)
    assert reading and rig.core.sessions[1].reading is not None
