"""No source moves what is normal far or fast: shares, the frozen baseline, drift and caution."""

from __future__ import annotations

import random

import pytest

from detection.alerting.thresholds import CALM
from detection.detector import Detector
from detection.features.catalogue import COUNT
from detection.models import drift, training_quota
from detection.models.baseline import Baseline
from detection.models.drift import DriftWatch
from detection.models.learners.base import HostWindow, UseCounts
from detection.models.learners.ensemble import Ensemble, default_learners
from detection.models.training_quota import TrainingQuota
from detection.state.hosts import HostState
from tests.support.traffic.office import CLIENTS, HOSTS, OPS, T0, WEB, benign, start

HOUR = 3600.0


def heard(talkative: int, others: int, hours: int = 3) -> tuple[int, int]:
    """Windows learned of one source that offers ``talkative`` of them an hour, and of 20 others
    that offer ``others`` each, in turn."""
    shares = TrainingQuota()
    one, rest = (
        HostState("a", True, 0.0),
        [HostState(str(i), True, 0.0) for i in range(20)],
    )
    mine = theirs = 0
    for hour in range(hours):
        offers = [one] * talkative + [host for host in rest for _ in range(others)]
        random.Random(hour).shuffle(offers)
        for i, host in enumerate(offers):
            admitted = shares.admits(host, hour * HOUR + i / 100)
            mine += admitted and host is one
            theirs += admitted and host is not one
    return mine, theirs


def test_one_source_is_heard_for_two_fair_shares_at_most() -> None:
    mine, theirs = heard(talkative=2000, others=40)
    assert theirs >= 0.99 * 3 * 20 * 40
    assert mine / 3 <= training_quota.FAIR * (mine + theirs) / 3 / 21 + 1
    assert mine / (mine + theirs) < 0.1


def test_who_offers_no_more_than_others_is_heard_in_full() -> None:
    assert heard(talkative=40, others=40) == (120, 2400)
    assert heard(talkative=training_quota.GRACE, others=1) == (3 * training_quota.GRACE, 60)


@pytest.mark.thorough
def test_the_detector_refuses_what_goes_beyond_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> int:
        """Windows not learned when one host is busy every minute, the others once in ten."""
        detector = Detector()
        for minute in range(600):
            ts = T0 + 60.0 * minute
            for i in range(15):
                detector.step(start(ts + i * 0.1, CLIENTS[0], WEB[0], 80))
            if minute % 10 == 0:
                for host in HOSTS[3:]:
                    detector.step(start(ts + 5.0, host, CLIENTS[1], 80))
        return detector.health().refused

    assert refused() > 300
    monkeypatch.setattr(training_quota, "GRACE", 10**9)
    assert refused() == 0


def window(peers: float, maturity: float = 1.0) -> HostWindow:
    """A host with that many new peers on ssh, none of them known to serve it."""
    counts = (peers, peers, peers, peers)
    use = UseCounts("tcp/22", True, counts, counts, [0.0] * 8)
    return HostWindow([0.0] * COUNT, maturity, use, [use])


def taught(ensemble: Ensemble, windows: int, peers: float, begin: float) -> float:
    for i in range(windows):
        ensemble.learn(window(peers), begin + 60.0 * i)
    return begin + 60.0 * windows


def test_the_baseline_holds_what_the_fast_model_is_talked_into() -> None:
    fast, slow = Ensemble(default_learners(0)), Baseline()
    now = taught(fast, 400, 0.0, 0.0)
    slow.renew(fast, now)
    before = fast.score(window(6.0), [0.0] * COUNT)
    taught(fast, 400, 6.0, now)
    mine = [0.0] * COUNT
    after = fast.score(window(6.0), mine)
    assert after < before / 2
    kept = slow.score(window(6.0), mine)
    assert kept is not None and sum(kept) == pytest.approx(before)
    assert slow.score(window(0.0), [0.0] * COUNT) is None, "where they agree the fast one speaks"
    assert slow.explain(window(6.0)).keys() == fast.explain(window(6.0)).keys()


