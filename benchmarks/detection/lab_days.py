"""Three simulated working days: the same sweeps, and what the alert budget is spent on.

Fifty sweeps over ten sites, five on each. The five share one pass: their sources are not each
other's targets, but they do share the budget, and an alert makes the next one harder, so recall
is understated if anything. A false alert is any alert on an internal host that is no source,
targets of a sweep included.
"""

from __future__ import annotations

import random
from functools import cache

from benchmarks.detection.campus import share_found
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector
from detection.settings import DetectorSettings
from tests.support.traffic.episodes import InjectedEpisode, Stage, campus_sweep
from tests.support.traffic.trials import DetectionTrial, play
from tests.support.traffic.workdays import DAY, GeneratedSite, inside, site, workdays

DAYS = 3
SITES = 10
SWEEPS = 5
LARGE = 850  # workstations: about 1,000 hosts


def sweeps(seed: int, stage: Stage, where: GeneratedSite) -> list[InjectedEpisode]:
    """Five, anywhere in the three days, by hosts that are not administrators' own."""
    rng = random.Random(seed)
    found: list[InjectedEpisode] = []
    taken = {*where.admins, where.deploy, where.updates, where.monitor, where.backup}
    for i in range(SWEEPS):
        number = seed * SWEEPS + i
        sources = {source for e in found for source in e.sources}
        targets = {target for e in found for target in e.targets}
        begin = stage.begin + rng.uniform(0.0, (stage.end - stage.begin) - 1.3 * 3600.0)
        hosts = tuple(h for h in stage.hosts if h not in targets and h not in taken)
        narrowed = Stage(hosts, stage.targets, stage.begin, stage.end, stage.form, stage.used)
        found.append(campus_sweep(number, narrowed, sources, begin))
    return found


@cache
def trials() -> tuple[DetectionTrial, ...]:
    done = []
    where = site()
    for seed in range(SITES):
        records = workdays(seed, DAYS, where)
        stage = Stage.of(records, inside)
        done.append(play(Detector(seed=seed), records, sweeps(seed, stage, where), inside))
    return tuple(done)


def recall() -> Figure:
    return share_found([find for trial in trials() for find in trial.finds])


def false_alerts() -> Figure:
    """Per day and 1,000 hosts."""
    count = sum(len(trial.others) for trial in trials())
    host_days = site().size * DAYS * SITES
    return Figure(1000.0 * count / host_days, f"{count} in {SITES} runs of {DAYS} days")


@cache
def large() -> tuple[int, int, int]:
    """A large site without any attack: alerts on the worst day, in all, and hosts."""
    where = site(LARGE)
    detector = Detector(DetectorSettings())
    by_day = [0] * DAYS
    begin = None
    for record in workdays(1, DAYS, where):
        begin = record.ts if begin is None else begin
        alert = detector.step(record).alert
        if alert is not None and inside(alert.host):
            by_day[min(DAYS - 1, int((record.ts - begin) / DAY))] += 1
    return max(by_day), sum(by_day), where.size


def budget_kept() -> Figure:
    """Alerts of a day, mean over the days, in parts of what the budget allows for that many."""
    worst, count, hosts = large()
    allowed = max(1.0, DetectorSettings().alert_budget * hosts / 1000.0)
    note = f"{hosts} hosts, {count} alerts in {DAYS} days, {worst} on the worst day"
    return Figure(count / DAYS / allowed, note)


BENCHMARKS = [
    Benchmark("detection.lab-days.recall", Target(">=", 0.9), recall),
    Benchmark(
        "detection.lab-days.false-alerts",
        Target("<=", 5, "a day per 1,000 hosts"),
        false_alerts,
    ),
    Benchmark("detection.lab-days.budget-spent", Target("<=", 1, "of the budget"), budget_kept),
]
