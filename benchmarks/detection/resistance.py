"""Attackers who know that the detector learns, and changes of a network that are nobody's attack.

One working day of a small site. Attacks begin when the day has taught what it can teach by
noon, except those that take days, and sweeps by many hosts: what a day brings must be known.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import median

from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector
from tests.support.traffic.episodes import PORTS, InjectedEpisode, Stage, chaff, sweep
from tests.support.traffic.evasions import (
    NEW_SERVER,
    NOON,
    frog,
    knows,
    launched,
    moved,
    place,
    replace_hosts,
)
from tests.support.traffic.trials import Find, play
from tests.support.traffic.workdays import HOUR, MONDAY, inside, workdays
from topology.records import FlowRecord

SLOW_GAPS = (1.0, 5.0, 30.0, 120.0, 600.0)
SOURCES = (1, 4, 16)
GROWTH = (0, 5, 10, 20)  # percent per hour
FROG_DAYS = 3
SEEDS = 3


@cache
def background(seed: int, days: int = 1) -> tuple[list[FlowRecord], Stage]:
    """The records, and a stage on which administrators' and servers' hosts stay the owner's."""
    here = place()
    records = workdays(seed, days, here)
    stage = Stage.of(records, inside)
    staff = tuple(host for host in stage.hosts if host in here.staff)
    return records, replace_hosts(stage, staff)


def finds(draw: Callable[[random.Random, Stage], InjectedEpisode], days: int = 1) -> list[Find]:
    """One episode on each of `SEEDS` days."""
    found: list[Find] = []
    for seed in range(SEEDS):
        records, stage = background(seed, days)
        episode = draw(random.Random(seed), stage)
        found += play(Detector(seed=seed), records, [episode], inside).finds
    return found


def reached(found: Sequence[Find], tried: int) -> Figure:
    """Hosts tried until alerted, the middle of several runs; all of them where it was missed."""
    counts = [tried if find.peers is None else find.peers for find in found]
    missed = sum(not find.alerted for find in found)
    times = [find.seconds for find in found if find.seconds is not None]
    middle = f"median {median(times) / 60:.0f} min" if times else "never"
    spread = f"{min(counts)}–{max(counts)}, {missed} of {len(found)} missed, {middle}"
    return Figure(median(counts), spread)


def low_and_slow(gap: float) -> Figure:
    return reached(
        finds(lambda rng, stage: sweep(rng, stage, gap, PORTS[0], peers=24, begin=NOON)), 24
    )


def distributed(sources: int) -> Figure:
    """A new peer every 30 s in all, on the second day; share of runs in which any of the sources is
    alerted."""
    found = finds(
        lambda rng, stage: sweep(
            rng,
            stage,
            30.0,
            rng.choice((22, 3389, 5985)),
            sources=sources,
            peers=64,
            begin=NOON + 24 * HOUR,
        ),
        days=2,
    )
    hits = sum(find.alerted for find in found)
    return Figure(hits / len(found), reached(found, 64).note)


def hidden_in_chaff() -> Figure:
    found = finds(lambda rng, stage: chaff(rng, stage, 30.0))
    return Figure(sum(find.alerted for find in found) / len(found), reached(found, 60).note)


def boiling_frog(growth: int) -> Figure:
    """Hosts reached before the first alert: a sweep that begins below notice and grows slowly."""
    tried = min(
        len(frog(growth, random.Random(seed), background(seed, FROG_DAYS)[1]).records)
        for seed in range(SEEDS)
    )
    return reached(finds(partial(frog, growth), FROG_DAYS), tried)


Change = Callable[[Sequence[FlowRecord], float, int], list[FlowRecord]]


@cache
def change(name: str) -> tuple[int, int, int, int]:
    """Alerts with and without it; of the (host, new server, service) uses in the hour after it
    began, how many are taken for normal when that hour is over, and how many there were."""
    make: Change = {"migration": moved, "new-server": launched}[name]
    ten = MONDAY + 10 * HOUR
    with_it = without = known = used = 0
    for seed in range(SEEDS):
        plain, _ = background(seed)
        changed = make(plain, ten, seed)
        without += _alerts(plain, seed)
        detector = Detector(seed=seed)
        uses: set[tuple[str, str, str]] = set()
        asked = False
        for record in changed:
            if record.ts >= ten + HOUR and not asked:
                asked = True
                used += len(uses)
                known += sum(knows(detector, *use) for use in uses)
            alert = detector.step(record).alert
            with_it += alert is not None and inside(alert.host)
            if ten <= record.ts < ten + HOUR and NEW_SERVER in (record.src_ip, record.dst_ip):
                if record.proto in ("tcp", "udp") and record.state == "established":
                    uses.add((record.src_ip, record.dst_ip, record.service))
    return with_it, without, known, used


def _alerts(records: Sequence[FlowRecord], seed: int) -> int:
    detector = Detector(seed=seed)
    found = (detector.step(record).alert for record in records)
    return sum(alert is not None and inside(alert.host) for alert in found)


def more_alerts(name: str) -> Figure:
    with_it, without, _, _ = change(name)
    return Figure((with_it - without) / SEEDS, f"{with_it} with, {without} without, {SEEDS} days")


def adopted(name: str) -> Figure:
    _, _, known, used = change(name)
    return Figure(known / used, f"{used} uses in the hour after it began")


BENCHMARKS = [
    *(
        Benchmark(
            f"detection.low-and-slow.{gap:g}s.hosts-reached",
            Target("<=", 12),
            partial(low_and_slow, gap),
        )
        for gap in SLOW_GAPS
    ),
    *(
        Benchmark(
            f"detection.boiling-frog.{growth}-percent.hosts-reached",
            Target("<=", 20),
            partial(boiling_frog, growth),
        )
        for growth in GROWTH
    ),
    *(
        Benchmark(
            f"detection.distributed.{sources}-sources.recall",
            Target(">=", 0.9),
            partial(distributed, sources),
        )
        for sources in SOURCES
    ),
    Benchmark("detection.chaff.recall", Target(">=", 0.9), hidden_in_chaff),
    *(
        bench
        for name in ("migration", "new-server")
        for bench in (
            Benchmark(
                f"detection.{name}.more-alerts",
                Target("<=", 1, "a day"),
                partial(more_alerts, name),
            ),
            Benchmark(
                f"detection.{name}.known-after-an-hour", Target(">=", 0.9), partial(adopted, name)
            ),
        )
    ),
]
