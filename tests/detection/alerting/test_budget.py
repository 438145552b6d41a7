from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.alerting.budget import DAY, MOST_RISE, AlertBudget
from detection.models.calibration import Calibration
from detection.state.counters import DecayedCounts, Distinct


def test_a_score_tells_how_many_windows_score_lower() -> None:
    calibration = Calibration()
    rng = random.Random(1)
    raws = [rng.expovariate(1.0) for _ in range(20_000)]
    for raw in raws:
        calibration.learn(raw)
    for raw in (0.5, 1.0, 2.0, 4.0):
        lower = sum(r < raw for r in raws) / len(raws)
        assert calibration.score(raw) == pytest.approx(lower, abs=0.01)


@given(st.lists(st.floats(0, 60), max_size=200), st.floats(0, 40), st.floats(0.05, 40))
def test_scores_rise_with_raw_and_stay_in_range(seen: list[float], raw: float, more: float) -> None:
    calibration = Calibration()
    for one in seen:
        calibration.learn(one)
    low, high = calibration.score(raw), calibration.score(raw + more)
    assert 0.0 <= low < high <= 1.0


def test_negative_raw_scores_do_not_exist() -> None:
    with pytest.raises(ValueError):
        Calibration().score(-0.1)


def test_a_bigger_budget_is_a_lower_threshold() -> None:
    thresholds = [AlertBudget(b).update(1000, 0.0) for b in (1.0, 5.0, 50.0)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[2]


def test_at_least_one_alert_a_day_is_assumed() -> None:
    assert AlertBudget(0.001).allowed(20) == 1.0
    assert AlertBudget(5.0).allowed(1000) == 5.0


def test_too_many_alerts_raise_the_threshold_for_a_day_and_only_so_far() -> None:
    budget = AlertBudget(5.0)
    calm = budget.update(100, 0.0)
    for i in range(50):
        budget.spend(float(i))
    assert budget.update(100, 60.0) == pytest.approx(calm + MOST_RISE)
    assert budget.update(100, DAY + 100.0) == pytest.approx(calm)


def test_tallies_fade_at_their_own_horizon() -> None:
    tally = DecayedCounts()
    for _ in range(10):
        tally.add(1000.0)
    minute, ten, hour, day = tally.at(1060.0)
    assert minute == pytest.approx(10 / 2.718281828, rel=1e-6)
    assert minute < ten < hour < day < 10.0
    assert tally.at(900.0) == tally.at(1000.0)


def test_the_same_thing_again_is_not_distinct_until_an_hour_has_passed() -> None:
    seen = Distinct(limit=3)
    assert seen.add(("a", "x"), 0.0)
    assert not seen.add(("a", "x"), 3000.0)
    assert not seen.add(("a", "x"), 6000.0)
    assert seen.add(("a", "x"), 9700.0)
    for name in "bcdef":
        seen.add((name, "x"), 9800.0)
    assert len(seen.seen) == 3
