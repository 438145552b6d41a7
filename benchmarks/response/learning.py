"""The learner against never-block, always-quarantine and the fixed table, on held-back days.

It learns on days made of one half of a recording and is measured on days made of the other half,
all policies on the same days. ``python -m benchmarks.response_learning FOLDER`` writes the figures
of the manual (a table and a picture for each scene) into FOLDER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import fmean

from benchmarks.response.gym import Earned, ResponseEnv
from benchmarks.response.scene import Scene, campus_scene, demo_scene
from benchmarks.runner import Benchmark, Figure, MissingData, Target
from response.decision import ARMS, Arm
from response.decisions.action_table import fixed_action
from response.decisions.bandit import ActionLearner, Context

SEEDS = tuple(range(24))
TRAINING = tuple(range(1000, 1040))
SCENES: dict[str, Callable[[], Scene]] = {"demo": demo_scene, "campus": campus_scene}
RESAMPLES = 4000
CONTAINS = 0.5  # a policy contains attacks when it leaves less than this part of never-block's
MARGIN = 0.01  # of never-block's exposure: what counts as no worse
Chooser = Callable[[Context], Arm]


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """One day under one policy: benign connections lost and carried, host pairs exposed."""

    lost: int
    carried: int
    exposed: int


def play(env: ResponseEnv, seed: int, choose: Chooser) -> tuple[DayOutcome, list[Earned]]:
    """One day, every alert answered by ``choose``."""
    earned: list[Earned] = []
    _, info = env.reset(seed=seed)
    while info["context"] is not None:
        _, _, _, _, info = env.step(ARMS.index(choose(info["context"])))
        earned += info["earned"]
    totals = env.totals
    return DayOutcome(totals.lost, totals.carried, totals.exposure), earned


def train(scene: Scene, seeds: Sequence[int], seed: int = 0) -> ActionLearner:
    """A learner that starts as the fixed table and explores on training days."""
    learner, env = ActionLearner(seed), ResponseEnv(scene.half(held_back=False))
    for day in seeds:
        _, earned = play(env, day, lambda context: learner.choose(context, ARMS, ARMS).action)
        for each in earned:
            table = table_action(each.context)
            learner.learn(each.context.features(), each.arm, table, each.reward)
    return learner


def table_action(context: Context) -> Arm:
    return fixed_action(context.score, context.hops, ARMS)


@cache
def compared(name: str) -> dict[str, tuple[DayOutcome, ...]]:
    """Every policy on every held-back day of a scene."""
    scene = SCENES[name]()
    learner = train(scene, TRAINING)
    policies: dict[str, Chooser] = {
        "never-block": lambda _: "alert",
        "always-quarantine": lambda _: "quarantine",
        "fixed table": table_action,
        "learner": lambda context: learner.choose(context, ARMS).action,
    }
    env = ResponseEnv(scene.half(held_back=True))
    return {
        policy: tuple(play(env, seed, choose)[0] for seed in SEEDS)
        for policy, choose in policies.items()
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean, by the bootstrap percentile method."""
    rng = Random(0)
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def containing(found: Mapping[str, tuple[DayOutcome, ...]]) -> list[str]:
    """The baselines that contain attacks."""
    open_ = fmean(day.exposed for day in found["never-block"])
    return [
        policy
        for policy, days in found.items()
        if policy != "learner" and fmean(day.exposed for day in days) < CONTAINS * open_
    ]


def exposure(name: str) -> Figure:
    """No worse than the baselines that contain: the upper bound of the 95 % interval of what the
    learner leaves open beyond each, as a share of what never-block leaves open; the largest.

    A test of non-inferiority: bounded from above, it also holds where the days were too few to
    show a difference.
    """
    found = compared(name)
    baselines = containing(found)
    if not baselines:
        raise RuntimeError("no baseline contains the attacks: nothing to compare with")
    open_ = fmean(day.exposed for day in found["never-block"])
    worst, notes = -float("inf"), []
    for baseline in baselines:
        beyond = [ours.exposed - its.exposed for ours, its in _pairs(found, baseline)]
        low, high = interval(beyond)
        worst = max(worst, high / open_)
        notes.append(f"{baseline} {fmean(beyond):+.2f} [{low:+.2f}, {high:+.2f}]")
    ours = fmean(day.exposed for day in found["learner"])
    note = f"{ours:.2f} pairs of never-block's {open_:.2f} a day, {len(SEEDS)} days; against "
    return Figure(worst, note + ", ".join(notes))


