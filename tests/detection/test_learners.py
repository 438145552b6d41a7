"""Every learner keeps the contract of ``detection.learners.base``."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.counters import HORIZONS
from detection.features import COUNT, FEATURES, INDEX, NAMES
from detection.learners.base import HostWindow, Learner, UseCounts, blank
from detection.learners.ensemble import Ensemble, default_learners

MAKERS: list[Callable[[], Learner]] = [
    lambda i=i: default_learners(7)[i]  # type: ignore[misc]
    for i in range(len(default_learners(7)))
]
IDS = [learner.name for learner in default_learners(7)]
every_learner = pytest.mark.parametrize("make", MAKERS, ids=IDS)


def use(rng: random.Random, service: str = "tcp/22") -> UseCounts:
    grown = sorted(rng.expovariate(1.0) for _ in HORIZONS)
    new = (grown[0], grown[1], grown[2], grown[3])
    return UseCounts(service, service == "tcp/22", new, new, [0.0] * 8)


def window(rng: random.Random, scale: float = 1.0) -> HostWindow:
    values = [rng.expovariate(1.0 / scale) for _ in range(COUNT)]
    uses = [use(rng), use(rng, "tcp/80")]
    return HostWindow(values, 0.8, uses[0], uses, own=[0.0] * COUNT)


AnyLearner = TypeVar("AnyLearner", bound=Learner)


def taught(learner: AnyLearner, n: int = 700, seed: int = 1) -> AnyLearner:
    rng = random.Random(seed)
    for _ in range(n):
        learner.learn(window(rng))
    return learner


@every_learner
def test_it_writes_its_own_features_and_no_others(make: Callable[[], Learner]) -> None:
    learner = taught(make())
    into = [-1.0] * COUNT
    learner.score(window(random.Random(2), 30.0), into)
    owned = set(learner.features)
    assert all(into[i] >= 0.0 for i in owned)
    assert all(into[i] == -1.0 for i in range(COUNT) if i not in owned)


@every_learner
def test_scoring_changes_nothing(make: Callable[[], Learner]) -> None:
    learner = taught(make())
    sample = window(random.Random(3), 20.0)
    before = pickle.dumps(learner.snapshot())
    first, second = blank(), blank()
    learner.score(sample, first)
    learner.score(sample, second)
    assert first == second
    assert pickle.dumps(learner.snapshot()) == before


@every_learner
def test_a_quiet_window_adds_nothing(make: Callable[[], Learner]) -> None:
    learner = taught(make())
    into = blank()
    learner.score(HostWindow([0.0] * COUNT, 1.0), into)
    assert sum(into) <= 1.6  # only an unusual combination may say anything about silence


@every_learner
def test_a_wild_window_adds_more_than_a_usual_one(make: Callable[[], Learner]) -> None:
    learner = taught(make())
    rng = random.Random(4)
    usual, wild = blank(), blank()
    learner.score(window(rng), usual)
    hot = use(rng)
    hot.new = hot.unserved = (90.0, 90.0, 90.0, 90.0)
    learner.score(HostWindow([90.0] * COUNT, 0.8, hot), wild)
    assert sum(wild) > sum(usual)


@every_learner
def test_two_taught_alike_agree_and_a_snapshot_continues(make: Callable[[], Learner]) -> None:
    one, other = taught(make(), 400), taught(make(), 400)
    fresh = make()
    fresh.restore(pickle.loads(pickle.dumps(one.snapshot())))
    rng = random.Random(5)
    for _ in range(300):
        sample = window(rng, 3.0)
        answers = []
        for learner in (one, other, fresh):
            into = blank()
            learner.score(sample, into)
            answers.append(into)
        assert answers[0] == answers[1] == answers[2]
        for learner in (one, other, fresh):
            copy = HostWindow(
                list(sample.values),
                sample.maturity,
                None,
                [
                    UseCounts(u.service, u.foothold, u.new, u.unserved, list(u.own))
                    for u in sample.uses
                ],
                own=[0.0] * COUNT,
            )
            learner.learn(copy)


@every_learner
def test_ranges_are_given_for_every_owned_feature(make: Callable[[], Learner]) -> None:
    for learner in (make(), taught(make())):
        for sample in (window(random.Random(6)), HostWindow([0.0] * COUNT, 0.0)):
            ranges = learner.explain(sample)
            assert set(ranges) == set(learner.features)
            assert all(r.low <= r.high for r in ranges.values())


@given(st.lists(st.floats(0.0, 1e4), min_size=COUNT, max_size=COUNT), st.floats(0.0, 1.0))
def test_the_raw_score_is_the_sum_of_the_contributions(
    values: list[float], maturity: float
) -> None:
    into = blank()
    sample = HostWindow(values, maturity, use(random.Random(1)))
    raw = SHARED.score(sample, into)
    SHARED.close(sample, into)
    again = SHARED.score(sample, into)
    assert abs(again - sum(into)) < 1e-9
    assert raw <= again + 1e-9
    assert all(part >= 0.0 for part in into)


SHARED = Ensemble([taught(learner) for learner in default_learners(1)])


def test_every_feature_needs_exactly_one_owner() -> None:
    learners = default_learners(0)
    with pytest.raises(ValueError, match="exactly one"):
        Ensemble(learners[1:])
    with pytest.raises(ValueError, match="exactly one"):
        Ensemble((*learners, learners[0]))


def test_features_are_named_once_and_say_why() -> None:
    assert len(set(NAMES)) == COUNT == len(INDEX)
    assert all(feature.unit and feature.why.endswith(".") for feature in FEATURES)


def test_one_source_cannot_set_the_norm_of_a_service() -> None:
    from detection.learners.fanout import FanoutLearner

    learner = taught(FanoutLearner())
    sweeping = UseCounts("tcp/445", True, (9.0,) * 4, (9.0,) * 4, [0.0] * 8)
    before = learner.nats(sweeping)
    for n in range(500):
        sweeping.weight = 1.0 / (1 + n) ** 2
        learner.learn(HostWindow([0.0] * COUNT, 1.0, sweeping, [sweeping]))
    sweeping.own = [0.0] * 8
    assert learner.nats(sweeping) > 0.4 * before


def test_fan_out_on_what_gives_no_foothold_never_alerts_alone() -> None:
    from detection.learners.fanout import SOFT_CAP, FanoutLearner

    learner = taught(FanoutLearner())
    backup = UseCounts("tcp/873", False, (200.0,) * 4, (200.0,) * 4, [0.0] * 8)
    assert learner.nats(backup) <= 2 * SOFT_CAP
