"""Administration-port sweeps injected into campus traffic: found, and at what cost?

Every episode is one internal host that never used the port, trying internal addresses at one
new peer per 1 to 300 s: one pass over the whole recording for each. Half of the episodes reach
services that answer, half mostly do not.

For poisoning the sources are hosts with traffic of their own to hide in, and each of them spends
5 % of it, from the recording's start to its sweep, on connections to other peers on the port that
it is going to sweep, all of which succeed. Two sources share a pass; the same passes without the
poison are the comparison.
"""

from __future__ import annotations

import random
from functools import cache
from statistics import median

from benchmarks.detection.recordings import labelled
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector
from tests.support.traffic.episodes import InjectedEpisode, Stage, campus_sweep, poison
from tests.support.traffic.trials import DetectionTrial, Find, play
from topology.records import FlowRecord

FILE = "campus-background.csv.gz"
SEEDS = 50
POISONED = 20  # passes, with two sources each
BUSY = 60  # records before the sweep, so that 5 % is something


def inside(host: str) -> bool:
    return host.startswith("147.32.")


@cache
def background() -> tuple[list[FlowRecord], Stage]:
    records = [row.record for row in labelled(FILE)]
    return records, Stage.of(records, inside)


@cache
def trials() -> tuple[DetectionTrial, ...]:
    records, stage = background()
    return tuple(
        play(Detector(seed=seed), records, [campus_sweep(seed, stage)], inside)
        for seed in range(SEEDS)
    )


def recall() -> Figure:
    """Share of episodes that were alerted before they ended."""
    finds = [trial.finds[0] for trial in trials()]
    return share_found(finds)


def share_found(finds: list[Find]) -> Figure:
    hits = [find.peers for find in finds if find.peers is not None]
    middle = f"median {median(hits):.0f} peers to alert" if hits else "none found"
    return Figure(len(hits) / len(finds), f"{len(finds)} episodes, {middle}")


def others_alerted() -> Figure:
    """The most other internal hosts alerted in any run over the 2.15 h."""
    return Figure(max(len(set(t.others)) for t in trials()), f"worst of {SEEDS} runs")


def busy_sweeps(seed: int, stage: Stage) -> list[InjectedEpisode]:
    """Two sweeps in the second half, by hosts that have been busy in the first."""
    half = (stage.begin + stage.end) / 2.0
    rng = random.Random(seed)
    able = {h: sum(r.ts < half for r in records) for h, records in stage.used.items()}
    busy = tuple(sorted(h for h, count in able.items() if count >= BUSY))
    narrowed = Stage(busy, stage.targets, half, stage.end, stage.form, stage.used)
    one = campus_sweep(2 * seed, narrowed, begin=half + rng.uniform(0.0, 240.0))
    other = campus_sweep(
        2 * seed + 1, narrowed, {*one.sources, *one.targets}, half + rng.uniform(0.0, 240.0)
    )
    return [one, other]


@cache
def poisoning() -> tuple[int, int, int, int]:
    """Episodes, found without poison, found with it, and records of poison."""
    records, stage = background()
    count = clean = with_poison = spent = 0
    for seed in range(POISONED):
        episodes = busy_sweeps(seed, stage)
        rng = random.Random(seed)
        dose = [record for e in episodes for record in poison(rng, stage, e)]
        for amount in ([], dose):
            found = play(Detector(seed=seed), records, episodes, inside, amount).finds
            alerted = sum(find.alerted for find in found)
            if amount is dose:
                with_poison += alerted
            else:
                clean += alerted
        count += len(episodes)
        spent += len(dose)
    return count, clean, with_poison, spent


def poison_costs() -> Figure:
    """Points of recall lost."""
    count, clean, left, spent = poisoning()
    note = f"{count} episodes, found {clean} without and {left} with {spent} poison records"
    return Figure(100.0 * (clean - left) / count, note)


BENCHMARKS = [
    Benchmark("detection.campus-sweeps.recall", Target(">=", 0.9), recall),
    Benchmark("detection.campus-sweeps.other-hosts", Target("<=", 3), others_alerted),
    Benchmark("detection.poisoning.recall-lost", Target("<=", 10, "points"), poison_costs),
]
