"""Records of sampled packets, and of one direction, say nothing about how a connection went."""

from __future__ import annotations

import random

from detection.detector import Detector
from detection.features.movement import outcome_of
from tests.support.traffic.office import T0
from topology.records import FlowRecord

DESKS = [f"10.2.0.{i}" for i in range(10, 40)]
SERVERS = [f"10.2.9.{i}" for i in range(1, 20)]


def day(sampled: bool) -> Detector:
    """People at work: of each connection one packet is seen, or all of them."""
    detector, rng = Detector(), random.Random(5)
    raised = 0
    for i in range(4000):
        src, dst, port = rng.choice(DESKS), rng.choice(SERVERS), rng.choice((80, 443, 445, 22))
        packets = 1 if sampled else rng.randrange(8, 90)
        size = rng.choice((60, 60, 1500, 900)) * packets
        record = FlowRecord(T0 + i / 2, src, dst, "tcp", 40_000, port, packets=packets, bytes=size)
        raised += detector.step(record).alert is not None
    assert raised == 0
    return detector


def probe(ts: float, dst: str) -> FlowRecord:
    return FlowRecord(ts, DESKS[0], dst, "tcp", 40_000, 3389, packets=2, bytes=100)


def failures(detector: Detector) -> float:
    """What failures add after twelve probes of three packets at most."""
    for i in range(12):
        detector.step(probe(T0 + 2001 + i, f"10.2.5.{i + 1}"))
    parts = detector.contributions(DESKS[0])[1]
    return sum(part for name, part in parts.items() if name.startswith("failed_pairs"))


def test_few_packets_are_no_failure_where_packets_are_sampled() -> None:
    assert failures(day(sampled=False)) > 5.0
    detector = day(sampled=True)
    restored = Detector.restore(detector.snapshot())
    assert failures(detector) == failures(restored) == 0.0


def test_one_direction_alone_is_no_failure() -> None:
    half = FlowRecord(T0, DESKS[0], SERVERS[0], "tcp", 40_000, 22, packets_out=2, bytes_out=100)
    both = FlowRecord(
        T0, DESKS[0], SERVERS[0], "tcp", 40_000, 22,
        packets_out=2, bytes_out=100, packets_in=0, bytes_in=0,
    )  # fmt: skip
    assert outcome_of(half) == "let-in"
    assert outcome_of(both) == "failed"
