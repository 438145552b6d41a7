"""Going back, comparing and promoting: what goes on, and what is left behind."""

from __future__ import annotations

import pytest

from detection.detector import Detector, DetectorSettings
from detection.models.champion import Champion
from tests.support.traffic.office import CLIENTS, HOSTS, T0, WEB, benign, denied, start
from topology.records import FlowRecord


def watched(seed: int = 1, seconds: float = 600.0) -> Champion:
    champion = Champion(Detector(seed=seed))
    for record in benign(seed, seconds):
        champion.step(record)
    return champion


def later(begin: float = T0 + 700.0) -> list[FlowRecord]:
    calm = [start(begin + i, HOSTS[i % 3], WEB[0], 80) for i in range(60)]
    probes = [denied(begin + 70 + i / 10, CLIENTS[1], host, 445) for i, host in enumerate(HOSTS)]
    return [*calm, *probes]


def test_going_back_scores_as_if_the_time_between_had_not_been() -> None:
    champion = watched()
    kept = champion.snapshot()
    undisturbed = Detector.restore(kept)
    taught = [start(T0 + 610 + i, CLIENTS[0], f"10.1.9.{i + 1}", 22) for i in range(40)]
    for record in taught:
        champion.step(record)
    champion.roll_back(kept)
    ours = [(s.score, s.alert is None) for s in map(champion.step, later())]
    theirs = [(s.score, s.alert is None) for s in map(undisturbed.step, later())]
    assert ours == theirs
    assert not all(calm for _, calm in ours)


def test_record_numbers_and_quarantines_of_now_hold_after_going_back() -> None:
    champion = watched()
    champion.suspend(WEB[1])
    kept = champion.snapshot()
    champion.resume(WEB[1])
    champion.suspend(CLIENTS[0])
    champion.include(["2001:db8::/32"])
    last = [champion.step(record).row for record in later()][-1]
    champion.roll_back(kept)
    assert champion.step(start(T0 + 900, CLIENTS[1], WEB[0], 80)).row == last + 1
    assert champion.health().suspended == 1
    assert champion.detector.host_registry.hosts[CLIENTS[0]].suspended
    assert not champion.detector.host_registry.hosts[WEB[1]].suspended
    champion.step(start(T0 + 901, "2001:db8::1", "2001:db8::2", 22))
    assert champion.detector.host_registry.hosts["2001:db8::1"].inside


def test_bytes_that_are_no_snapshot_change_nothing() -> None:
    champion = watched()
    before = champion.detector
    with pytest.raises(ValueError, match="snapshot"):
        champion.roll_back(b"junk")
    assert champion.detector is before


def test_a_challenger_has_no_effect_until_it_is_promoted() -> None:
    champion, alone = watched(), watched()
    champion.challenge("stricter", T0, alert_budget=200.0)
    rows = [champion.step(record) for record in later()]
    assert rows == [alone.step(record) for record in later()]
    assert champion.shadow is not None
    rival = champion.shadow.detector
    champion.promote()
    assert champion.detector is rival and champion.shadow is None
    assert champion.step(start(T0 + 999, CLIENTS[0], WEB[0], 80)).row == rows[-1].row + 1


def test_the_report_names_what_differs() -> None:
    champion = Champion(Detector(DetectorSettings(alert_budget=1e9)))
    champion.challenge("blind", T0, Detector(DetectorSettings(alert_budget=1e-3)).snapshot())
    few = [denied(T0 + 600.0 + i, CLIENTS[2], host, 445) for i, host in enumerate(HOSTS[5:9])]
    for record in [*benign(3, 120.0), *few, *later()]:
        champion.step(record)
    assert champion.shadow is not None
    report = champion.shadow.report()
    assert report.challenger == "blind"
    assert report.records == len(benign(3, 120.0)) + len(few) + len(later())
    assert report.alerts[0] > report.alerts[1]
    assert CLIENTS[1] in report.both
    assert CLIENTS[2] in report.only_champion and report.only_challenger == ()
    champion.dismiss()
    assert champion.shadow is None


def test_a_quarantine_holds_for_the_challenger_too() -> None:
    champion = watched()
    champion.suspend(CLIENTS[0])
    champion.challenge("same", T0)
    assert champion.shadow is not None
    assert champion.shadow.detector.health().suspended == 1
    champion.resume(CLIENTS[0])
    assert champion.shadow.detector.health().suspended == 0


def test_nobody_is_promoted_where_nobody_challenges() -> None:
    with pytest.raises(ValueError, match="no challenger"):
        watched(seconds=20.0).promote()
    with pytest.raises(ValueError, match="positive"):
        watched(seconds=20.0).challenge("none", T0, alert_budget=0.0)


def test_accepting_what_is_learned_renews_the_baseline_and_ends_caution() -> None:
    champion = watched()
    detector = champion.detector
    detector.drift.until = detector.now + 1000.0
    renewals = detector.baseline.renewals
    detector.accept_drift()
    assert detector.baseline.renewals == renewals + 1
    assert detector.baseline.since == detector.now
    assert champion.health().caution is None