def benign_lost(name: str) -> Figure:
    """Benign connections a day lost more than by each baseline that contains: the upper bound of
    the 95 % interval of the paired difference, of the hardest baseline."""
    found = compared(name)
    worst, notes = -float("inf"), []
    for baseline in containing(found):
        more = [ours.lost - its.lost for ours, its in _pairs(found, baseline)]
        low, high = interval(more)
        worst = max(worst, high)
        notes.append(f"{baseline} {fmean(more):+.1f} [{low:+.1f}, {high:+.1f}]")
    ours = fmean(day.lost for day in found["learner"])
    return Figure(worst, f"{ours:.1f} lost a day, {len(SEEDS)} days; against " + ", ".join(notes))


def _pairs(
    found: dict[str, tuple[DayOutcome, ...]], baseline: str
) -> list[tuple[DayOutcome, DayOutcome]]:
    return list(zip(found["learner"], found[baseline], strict=True))


# -- the manual ----------------------------------------------------------------


def as_table(found: dict[str, tuple[DayOutcome, ...]]) -> str:
    """Means with 95 % intervals, as Markdown."""
    lines = [
        "| policy | host pairs exposed a day | benign connections lost a day |",
        "| --- | --- | --- |",
    ]
    for policy, days in found.items():
        cells = [_cell([d.exposed for d in days], 2), _cell([d.lost for d in days], 1)]
        lines.append(f"| {policy} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], digits: int) -> str:
    low, high = interval(values)
    return f"{fmean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def as_picture(found: dict[str, tuple[DayOutcome, ...]], title: str) -> str:
    """Bars with 95 % intervals, as SVG: two panels, one policy a row."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 200" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="760" height="200" fill="white"/><text x="10" y="18">{title}</text>',
    ]
    panels = (
        ("host pairs exposed a day", 130, "exposed"),
        ("benign connections lost a day", 460, "lost"),
    )
    for label, left, name in panels:
        values = {policy: [getattr(d, name) for d in days] for policy, days in found.items()}
        most = max(max(interval(each)[1] for each in values.values()), 1e-9)
        parts.append(f'<text x="{left}" y="42" fill="#444">{label}</text>')
        for row, (policy, each) in enumerate(values.items()):
            y = 54 + 34 * row
            low, high = interval(each)
            width, a, b = (240 * value / most for value in (fmean(each), low, high))
            colour = "#2a7f62" if policy == "learner" else "#9aa5b1"
            if left == 130:
                parts.append(f'<text x="120" y="{y + 15}" text-anchor="end">{policy}</text>')
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="22" fill="{colour}"/>'
            )
            parts.append(
                f'<path d="M{left + a:.1f} {y + 11}H{left + b:.1f}M{left + a:.1f} {y + 6}v10'
                f'M{left + b:.1f} {y + 6}v10" stroke="#222" fill="none"/>'
            )
            parts.append(f'<text x="{left + b + 6:.1f}" y="{y + 15}">{fmean(each):.1f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def write_figures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCENES:
        try:
            found = compared(name)
        except MissingData as problem:
            print(f"{name}: {problem}", file=sys.stderr)
            continue
        title = f"Held-back days of the {name} scene, {len(SEEDS)} days, 95 % intervals"
        (folder / f"response-{name}.svg").write_text(as_picture(found, title))
        print(f"{name}\n{as_table(found)}")


BENCHMARKS = tuple(
    benchmark
    for name in SCENES
    for benchmark in (
        Benchmark(
            f"response.learner_exposure_{name}",
            Target("<=", MARGIN),
            lambda name=name: exposure(name),  # type: ignore[misc]
        ),
        Benchmark(
            f"response.learner_benign_lost_{name}",
            Target("<=", -1.0, "connections a day"),
            lambda name=name: benign_lost(name),  # type: ignore[misc]
        ),
    )
)

if __name__ == "__main__":
    write_figures(Path(sys.argv[1]))
