"""A disk without room: detection goes on, nothing is decided that cannot be stored."""

from __future__ import annotations

import pytest

from response.ipc.messages import Ask, Enforce, RecordsSeen
from tests.support.full_disk import full_disk
from tests.support.street import Street, make_alert
from topology.records import FlowRecord

pytestmark = pytest.mark.threat("disk")
LATER = 1060.0


def seen(ts: float) -> RecordsSeen:
    return RecordsSeen((FlowRecord(ts, "10.0.0.1", "10.0.0.6", "tcp", 4, 22, phase="start"),))


@pytest.mark.xfail(strict=True, reason="a full disk ends the analysis")
def test_detection_goes_on_and_what_cannot_be_stored_is_not_decided(street: Street) -> None:
    street.detector.alerts = {0: make_alert("10.0.0.1"), 1: make_alert("10.0.0.2", id="a2")}
    with full_disk():
        assert street.analysis.step(seen(1000.0), 1000.0) == []
        assert street.analysis.step(seen(1001.0), 1001.0) == []
        assert street.analysis.tick(1002.0) == []
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


@pytest.mark.xfail(strict=True, reason="a request that cannot be stored ends the analysis")
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
