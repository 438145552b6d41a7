"""KSWIN without scipy gives the alarms of River's, and its p-values."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import drift
from scipy import stats  # type: ignore[import-untyped]

from detection.models.kswin import Kswin, p_value, steps_apart


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("n", [1, 5, 12, 30])
def test_the_closed_form_is_the_exact_p_value(n: int) -> None:
    low = list(range(n))
    for steps in range(1, n + 1):
        high = [x + steps - 0.5 for x in low]
        exact = stats.ks_2samp(low, high, method="exact")
        assert steps_apart(low, high) == steps == round(exact.statistic * n)
        assert p_value(n, steps) == pytest.approx(exact.pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_it_alarms_when_river_does(seed: int) -> None:
    theirs: Any = drift.KSWIN(1e-3, 100, 12, seed)
    ours = Kswin(1e-3, 100, 12, seed)
    rng = random.Random(seed)
    alarms = 0
    for i in range(1_500):
        value = rng.random() + (0.0, 0.6, 1.3)[i // 200 % 3]
        value = round(value, 1) if seed % 2 else value  # ties as well
        theirs.update(value)
        ours.take(value)
        assert ours.drifted == theirs.drift_detected, i
        alarms += ours.drifted
    assert alarms > 1


def test_what_no_sample_could_show_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        Kswin(1e-9, 100, 5, 0)
    with pytest.raises(ValueError, match="between 1"):
        p_value(5, 6)
