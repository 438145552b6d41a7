"""What edges remember and what their learner makes of it (its contract: ``test_learners``)."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from detection.detector import Detector, DetectorSettings
from detection.features.catalogue import EDGE_COUNT
from detection.models.learners.edges import RECENT, EdgeLearner, EdgeSight, bins_of
from detection.state.edges import (
    DAY,
    INWARD,
    KEPT,
    OUTWARD,
    WITHIN,
    Contact,
    Edge,
    EdgeStore,
    Party,
)
from detection.state.host_registry import SILENT
from tests.support.edge_sights import sight
from topology.records import FlowRecord

HOUR = 3600.0


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
    total = SHARED.nats(seen.edge, bins_of(seen.edge, seen.hour), seen.maturity, seen.burst)
    assert abs(total - sum(into)) < 1e-9
    assert all(part >= 0.0 and math.isfinite(part) for part in into)


SHARED = taught()


def test_the_old_loses_weight() -> None:
    learner = taught()
    learner._populations[0].shares[0][0] += 2.0 * RECENT
    learner._populations[0].work_out()
    assert sum(learner._populations[0].shares[0]) < 1.1 * RECENT


def test_strangers_stand_out_where_partners_come_back_and_not_where_visits_are_new() -> None:
    learner = EdgeLearner()
    partner, visited = Contact(), Party()
    partner.before = visited.before = 200
    for i in range(2_000):
        learner.learn(EdgeSight(Edge(INWARD, partner, visited, 60.0 * i), 5, 1.0))
        learner.learn(EdgeSight(Edge(OUTWARD, Contact(), Party(), 60.0 * i), 5, 1.0))
    come = parts(learner, EdgeSight(Edge(INWARD, Contact(), Party(), 0.0), 5, 1.0))
    gone = parts(learner, EdgeSight(Edge(OUTWARD, Contact(), Party(), 0.0), 5, 1.0))
    assert sum(come) > 8.0
    assert sum(gone) < 0.5


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
    before = edge.limits
    edge.use(7_200.0, calm=False)
    assert edge.limits == before


def test_a_full_book_forgets_what_was_idle_longest() -> None:
    book = EdgeStore(100)
    for i in range(1_000):
        book.meet(f"10.0.{i % 7}.1", f"10.1.{i // 250}.{i % 250}", WITHIN, float(i))
        assert len(book) <= 100
    kept = [edge.ts for known in book.edges.values() for edge in known.values()]
    assert len(kept) == len(book)
    assert min(kept) >= 870.0


def test_a_book_keeps_nothing_of_what_it_forgot() -> None:
    book = EdgeStore(1_000)
    for i in range(5_000):
        stranger = f"198.51.{i // 250}.{i % 250}"
        book.meet(stranger, "10.0.0.1", INWARD, float(i))
        book.meet("10.0.0.1", stranger, OUTWARD, float(i))
        book.forget_before(float(i))
    assert len(book) == 0 == len(book.edges)
    assert len(book._parties) == 0
    assert book.forgotten == 10_000


def test_a_visitor_is_rare_again_when_its_other_hosts_are_forgotten() -> None:
    book = EdgeStore(1_000)
    for i in range(5):
        book.meet(f"10.0.0.{i}", "198.51.100.1", OUTWARD, float(i))
    book.forget_before(3.0)
    edge = book.find("10.0.0.4", "198.51.100.1")
    assert edge is not None and edge.party is not None
    assert edge.party.users == 1
    assert book.find("10.0.0.3", "198.51.100.1") is None


def test_weekly_work_is_remembered_and_what_never_came_back_is_not() -> None:
    detector = Detector(DetectorSettings(internal=("10.0.0.0/8",)))
    for day in range(50):
        begin = 1e9 + DAY * day
        detector.step(FlowRecord(begin, "10.0.0.1", "10.0.0.2", "tcp", dst_port=80))
        if day % 7 == 0 and day != 21:  # once it fails
            detector.step(FlowRecord(begin + 1, "10.0.0.3", "10.0.0.4", "tcp", dst_port=873))
        detector.step(FlowRecord(begin + 2, f"198.51.100.{day}", "10.0.0.1", "tcp", dst_port=443))
    edges = detector.host_registry.edges
    weekly = edges.find("10.0.0.3", "10.0.0.4")
    assert weekly is not None and weekly.pair.known(10**9) == 7
    assert len(edges) <= 2 + KEPT / DAY + 2
    assert set(detector.host_registry.hosts) >= {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}
    health = detector.health()
    assert health.forgotten_edges >= 50 - KEPT / DAY - 2
    assert health.forgotten_hosts >= 50 - SILENT / DAY - 2
