"""The first whole street, played on real switches: an attack contained, benign days left alone.

Each run is a `septum demo` as a user starts it; lines that look at the same run share it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.runner import Benchmark, Figure, Target

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (1, 2, 3)
BENIGN_SEEDS = tuple(range(1, 11))
LONGEST = 150  # seconds for one run


@cache
def demo(*options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and result of one demo; a run that could not start raises with its complaint."""
    done = subprocess.run(
        [sys.executable, "-m", "console", "demo", "--json", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=LONGEST,
        check=False,
    )
    if not done.stdout:
        raise RuntimeError((done.stderr.strip().splitlines() or ["the demo said nothing"])[-1])
    return done.returncode, json.loads(done.stdout)


def attacks() -> list[dict[str, Any]]:
    return [demo("--seed", str(seed))[1] for seed in SEEDS]


def seconds_to_rule() -> Figure:
    """The slowest run; infinite where no rule was confirmed at all."""
    times = [run["seconds_to_rule"] for run in attacks()]
    known = [float("inf") if seconds is None else float(seconds) for seconds in times]
    return Figure(max(known), f"slowest of {len(known)} attacks, fastest {min(known):.3f} s")


def hosts_reached() -> Figure:
    counts = [len(run["hosts_reached"]) for run in attacks()]
    return Figure(max(counts), f"most of {len(counts)} attacks")


def failed_requests() -> Figure:
    runs = attacks()
    made = sum(phase["requests"] for run in runs for phase in run["benign"])
    failed = sum(phase["failed"] for run in runs for phase in run["benign"])
    apart = sum(phase["apart"] for run in runs for phase in run["benign"])
    note = f"of {made} benign requests during {len(runs)} attacks, {apart} of the quarantined apart"
    return Figure(failed, note)


def contained_runs() -> Figure:
    codes = [demo("--seed", str(seed))[0] for seed in SEEDS]
    return Figure(sum(code == 0 for code in codes), f"of {len(codes)} attacks ended with exit 0")


def exit_without_adapting() -> Figure:
    code, run = demo("--no-adapt")
    reached = ", ".join(run["hosts_reached"]) or "none"
    return Figure(code, f"exit code with --no-adapt; hosts reached: {reached}")


def benign_decisions() -> Figure:
    runs = [demo("--benign-only", "--seed", str(seed)) for seed in BENIGN_SEEDS]
    decisions = sum(len(run["decisions"]) for _, run in runs)
    made = sum(phase["requests"] for _, run in runs for phase in run["benign"])
    return Figure(decisions, f"decisions on {len(runs)} benign days of {made} requests")


def benign_exits() -> Figure:
    codes = [demo("--benign-only", "--seed", str(seed))[0] for seed in BENIGN_SEEDS]
    return Figure(
        sum(code == 0 for code in codes), f"of {len(codes)} benign days ended with exit 0"
    )


BENCHMARKS = (
    Benchmark("street.first_packet_to_rule", Target("<=", 2.0, "s"), seconds_to_rule),
    Benchmark("street.hosts_reached", Target("<=", 3.0), hosts_reached),
    Benchmark("street.failed_requests", Target("==", 0.0), failed_requests),
    Benchmark("street.contained", Target("==", float(len(SEEDS))), contained_runs),
    Benchmark("street.no_adapt_exit", Target("==", 1.0), exit_without_adapting),
    Benchmark("street.benign_decisions", Target("==", 0.0), benign_decisions),
    Benchmark("street.benign_exits", Target("==", float(len(BENIGN_SEEDS))), benign_exits),
)
