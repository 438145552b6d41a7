"""Outside hosts: who knocks is counted, who guesses passwords or gets in is an alert."""

from __future__ import annotations

import random

import pytest

from detection.alert import Alert
from detection.detector import Detector
from tests.support.traffic.office import T0
from topology.records import FlowRecord

OURS = [f"10.1.2.{i}" for i in range(1, 30)]
STRANGER = "45.83.64.9"


def exchange(ts: float, src: str, dst: str, port: int, size: int, packets: int) -> FlowRecord:
    return FlowRecord(ts, src, dst, "tcp", 40_000, port, packets=packets, bytes=size)


def knock(ts: float, src: str, dst: str, port: int) -> FlowRecord:
    return exchange(ts, src, dst, port, 100, 2)


def guess(ts: float, src: str, dst: str) -> FlowRecord:
    return exchange(ts, src, dst, 22, 4_700, 28)


def background(seconds: int) -> list[FlowRecord]:
    """Visitors of the web server, and partners who log in now and then."""
    rng = random.Random(4)
    records = []
    for second in range(seconds):
        visitor = f"80.{second % 50}.1.1"
        records.append(exchange(T0 + second, visitor, OURS[0], 443, 40_000, 60))
        if second % 300 == 0:
            partner = f"81.1.1.{rng.randrange(4)}"
            records.append(exchange(T0 + second, partner, OURS[1], 22, 30_000, 120))
    return records


def alerts(detector: Detector, records: list[FlowRecord]) -> list[Alert]:
    return [s.alert for s in map(detector.step, records) if s.alert is not None]


@pytest.fixture
def detector() -> Detector:
    made = Detector()
    assert alerts(made, background(1800)) == []
    return made


def test_who_only_knocks_is_counted_and_no_alert(detector: Detector) -> None:
    knocks = [
        knock(T0 + 1800 + i, f"45.83.{i % 3}.1", OURS[i % 20], 20 + i % 50) for i in range(600)
    ]
    assert alerts(detector, knocks) == []
    (line,) = detector.knocking()
    assert line.startswith("2023-11-14: 3 outside hosts tried ")
    assert " of 20 hosts of ours in vain, most often tcp/" in line
    assert detector.health().knocking == (line,)
    assert Detector.restore(detector.snapshot()).knocking() == (line,)


def test_every_day_has_its_line(detector: Detector) -> None:
    for day in range(3):
        alerts(detector, [knock(T0 + 1800 + 86_400 * day, STRANGER, OURS[0], 23)])
    assert [line.split()[0] for line in detector.knocking()] == [
        "2023-11-14:", "2023-11-15:", "2023-11-16:",
    ]  # fmt: skip
    assert detector.knocking()[0].endswith(
        "1 outside host tried 1 service of 1 host of ours in vain, most often tcp/23"
    )


def test_guessing_a_password_is_one_alert_a_day_however_many_take_part(detector: Detector) -> None:
    guesses = [guess(T0 + 1800 + 4 * i, f"45.83.64.{i % 2}", OURS[1]) for i in range(200)]
    (alert,) = alerts(detector, guesses)
    assert (alert.kind, alert.attack) == ("password-guessing", "T1110")
    (part,) = alert.features
    assert part.feature == "logins" and part.value > part.high
    assert alert.raw == part.contribution and alert.score > alert.threshold
    assert "2 outside hosts guessed passwords" in detector.knocking()[-1]
    later = [guess(T0 + 40 * 3600 + 4 * i, STRANGER, OURS[1]) for i in range(100)]
    restored = Detector.restore(detector.snapshot())
    again = [alerts(each, later) for each in (detector, restored)]
    assert len(again[0]) == 1 and again[0] == again[1]


def test_a_session_after_guesses_is_an_alert(detector: Detector) -> None:
    guesses = [guess(T0 + 1800 + 60 * i, STRANGER, OURS[1]) for i in range(25)]
    assert alerts(detector, guesses) == []
    (alert,) = alerts(detector, [exchange(T0 + 3400, STRANGER, OURS[1], 22, 90_000, 300)])
    assert (alert.host, alert.kind, alert.attack) == (STRANGER, "outside-access", "T1133")
    assert sum(part.contribution for part in alert.features) == alert.raw
    assert all(part.value > part.high for part in alert.features)


def test_who_knocks_everywhere_and_logs_in_to_several_is_an_alert(detector: Detector) -> None:
    sweep = [knock(T0 + 1800 + i, STRANGER, OURS[i % 25], 3389) for i in range(25)]
    assert alerts(detector, sweep) == []
    let_in = [exchange(T0 + 1830 + i, STRANGER, OURS[i], 3389, 35_000, 80) for i in range(3)]
    (alert,) = alerts(detector, let_in)
    assert (alert.host, alert.kind) == (STRANGER, "outside-access")


def test_a_partner_who_logs_in_as_usual_is_no_alert(detector: Detector) -> None:
    visits = [
        exchange(T0 + 1800 + 150 * i, "81.1.1.1", OURS[i % 5], 22, 30_000, 120) for i in range(90)
    ]
    assert alerts(detector, visits) == []
