"""What is learned, what waits, and what never is."""

from __future__ import annotations

import pytest

from detection.detector import Detector
from detection.models import deferred_learning
from tests.support.traffic.office import CLIENTS, DB, OPS, T0, WEB, benign, denied, start
from topology.records import FlowRecord

NIGHT = T0 + 7200.0
SERVERS = [f"10.1.9.{i}" for i in range(1, 31)]


def known(detector: Detector, host: str, service: str = "tcp/22") -> set[str]:
    """Peers that ``host`` is taken to use a service at as a rule."""
    use = detector.host_registry.hosts[host].uses.get(service)
    return set(use.peers) if use is not None else set()


def watched(seconds: float = 1800.0) -> Detector:
    detector = Detector()
    for record in benign(1, seconds):
        detector.step(record)
    return detector


def alive(detector: Detector, host: str, begin: float, end: float) -> None:
    """Something harmless every ten minutes."""
    ts = begin
    while ts < end:
        detector.step(start(ts, host, WEB[0], 80))
        ts += 600.0


def run_of(host: str, begin: float, count: int) -> list[FlowRecord]:
    return [start(begin + 3.0 * i, host, SERVERS[i], 22) for i in range(count)]


def suspicious(detector: Detector, host: str, begin: float) -> list[str]:
    """Visit one server after the other until the host is no longer calm, and no further."""
    visited = []
    for record in run_of(host, begin, len(SERVERS)):
        assert detector.step(record).alert is None
        visited.append(record.dst_ip)
        if not detector.thresholds.is_calm(detector.host_registry.hosts[host]):
            return visited
    raise AssertionError("it stayed calm throughout")


def test_what_was_suspicious_waits_and_is_known_when_nothing_came_of_it() -> None:
    detector = watched()
    visited = suspicious(detector, CLIENTS[0], NIGHT)
    assert visited[-1] not in known(detector, CLIENTS[0])
    half = NIGHT + deferred_learning.WAIT / 2
    alive(detector, CLIENTS[0], NIGHT + 600.0, half)
    assert visited[-1] not in known(detector, CLIENTS[0])
    alive(detector, CLIENTS[0], half, NIGHT + deferred_learning.WAIT + 3600.0)
    assert set(visited) <= known(detector, CLIENTS[0])


def test_what_led_to_an_alert_is_never_known() -> None:
    detector = watched()
    calm_before = known(detector, CLIENTS[0])
    alerted = [detector.step(r).alert for r in run_of(CLIENTS[0], NIGHT, len(SERVERS))]
    first = next(i for i, alert in enumerate(alerted) if alert is not None)
    calm = known(detector, CLIENTS[0])
    alive(detector, CLIENTS[0], NIGHT + 3600.0, NIGHT + 2 * deferred_learning.WAIT)
    assert known(detector, CLIENTS[0]) == calm
    assert not calm & set(SERVERS[first:])
    assert len(calm - calm_before) < first


@pytest.mark.parametrize("ended", ["quarantined", "released"])
def test_a_quarantine_or_a_release_drops_what_waits(ended: str) -> None:
    detector = watched()
    visited = suspicious(detector, CLIENTS[0], NIGHT)
    detector.suspend(CLIENTS[0])
    if ended == "released":
        detector.resume(CLIENTS[0])
    alive(detector, CLIENTS[0], NIGHT + 600.0, NIGHT + 2 * deferred_learning.WAIT)
    assert visited[-1] not in known(detector, CLIENTS[0])


@pytest.mark.parametrize("verdict", ["denied", "would-deny", "unanswered"])
def test_nothing_refused_is_known_however_often_it_comes(verdict: str) -> None:
    detector = watched()
    for day in range(40):
        ts = NIGHT + day * 1800.0
        record = denied(ts, OPS, DB[0], 5432)
        if verdict == "would-deny":
            record = FlowRecord(ts, OPS, DB[0], "tcp", 4, 5432, phase="start", verdict="would-deny")
        elif verdict == "unanswered":
            record = FlowRecord(ts, OPS, DB[0], "tcp", 4, 5432, packets=1, bytes=60)
        detector.step(record)
        detector.step(start(ts + 60.0, OPS, WEB[0], 80))
    assert known(detector, OPS, "tcp/5432") == set()


def test_a_host_with_an_open_alert_teaches_the_models_nothing() -> None:
    detector = watched()
    for record in run_of(CLIENTS[0], NIGHT, len(SERVERS)):
        detector.step(record)
    assert detector.health().open_episodes == 1
    before = detector.health()
    for minute in range(1, 20):
        detector.step(start(NIGHT + 95 + 60.0 * minute, CLIENTS[0], SERVERS[minute], 3389))
    after = detector.health()
    assert after.windows == before.windows
    assert after.withheld > before.withheld
    assert known(detector, CLIENTS[0], "tcp/3389") == set()


def nightly(detector: Detector, night: float, servers: list[str]) -> list[str]:
    """A run over ``servers`` by a host that nobody has looked at; returns the ids of alerts."""
    found = []
    for i, server in enumerate(servers):
        alert = detector.step(start(night + 3.0 * i, CLIENTS[0], server, 22)).alert
        if alert is not None:
            found.append(alert.id)
    alive(detector, CLIENTS[0], night + 600.0, night + 86_000.0)
    return found


def test_a_nightly_run_that_nobody_looked_at_is_one_alert_and_not_one_each_night() -> None:
    detector = watched()
    alerts = [nightly(detector, NIGHT + 86_400.0 * day, SERVERS) for day in range(4)]
    assert [len(found) for found in alerts] == [1, 0, 0, 0]
    new = [f"10.1.8.{i}" for i in range(1, 31)]
    assert nightly(detector, NIGHT + 4 * 86_400.0, new), "other peers are other news"


def test_what_was_alerted_on_is_no_habit_until_the_host_is_released() -> None:
    detector = watched()
    first = nightly(detector, NIGHT, SERVERS)
    calm = known(detector, CLIENTS[0])
    for day in (1, 2):
        nightly(detector, NIGHT + 86_400.0 * day, SERVERS)
    assert first and known(detector, CLIENTS[0]) == calm
    detector.resume(CLIENTS[0])
    for day in range(3, 8):
        nightly(detector, NIGHT + 86_400.0 * day, SERVERS[:3])
    assert set(SERVERS[:3]) <= known(detector, CLIENTS[0])
