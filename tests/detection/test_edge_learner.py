"""The learner of single connections keeps the contract of the others."""

from __future__ import annotations

import math
import pickle
import random

from hypothesis import given
from hypothesis import strategies as st

from detection.edges import INWARD, OUTWARD, WAYS, WITHIN, Contact, Edge, EdgeBook
from detection.features import EDGE_COUNT
from detection.learners.edges import RECENT, EdgeLearner, EdgeSight

HOUR = 3600.0


def sight(rng: random.Random) -> EdgeSight:
    way = rng.randrange(WAYS)
    pair, party = Contact(), Contact() if way != WITHIN else None
    pair.before = int(rng.expovariate(0.05))
    if party is not None:
        party.before = int(rng.expovariate(0.02))
    edge = Edge(way, pair, party, 0.0)
    edge.counts = [rng.expovariate(1.0 / limit) for limit in edge.limits]
    return EdgeSight(edge, rng.randrange(500), 0.7, rng.choice((0.0, 1.0)))


def taught(n: int = 4_000, seed: int = 1) -> EdgeLearner:
    learner, rng = EdgeLearner(), random.Random(seed)
    for _ in range(n):
        learner.learn(sight(rng))
    return learner


def parts(learner: EdgeLearner, seen: EdgeSight) -> list[float]:
    into = [-1.0] * EDGE_COUNT
    learner.score(seen, into)
    return into


@given(st.integers(0, 10_000))
def test_what_is_asked_for_each_record_is_the_sum_of_the_contributions(seed: int) -> None:
    seen = sight(random.Random(seed))
    into = parts(SHARED, seen)
    total = SHARED.nats(seen.edge, seen.hour, seen.maturity, seen.burst)
    assert abs(total - sum(into)) < 1e-9
    assert all(part >= 0.0 and math.isfinite(part) for part in into)


SHARED = taught()


def test_scoring_changes_nothing_and_a_snapshot_continues() -> None:
    one, other = taught(), EdgeLearner()
    before = pickle.dumps(one.snapshot())
    seen = sight(random.Random(3))
    assert parts(one, seen) == parts(one, seen)
    assert pickle.dumps(one.snapshot()) == before
    other.restore(pickle.loads(before))
    for seed in range(600):
        first, second = sight(random.Random(seed)), sight(random.Random(seed))
        assert parts(one, first) == parts(other, second)
        one.learn(first)
        other.learn(second)


def test_every_feature_has_a_range() -> None:
    for learner in (EdgeLearner(), SHARED):
        ranges = learner.explain(sight(random.Random(4)))
        assert set(ranges) == set(learner.features)
        assert all(r.low <= r.high for r in ranges.values())


def test_memory_stays_and_the_old_loses_weight() -> None:
    learner = taught()
    size = len(pickle.dumps(learner.snapshot()))
    assert len(pickle.dumps(taught(20_000).snapshot())) < 1.1 * size
    learner._populations[0].shares[0][0] += 2.0 * RECENT
    learner._populations[0].work_out()
    assert sum(learner._populations[0].shares[0]) < 1.1 * RECENT


def test_strangers_stand_out_where_partners_come_back_and_not_where_visits_are_new() -> None:
    learner = EdgeLearner()
    partner, visited = Contact(), Contact()
    partner.before = visited.before = 200
    for i in range(2_000):
        learner.learn(EdgeSight(Edge(INWARD, partner, visited, 60.0 * i), 5, 1.0))
        learner.learn(EdgeSight(Edge(OUTWARD, Contact(), Contact(), 60.0 * i), 5, 1.0))
    come = learner.nats(Edge(INWARD, Contact(), Contact(), 0.0), 5, 1.0, 0.0)
    gone = learner.nats(Edge(OUTWARD, Contact(), Contact(), 0.0), 5, 1.0, 0.0)
    assert come > 8.0
    assert gone < 0.5


def test_a_habit_is_no_surge_the_next_time() -> None:
    edge = Edge(WITHIN, Contact(), None, 0.0)
    above = []
    for day in range(4):
        for i in range(300):
            edge.use(86_400.0 * day + i / 10.0, calm=True)
        above.append(edge.counts[0] / edge.limits[0])
    assert above[0] > 5.0
    assert above[3] < 1.0


def test_a_surge_of_a_host_under_alert_becomes_no_habit() -> None:
    edge = Edge(WITHIN, Contact(), None, 0.0)
    for i in range(300):
        edge.use(i / 10.0, calm=False)
    before = list(edge.limits)
    edge.use(7_200.0, calm=False)
    assert edge.limits == before


def test_a_full_book_forgets_what_was_idle_longest() -> None:
    book = EdgeBook(100)
    for i in range(1_000):
        book.meet(f"10.0.{i % 7}.1", f"10.1.{i // 250}.{i % 250}", WITHIN, float(i))
        assert len(book) <= 100
    kept = [edge.ts for known in book.edges.values() for edge in known.values()]
    assert len(kept) == len(book)
    assert min(kept) >= 870.0