@pytest.mark.thorough
def test_the_baseline_is_renewed_as_it_ages_once_a_day_at_most() -> None:
    fast, slow = Ensemble(default_learners(0)), Baseline()
    assert not slow.is_due(fast, 0.0)
    renewals = []
    for minute in range(4 * 1440):
        now = 60.0 * minute
        fast.learn(window(1.0), now)
        if slow.is_due(fast, now):
            slow.renew(fast, now)
            renewals.append(now)
    gaps = [b - a for a, b in zip(renewals, renewals[1:], strict=False)]
    assert renewals[0] <= 6 * HOUR
    assert all(a <= b + 60.0 for a, b in zip(gaps, gaps[1:], strict=False))
    assert max(gaps) == pytest.approx(86_400.0, abs=60.0)


def day_of(watch: DriftWatch, level: float, begin: float, seconds: float = 86_400.0) -> float:
    rng = random.Random(int(begin))
    ts = begin
    while ts < begin + seconds:
        night = 0.3 if (ts % 86_400.0) < 28_800.0 else 1.0
        watch.surprise(max(0.0, rng.gauss(level * night, 0.1)), ts)
        ts += 20.0
    return ts


def test_a_rise_in_surprise_is_an_alarm_and_nights_are_none() -> None:
    watch = DriftWatch(0)
    now = 0.0
    for _ in range(5):
        now = day_of(watch, 0.5, now)
    assert watch.alarms == 0
    day_of(watch, 2.0, now + 36_000.0, 7200.0)
    assert watch.alarms >= 1
    assert watch.last is not None and watch.last.stream == "surprise"
    assert now < watch.last.ts < now + 36_000.0 + 7200.0


def test_less_surprise_is_no_alarm() -> None:
    watch = DriftWatch(0)
    now = day_of(watch, 2.0, 0.0)
    day_of(watch, 0.1, now)
    assert watch.alarms == 0


def test_a_model_that_yields_is_an_alarm() -> None:
    watch = DriftWatch(0)
    for i in range(300):
        watch.yielding(0.05, 10.0 * i)
    assert watch.alarms == 0
    for i in range(300, 400):
        watch.yielding(0.05 + (i - 300) * 0.05, 10.0 * i)
    assert watch.alarms >= 1 and watch.last is not None and watch.last.stream == "yielding"
    assert watch.cautious(watch.last.ts + 1.0)
    assert not watch.cautious(watch.until + 1.0)


def test_caution_lowers_the_threshold_and_the_mark_of_calm_and_ends() -> None:
    detector = Detector()
    for record in benign(1, 600.0):
        detector.step(record)
    usual = detector.health()
    detector.drift.until = detector.now + drift.LASTS
    for minute in range(1, 4):
        detector.step(start(T0 + 600 + 61.0 * minute, OPS, WEB[0], 80))
    careful = detector.health()
    assert careful.threshold == pytest.approx(usual.threshold - drift.NATS)
    assert detector.drift.cautious(detector.now)
    assert detector.thresholds.calm == CALM * drift.CALMER
    renewed = detector.baseline.renewals
    for minute in range(4, 60):
        detector.step(start(T0 + 600 + 61.0 * minute, OPS, WEB[0], 80))
    assert not detector.drift.cautious(detector.now)
    assert detector.health().threshold == pytest.approx(usual.threshold)
    assert detector.baseline.renewals >= renewed


@pytest.mark.thorough
def test_the_explanation_is_that_of_the_model_which_judged() -> None:
    detector = Detector()
    for record in benign(1, 3600.0):
        detector.step(record)
    assert detector.baseline.since is not None
    for learner in (detector.scoring.ensemble.fanout,):  # as if talked into it
        for service in list(learner._services.values()):
            for mean in service:
                mean.update(50.0, 1000.0)
        learner._norms.clear()
    found = None
    for i in range(30):
        scored = detector.step(start(T0 + 3700 + i, CLIENTS[0], f"10.1.9.{i + 1}", 22))
        raw, parts = detector.contributions(CLIENTS[0])
        assert abs(raw - sum(parts.values())) < 1e-9
        found = found or scored.alert
    assert found is not None, "the frozen baseline still sees it"
    assert abs(found.raw - sum(c.contribution for c in found.features)) < 1e-9
    fanout = next(c for c in found.features if "unserved_fanout" in c.feature)
    assert fanout.high < 20.0
