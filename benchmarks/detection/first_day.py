"""The first minute in an unknown network: no false alert, and the attack seen at once."""

from __future__ import annotations

import random
from time import perf_counter

from benchmarks.runner import Benchmark, Figure, Target, median
from detection.detector import Detector
from tests.support.traffic.office import APP, CLIENTS, DB, HOSTS, T0, WEB, benign, start, sweep

SEEDS = 60
CHAINS = 200
FRESH = 5000  # seeds from here on were not used to choose weights


def false_alerts() -> Figure:
    count = 0
    for seed in range(SEEDS):
        detector = Detector(seed=seed)
        for record in benign(seed, (15.0, 25.0, 40.0)[seed % 3]):
            count += detector.step(record).alert is not None
    return Figure(count, f"{SEEDS} seeds, no history")


def attempts_to_alert() -> Figure:
    """The worst of several sweeps, in attempts; a sweep that is missed counts in full."""
    worst = 0
    for seed in range(SEEDS):
        detector = Detector(seed=seed)
        for record in benign(seed, 25.0):
            detector.step(record)
        rng = random.Random(seed)
        targets = rng.sample([f"10.1.6.{i}" for i in range(1, 100)], 40) + list(HOSTS)
        rng.shuffle(targets)
        attack = sweep(T0 + 30, WEB[0], targets, (22, 80, 443, 445))
        tries = next(
            (i for i, r in enumerate(attack, 1) if detector.step(r).alert is not None), len(attack)
        )
        worst = max(worst, tries)
    return Figure(worst, f"worst of {SEEDS} sweeps")


def hops_to_alert() -> Figure:
    """Allowed hops only, no scan, on one fixed way: attempts until a lateral path is alerted."""
    worst = 0
    way = (CLIENTS[0], WEB[0], APP[0], DB[0], DB[1])
    for seed in range(SEEDS):
        detector = Detector(seed=seed)
        for record in benign(seed, 30.0):
            detector.step(record)
        tries = len(way)
        for i, (src, dst) in enumerate(zip(way, way[1:], strict=False), 1):
            alert = detector.step(start(T0 + 40 + 5.0 * i, src, dst, 22)).alert
            if alert is not None and alert.kind == "lateral-path":
                tries = i
                break
        worst = max(worst, tries)
    return Figure(worst, f"worst of {SEEDS} chains of four hops, five if missed")


def random_chains() -> Figure:
    """Share of chains of four hops between hosts drawn at random that are alerted by their end."""
    at: list[int] = []
    for seed in range(FRESH, FRESH + CHAINS):
        detector = Detector(seed=seed)
        for record in benign(seed, 30.0):
            detector.step(record)
        way = random.Random(seed).sample(HOSTS, 5)
        for i, (src, dst) in enumerate(zip(way, way[1:], strict=False), 1):
            if detector.step(start(T0 + 40 + 5.0 * i, src, dst, 22)).alert is not None:
                at.append(i)
                break
    by_hop = ", ".join(f"{at.count(i)} at hop {i}" for i in range(1, 5))
    return Figure(len(at) / CHAINS, f"of {CHAINS}: {by_hop}, {CHAINS - len(at)} missed")


def speed() -> Figure:
    rates = []
    records = [r for i in range(20) for r in benign(i, 40.0, T0 + 60.0 * i)]
    for seed in range(5):
        detector = Detector(seed=seed)
        begun = perf_counter()
        for record in records:
            detector.step(record)
        rates.append(len(records) / (perf_counter() - begun))
    return median(rates)


BENCHMARKS = [
    Benchmark("detection.first-minute.false-alerts", Target("==", 0), false_alerts),
    Benchmark("detection.first-minute.sweep-attempts", Target("<=", 15), attempts_to_alert),
    Benchmark("detection.first-minute.hops", Target("<=", 3), hops_to_alert),
    Benchmark("detection.first-minute.random-chains", Target(">=", 0.9), random_chains),
    Benchmark("detection.speed.office", Target(">=", 50_000, "records/s"), speed),
]
