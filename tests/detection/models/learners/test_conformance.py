"""Every learner keeps the contract of ``detection.models.learners.base``."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.features.catalogue import COUNT, EDGE_COUNT, FEATURES, INDEX, NAMES
from detection.models.learners.base import HostWindow, Learner, UseCounts
from detection.models.learners.edges import EdgeLearner, EdgeSight
from detection.models.learners.ensemble import Ensemble, default_learners
from detection.models.learners.fanout import SOFT_CAP, FanoutLearner
from detection.models.learners.halfspace import HalfSpaceLearner
from detection.state.counters import HORIZONS
from detection.state.edges import INWARD, WITHIN, Contact, Edge, Party
from tests.support.edge_sights import sight


def use(rng: random.Random, service: str = "tcp/22") -> UseCounts:
    grown = sorted(rng.expovariate(1.0) for _ in HORIZONS)
    new = (grown[0], grown[1], grown[2], grown[3])
    companions = rng.choice((None, rng.expovariate(1.0)))
    return UseCounts(service, service == "tcp/22", new, new, [0.0] * 8, companions=companions)


def window(rng: random.Random, scale: float = 1.0) -> HostWindow:
    values = [rng.expovariate(1.0 / scale) for _ in range(COUNT)]
    uses = [use(rng), use(rng, "tcp/80")]
    return HostWindow(values, 0.8, uses[0], uses, own=[0.0] * COUNT)


def wild_window() -> HostWindow:
    hot = UseCounts("tcp/22", True, (90.0,) * 4, (90.0,) * 4, [0.0] * 8, companions=90.0)
    return HostWindow([90.0] * COUNT, 0.8, hot, [hot])


def wild_sight() -> EdgeSight:
    edge = Edge(INWARD, Contact(), Party(), 0.0)
    edge.minute, edge.hour, edge.day = (90.0 * limit for limit in edge.limits)
    return EdgeSight(edge, 5, 0.8)


def quiet_sight() -> EdgeSight:
    pair = Contact()
    pair.before = 4_000
    return EdgeSight(Edge(WITHIN, pair, None, 0.0), 5, 1.0)


@dataclass(frozen=True)
class Subject:
    """A learner under test and what it is shown: usual (the wilder the greater the scale), wild
    and quiet."""

    make: Callable[[], Learner[Any]]
    count: int  # features of all learners of its kind
    usual: Callable[..., Any]
    wild: Callable[[], Any]
    quiet: Callable[[], Any]

    def taught(self, n: int = 700, seed: int = 1) -> Learner[Any]:
        learner, rng = self.make(), random.Random(seed)
        for _ in range(n):
            learner.learn(self.usual(rng))
        return learner

    def parts(self, learner: Learner[Any], seen: Any) -> list[float]:
        into = [0.0] * self.count
        if isinstance(learner, HalfSpaceLearner):
            seen = copy.deepcopy(seen)
            learner.measure(seen)
        learner.score(seen, into)
        return into


def of_windows(i: int) -> Subject:
    return Subject(
        lambda: default_learners(7)[i],
        COUNT,
        window,
        wild_window,
        lambda: HostWindow([0.0] * COUNT, 1.0),
    )


SUBJECTS = [
    *(of_windows(i) for i in range(len(default_learners(7)))),
    Subject(EdgeLearner, EDGE_COUNT, sight, wild_sight, quiet_sight),
]
every_learner = pytest.mark.parametrize(
    "subject", SUBJECTS, ids=[subject.make().name for subject in SUBJECTS]
)


def stored(learner: Learner[Any]) -> bytes:
    return msgspec.msgpack.encode(learner.snapshot())


@every_learner
def test_it_writes_its_own_features_and_no_others(subject: Subject) -> None:
    learner = subject.taught()
    into = [-1.0] * subject.count
    learner.score(subject.usual(random.Random(2), 30.0), into)
    owned = set(learner.features)
    assert owned and owned <= set(range(subject.count))
    assert all(into[i] >= 0.0 and math.isfinite(into[i]) for i in owned)
    assert all(into[i] == -1.0 for i in range(subject.count) if i not in owned)


@every_learner
def test_scoring_changes_nothing(subject: Subject) -> None:
    learner = subject.taught()
    sample = subject.usual(random.Random(3), 20.0)
    before, seen = stored(learner), pickle.dumps(sample)
    assert subject.parts(learner, sample) == subject.parts(learner, sample)
    assert stored(learner) == before
    assert pickle.dumps(sample) == seen


@every_learner
def test_the_quiet_adds_nothing(subject: Subject) -> None:
    parts = subject.parts(subject.taught(), subject.quiet())
    assert sum(parts) <= 1.6  # only an unusual combination may say anything about silence


@every_learner
def test_the_wild_adds_more_than_the_usual(subject: Subject) -> None:
    learner = subject.taught()
    usual = subject.parts(learner, subject.usual(random.Random(4)))
    assert sum(subject.parts(learner, subject.wild())) > sum(usual)


@every_learner
def test_what_comes_again_and_again_says_no_more_than_before(subject: Subject) -> None:
    learner = subject.taught()
    before = sum(subject.parts(learner, subject.wild()))
    for _ in range(2_000):
        learner.learn(subject.wild())
    after = sum(subject.parts(learner, subject.wild()))
    learns_nothing = stored(learner) == stored(subject.make())
    assert after == before if learns_nothing else after < before


@every_learner
def test_an_untaught_learner_says_nothing_of_the_quiet(subject: Subject) -> None:
    parts = subject.parts(subject.make(), subject.quiet())
    assert sum(parts) < 0.1


@every_learner
def test_two_taught_alike_agree_and_a_snapshot_continues(subject: Subject) -> None:
    one, other = subject.taught(400), subject.taught(400)
    fresh = subject.make()
    fresh.restore(msgspec.msgpack.decode(stored(one)))
    rng = random.Random(5)
    for _ in range(300):
        sample = subject.usual(rng, 3.0)
        answers = [subject.parts(learner, sample) for learner in (one, other, fresh)]
        assert answers[0] == answers[1] == answers[2]
        for learner in (one, other, fresh):
            learner.learn(copy.deepcopy(sample))


@pytest.mark.threat("stored-code")
@every_learner
@pytest.mark.parametrize("state", [[], {}, "x", 7, [[]], [None], [[1.0, float("nan")], {}]])
def test_it_refuses_what_is_no_snapshot_of_it(subject: Subject, state: object) -> None:
    with pytest.raises(ValueError):
        subject.make().restore(state)


@every_learner
def test_what_it_keeps_does_not_grow_with_what_it_sees(subject: Subject) -> None:
    little = len(stored(subject.taught(1_000)))
    assert len(stored(subject.taught(4_000))) < 1.1 * little


@every_learner
def test_ranges_are_given_for_every_owned_feature(subject: Subject) -> None:
    for learner in (subject.make(), subject.taught()):
        for sample in (subject.usual(random.Random(6)), subject.quiet(), subject.wild()):
            ranges = learner.explain(sample)
            assert set(ranges) == set(learner.features)
            assert all(r.low <= r.high for r in ranges.values())


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("own", [None, 2.0])
def test_only_what_is_outside_the_range_shown_as_normal_adds_anything(
    scale: float, own: float | None
) -> None:
    rng = random.Random(8)
    added = 0
    for ensemble in (Ensemble(default_learners(7)), SHARED):
        for _ in range(300):
            sample = window(rng, scale)
            assert sample.strongest is not None
            if own is not None:
                sample.own, sample.strongest.own = [own] * COUNT, [own] * 8
            start = INDEX["service_fanout_1m"]
            sample.values[start : start + 4] = sample.strongest.new
            sample.values[start + 4 : start + 8] = sample.strongest.unserved
            ensemble.close(sample)
            into = [0.0] * COUNT
            ensemble.score(sample, into)
            for i, normal in ensemble.explain(sample).items():
                if into[i] > 0.0:
                    added += 1
                    assert not normal.low <= sample.values[i] <= normal.high, NAMES[i]
    assert added > 100


@given(st.lists(st.floats(0.0, 1e4), min_size=COUNT, max_size=COUNT), st.floats(0.0, 1.0))
def test_the_raw_score_is_the_sum_of_the_contributions(
    values: list[float], maturity: float
) -> None:
    into = [0.0] * COUNT
    sample = HostWindow(values, maturity, use(random.Random(1)))
    SHARED.close(sample)
    raw = SHARED.score(sample, into)
    assert abs(raw - sum(into)) < 1e-9
    assert all(part >= 0.0 for part in into)


SHARED = Ensemble([of_windows(i).taught() for i in range(len(default_learners(7)))])


def test_every_feature_needs_exactly_one_owner() -> None:
    learners = default_learners(0)
    with pytest.raises(ValueError, match="exactly one"):
        Ensemble(learners[1:])
    with pytest.raises(ValueError, match="exactly one"):
        Ensemble((*learners, learners[0]))


def test_features_are_named_once_and_say_why() -> None:
    assert len(set(NAMES)) == COUNT == len(INDEX)
    assert all(feature.unit and feature.why.endswith(".") for feature in FEATURES)


def taught_fanout() -> FanoutLearner:
    learner, rng = FanoutLearner(), random.Random(1)
    for _ in range(700):
        learner.learn(window(rng))
    return learner


def test_one_source_cannot_set_the_norm_of_a_service() -> None:
    learner = taught_fanout()
    sweeping = UseCounts("tcp/445", True, (9.0,) * 4, (9.0,) * 4, [0.0] * 8)
    before = learner.nats(sweeping)
    for n in range(500):
        sweeping.weight = 1.0 / (1 + n) ** 2
        learner.learn(HostWindow([0.0] * COUNT, 1.0, sweeping, [sweeping]))
    sweeping.own = [0.0] * 8
    assert learner.nats(sweeping) > 0.4 * before


def test_fan_out_on_what_gives_no_foothold_never_alerts_alone() -> None:
    learner = taught_fanout()
    backup = UseCounts("tcp/873", False, (200.0,) * 4, (200.0,) * 4, [0.0] * 8)
    assert learner.nats(backup) <= 2 * SOFT_CAP
