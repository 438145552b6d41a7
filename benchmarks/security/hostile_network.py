"""A rogue switch and three hostile hosts at work for minutes: packets that policy denies and that
arrive, protected hosts touched, and what is not reported."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.runner import Benchmark, Figure, Target
from mininet_tests.experiments.controlled import controlled
from tests.support.live.hostile_network import (
    KNOWN,
    LINKS,
    PINNED,
    POLICY,
    Outcome,
    attacked,
)

SECONDS = 600.0
PROTECTED = {"web", "db", "pc", "10.0.0.1", "10.0.0.2", "10.0.0.3"}


@cache
def outcome() -> Outcome:
    with TemporaryDirectory(prefix="septum-") as place:
        switches = Path(place) / "switches.yaml"
        switches.write_text(PINNED)
        extra = ("--switches", str(switches))
        with controlled(POLICY, LINKS, extra, run_on=KNOWN) as (lab, controller):
            return attacked(lab, controller, SECONDS)


def leaked() -> Figure:
    return Figure(len(outcome().leaked), f"packets, in {SECONDS:.0f} s")


def touched() -> Figure:
    seen = outcome()
    lost = seen.asked - seen.opened
    note = f"protected hosts; of {seen.asked} connections of an honest client {lost} failed"
    return Figure(len(PROTECTED & set(seen.held)), note)


def unreported() -> Figure:
    return Figure(len(outcome().unreported), ", ".join(outcome().unreported) or "of 11 findings")


NONE = Target("==", 0.0)
BENCHMARKS = (
    Benchmark("security.hostile_leaked", NONE, leaked),
    Benchmark("security.hostile_touched", NONE, touched),
    Benchmark("security.hostile_unreported", NONE, unreported),
)
