"""A disk without room: detection goes on, nothing is decided that cannot be stored."""

from __future__ import annotations

import pytest

from analysis import pipeline, storage
from response.decision import InstalledRule
from response.ipc.messages import (
    Ask,
    Enforce,
    RecordsSeen,
    Release,
    RulesConfirmed,
    SwitchChanged,
)
from tests.support.full_disk import full_disk
from tests.support.street import Street, make_alert
from topology.records import FlowRecord

pytestmark = pytest.mark.threat("disk")
LATER = 1060.0


def seen(ts: float) -> RecordsSeen:
    return RecordsSeen((FlowRecord(ts, "10.0.0.1", "10.0.0.6", "tcp", 4, 22, phase="start"),))


def test_detection_goes_on_and_what_cannot_be_stored_is_not_decided(street: Street) -> None:
    street.detector.alerts = {0: make_alert("10.0.0.1"), 1: make_alert("10.0.0.2", id="a2")}
    with full_disk():
        assert street.analysis.step(seen(1000.0), 1000.0) == []
        assert street.analysis.step(seen(1001.0), 1001.0) == []
        assert street.analysis.tick(1002.0) == []
        report = street.analysis.storage.report(1002.0)
        assert report is not None and "cannot be written" in str(report.problem)
        assert report.not_stored == {"alerts": 2}
    assert street.detector.rows == 2
    assert street.detector.suspended == set()
    assert street.analysis.active_count == 0
    assert street.store.decisions() == ()
    street.analysis.tick(LATER)
    assert [flow.record.ts for _, flow in street.store.flows()] == [1000.0, 1001.0]
    street.detector.alerts[2] = make_alert("10.0.0.3", id="a3")
    (command,) = street.analysis.step(seen(LATER), LATER)
    assert isinstance(command, Enforce) and command.decision.target == "web3"
    assert street.audit.verify().whole
    (entry,) = street.audit.entries(kind="storage")
    assert entry.values()["not_stored"] == {"alerts": 2}
    assert entry.values()["since"] == 1000.0
    after = street.analysis.storage.report(LATER)
    assert after is not None and (after.problem, after.not_stored) == (None, {"alerts": 2})


def test_a_request_that_cannot_be_stored_is_refused_in_one_line(street: Street) -> None:
    street.detector.alerts = {0: make_alert("10.0.0.1")}
    street.analysis.step(seen(1000.0), 1000.0)
    for what in ("release", "extend", "hold"):
        with full_disk():
            done = street.analysis.ask(Ask(what, "d1", "ana", seconds=1000), 1001.0)
        assert not done.ok and done.commands == () and "not stored" in done.text, what
    assert street.analysis.active_count == 1
    assert "10.0.0.1" in street.detector.suspended
    street.analysis.tick(LATER)
    assert street.analysis.ask(Ask("release", "d1", "ana"), LATER).ok


def test_what_switches_confirmed_and_ends_that_came_meanwhile_are_made_up_for(
    street: Street,
) -> None:
    street.detector.alerts = {0: make_alert("10.0.0.1")}
    street.analysis.step(seen(1000.0), 1000.0)
    (made,) = street.store.decisions()
    rule = InstalledRule(1, 3, made.number)
    over = made.expires + 1
    with full_disk():
        street.analysis.step(RulesConfirmed(1000.5, "d1", (rule,)), 1000.5)
        street.analysis.step(SwitchChanged(1000.6, 1, "drift", "one rule"), 1000.6)
        assert street.analysis.tick(over) == []
    assert street.store.decision("d1") == made
    (release,) = street.analysis.tick(over + 60)
    assert isinstance(release, Release) and release.decision.state == "expired"
    assert release.decision.rules == (rule,)
    assert street.kinds()[-5:-1] == ["storage", "confirmed", "switch", "expired"]


def test_only_so_much_waits_and_the_rest_is_counted(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MAX_UNSAVED", 3)
    monkeypatch.setattr(storage, "MAX_WAITING", 2)
    with full_disk():
        for number in range(4):
            street.analysis.step(SwitchChanged(float(number), 1, "drift", ""), 1000.0)
        for number in range(8):
            street.analysis.step(seen(1000.0 + number), 1000.0)
    street.analysis.tick(LATER)
    assert [flow.record.ts for _, flow in street.store.flows()] == [1005.0, 1006.0, 1007.0]
    (entry,) = street.audit.entries(kind="storage")
    assert entry.values()["not_stored"] == {"connections": 5, "entries": 2}
    assert [entry.ts for entry in street.audit.entries(kind="switch")] == [2.0, 3.0]


def test_attempts_become_rare_while_they_fail(street: Street) -> None:
    attempts = 0
    with full_disk():
        for second in range(600):
            street.analysis.step(SwitchChanged(0.0, 1, "drift", ""), 1000.0 + second)
            before = street.analysis.storage._pause
            street.analysis.tick(1000.0 + second)
            attempts += street.analysis.storage._pause != before
        assert street.analysis.storage._pause == storage.LONGEST_PAUSE
    assert attempts == 5, "2, 4, 8, 16 and 30 seconds"
