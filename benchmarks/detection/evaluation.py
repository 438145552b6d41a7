"""Every kind of attack, beside simpler methods, over two backgrounds: tables and plots.

    python -m benchmarks.detection.evaluation [campus|days]

measures (minutes) and writes ``docs/evaluation/*.json``; the tables of ``docs/evaluation.md`` and
the plots are made from these by ``python -m benchmarks.detection.evaluation_page``.

Rivals see all kinds in one pass, as they have no memory of alerts. The detector's alerts share a
budget, so it gets a pass for every two kinds. Sources are drawn anew for each kind and are no
sources of another kind in the same seed, nor targets where enough others are left.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.detection import campus
from benchmarks.detection.metrics import Ranking, rank_few
from benchmarks.detection.rivals import RIVALS
from detection.detector import Detector
from tests.support.traffic.episodes import (
    PORTS,
    InjectedEpisode,
    Stage,
    chaff,
    chain,
    mimicry,
    port_scan,
    sweep,
)
from tests.support.traffic.trials import DetectionTrial, play
from tests.support.traffic.workdays import inside, site, workdays
from topology.records import FlowRecord

OUT = Path(__file__).parents[2] / "docs" / "evaluation"
OURS = "Septum"
BUDGETS = (0, 1, 3, 10, 30)
SEEDS = {"campus": 4, "days": 2}
TOGETHER = 2
ENOUGH = 40  # hosts to draw sources from


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """One scorer on one episode. ``at`` tells for each of `BUDGETS` whether it scores above all
    but so many other internal hosts; ``alerted``, ``peers`` and ``seconds`` are of the detector's
    own alerts and None for rivals, which have none; ``others`` are false alerts of the pass."""

    scorer: str
    kind: str
    at: tuple[bool, ...]
    alerted: bool | None
    peers: int | None
    seconds: float | None
    others: int | None
    average_precision: float
    tpr: tuple[float, float]
    tpr_lucky: tuple[float, float]


Draw = Callable[[random.Random, Stage], InjectedEpisode]


def kinds(inside: Callable[[str], bool]) -> dict[str, Draw]:
    """What is tried, in the order of the table."""

    def ports(gap: float, **more: int) -> Draw:
        def draw(rng: random.Random, stage: Stage) -> InjectedEpisode:
            able = [p for p in PORTS if len(stage.strangers(p)) >= more.get("sources", 1)]
            return sweep(rng, stage, gap, rng.choice(able), **more)  # type: ignore[arg-type]

        return draw

    return {
        "sweep, a peer per 1 s": ports(1.0),
        "sweep, a peer per 30 s": ports(30.0),
        "sweep, a peer per 300 s": ports(300.0),
        "sweep, a peer per 600 s": ports(600.0, peers=12),
        "the same, 4 sources, 30 s": ports(30.0, sources=4, peers=48),
        "the same, 16 sources, 30 s": ports(30.0, sources=16, peers=64),
        "chaff: 20 usual to 1 probe": chaff,
        "port scan of one peer": port_scan,
        "hop chain, let in everywhere": chain,
        "mimicry: known edges only": lambda rng, stage: mimicry(rng, stage, inside),
    }


def drawn(seed: int, stage: Stage, inside: Callable[[str], bool]) -> dict[str, InjectedEpisode]:
    rng = random.Random(seed)
    found: dict[str, InjectedEpisode] = {}
    for kind, draw in kinds(inside).items():
        taken = {h for e in found.values() for h in e.sources}
        reached = {h for e in found.values() for h in e.targets}
        left = tuple(h for h in stage.hosts if h not in taken)
        untouched = tuple(h for h in left if h not in reached)
        narrowed = Stage(
            hosts=untouched if len(untouched) >= ENOUGH else left,
            targets=tuple(t for t in stage.targets if t not in taken),
            begin=stage.begin,
            end=stage.end,
            form=stage.form,
            used=stage.used,
        )
        found[kind] = draw(rng, narrowed)
    return found


def outcomes(
    background: Sequence[FlowRecord], stage: Stage, seed: int, inside: Callable[[str], bool]
) -> list[EpisodeResult]:
    """Every kind by every scorer, for one seed."""
    episodes = drawn(seed, stage, inside)
    names = list(episodes)
    found = []
    for begin in range(0, len(names), TOGETHER):
        some = names[begin : begin + TOGETHER]
        trial = play(Detector(seed=seed), background, [episodes[k] for k in some], inside)
        found += _outcomes(OURS, some, trial)
    for rival, make in RIVALS.items():
        trial = play(make(), background, [episodes[k] for k in names], inside)
        found += _outcomes(rival, names, trial)
    return found


def _outcomes(scorer: str, kinds: Sequence[str], trial: DetectionTrial) -> list[EpisodeResult]:
    by_part: dict[int, list[float]] = {}
    for score, part in zip(trial.scores, trial.parts, strict=True):
        by_part.setdefault(part, []).append(score)
    usual = sorted(by_part[0])
    return [
        _outcome(scorer, kind, trial, i, rank_few(by_part[i + 1], usual))
        for i, kind in enumerate(kinds)
    ]


def _outcome(
    scorer: str, kind: str, trial: DetectionTrial, i: int, ranking: Ranking
) -> EpisodeResult:
    find = trial.finds[i]
    ours = scorer == OURS
    return EpisodeResult(
        scorer=scorer,
        kind=kind,
        at=tuple(trial.found_at(budget)[i] for budget in BUDGETS),
        alerted=find.alerted if ours else None,
        peers=find.peers,
        seconds=find.seconds,
        others=len(trial.others) if ours else None,
        average_precision=ranking.average_precision,
        tpr=(ranking.tpr_at[1e-2], ranking.tpr_at[1e-3]),
        tpr_lucky=(ranking.tpr_lucky[1e-2], ranking.tpr_lucky[1e-3]),
    )


def measure(name: str) -> list[EpisodeResult]:
    found = []
    if name == "campus":
        records, stage = campus.background()
        for seed in range(SEEDS[name]):
            found += outcomes(records, stage, 1000 + seed, campus.inside)
        return found
    where = site()
    for seed in range(SEEDS[name]):
        records = workdays(1000 + seed, 1, where)
        stage = Stage.of(records, inside)
        found += outcomes(records, stage, 1000 + seed, inside)
    return found


def main() -> None:
    for name in sys.argv[1:] or list(SEEDS):
        if name not in SEEDS:
            sys.exit(f"usage: python -m benchmarks.detection.evaluation [{'|'.join(SEEDS)}]")
        found = [asdict(outcome) for outcome in measure(name)]
        OUT.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(outcome) for outcome in found)
        (OUT / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
