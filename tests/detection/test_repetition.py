"""One alert for a host and a cause, until the host is released."""

from __future__ import annotations

from detection.alert import Alert
from detection.detector import Detector
from detection.state.counters import FRESH, LULL, DecayedCounts
from tests.support.traffic.office import APP, CLIENTS, T0, benign, denied, nobody, start
from topology.records import FlowRecord

DAY = 86_400.0
NIGHT = T0 + 23.5 * 3600


def alerts(detector: Detector, records: list[FlowRecord]) -> list[Alert]:
    return [s.alert for s in map(detector.step, records) if s.alert is not None]


def night(detector: Detector, number: int, job: list[FlowRecord]) -> list[Alert]:
    """A day of work, and the alerts on the ``job`` at its end."""
    for hour in range(0, 24, 3):
        alerts(detector, benign(100 * number + hour, 90.0, T0 + number * DAY + hour * 3600))
    return alerts(detector, job)


def test_a_nightly_job_of_a_host_that_only_served_is_one_alert() -> None:
    detector = Detector()
    found = []
    for number in range(9):
        at = NIGHT + number * DAY
        job = [start(at + i, APP[0], f"10.1.{2 + i % 5}.{20 + i // 5}", 445) for i in range(15)]
        found.append(night(detector, number, job))
    assert [len(each) for each in found] == [1] + [0] * 8
    assert (found[0][0].kind, found[0][0].attack) == ("spread", "T1021.002")


def test_a_nightly_search_for_addresses_is_one_alert_until_it_is_released() -> None:
    detector = Detector()
    found = []
    for number in range(10):
        at = NIGHT + number * DAY
        job = [nobody(at + i / 4, CLIENTS[1], f"10.1.7.{i}") for i in range(1, 60)]
        if number == 8:
            detector.resume(CLIENTS[1])
        if number == 5:
            detector = Detector.restore(detector.snapshot())
        found.append(night(detector, number, job))
    assert [len(each) for each in found] == [1] + [0] * 7 + [1, 0]
    assert found[0][0].attack == "T1018"


def test_what_is_worse_in_kind_is_another_alert() -> None:
    detector = Detector()
    assert night(detector, 0, [nobody(NIGHT + i / 4, APP[0], f"10.1.7.{i}") for i in range(1, 60)])
    later = NIGHT + DAY
    hops = [start(later, CLIENTS[0], APP[0], 3389)]
    hops += [start(later + 5 * i, APP[0], f"10.1.3.{50 + i}", 22) for i in range(1, 9)]
    assert "lateral-path" in [alert.kind for alert in night(detector, 1, hops)]


def test_one_new_visit_does_not_bring_back_the_tally_of_a_morning() -> None:
    counts = DecayedCounts()
    for i in range(10):
        counts.add(T0 + 60.0 * i)
    last = T0 + 540.0
    before = counts.at(last)[3]
    counts.lapse(last + LULL / 2)
    assert counts.at(last)[3] == before, "a slow search goes on"
    counts.lapse(last + LULL + 5 * FRESH)
    counts.add(last + LULL + 5 * FRESH)
    assert counts.at(last + LULL + 5 * FRESH)[3] < 1.1


def test_an_alert_shows_no_hops_of_long_ago_and_no_usual_visit() -> None:
    detector = Detector()
    alerts(detector, benign(3, 60.0))
    for i in range(40):  # somebody's usual way in
        alerts(detector, [start(T0 + 100 + 700 * i, CLIENTS[0], APP[1], 22)])
        alerts(detector, [start(T0 + 400 + 700 * i, APP[1], f"10.1.4.{i % 6}", 8443)])
    now = T0 + 100 + 700 * 40
    alerts(detector, [start(now - 400, CLIENTS[0], APP[1], 22)])
    probes = [denied(now + i, APP[1], f"10.1.2.{i % 3 + 1}", 1000 + i) for i in range(20)]
    (alert,) = alerts(detector, probes)
    assert {hop.src for hop in alert.path} == {APP[1]}
    assert all(alert.ts - hop.ts <= 3600.0 for hop in alert.path)
