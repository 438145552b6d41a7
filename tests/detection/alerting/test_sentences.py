"""Alerts in sentences: who, to whom, how much, how rare."""

from __future__ import annotations

import pytest

from detection.alert import Alert, Contribution, Hop
from detection.alerting.sentences import odds, sentence
from detection.detector import Detector
from tests.support.traffic.office import T0, WEB, benign, sweep


def alert(kind: str, parts: tuple[Contribution, ...], targets: int, days: float | None) -> Alert:
    path = tuple(Hop(1.0, "10.0.0.1", f"10.0.0.{i}", "tcp/22") for i in range(2, 2 + targets))
    raw = sum(part.contribution for part in parts)
    return Alert("a", 1.0, "10.0.0.1", kind, "T1", 1.0, 0.9, raw, parts, path, (), "m", days)


def test_a_sentence_has_targets_units_normal_ranges_and_odds() -> None:
    parts = (Contribution("service_fanout_1h", 14.0, 0.0, 3.2, 9.0),)
    assert sentence(alert("spread", parts, 5, 40.2)) == (
        "10.0.0.1 opens sessions on hosts where it had none "
        "(10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more on tcp/22): 14 new internal peers on one "
        "service, decayed over 1h (normal up to 3.2); about once in 40 days on this network"
    )


def test_bytes_are_bytes() -> None:
    part = Contribution("volume", 2_500_000.0, 0.0, 40_000.0, 2.0)
    said = sentence(alert("volume", (part,), 1, None))
    assert "2.5 million bytes to internal peers" in said and "(normal up to 40 thousand)" in said
    assert "network" not in said


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (0.25, "about 4 times a day"), (1.2, "about once in 1 day"),
        (40.0, "about once in 40 days"), (1e9, "less than once in ten years"),
    ],
)  # fmt: skip
def test_odds(days: float, text: str) -> None:
    assert odds(days) == f"{text} on this network"


def test_an_alert_knows_its_odds_once_the_network_is_known() -> None:
    early, late = Detector(), Detector()
    for detector, hours in ((early, 0), (late, 3)):
        for minute in range(0, 60 * hours, 2):
            for record in benign(minute, 100.0, T0 + 60 * minute):
                detector.step(record)
        at = T0 + 3600 * hours + 60
        found = [
            detector.step(r).alert
            for r in sweep(at, WEB[0], [f"10.1.7.{i}" for i in range(60)], ())
        ]
        (raised,) = [one for one in found if one is not None]
        assert (raised.every_days is None) == (hours == 0)
        assert raised.every_days is None or raised.every_days > 1.0
