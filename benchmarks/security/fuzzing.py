"""Damaged input to every parser that reads bytes from outside: refused or read, never more."""

from __future__ import annotations

import functools
import sys
import time

from benchmarks.runner import Benchmark, Figure, Target
from tests.support.fuzzing import FuzzResult, fuzz, parsers

MOST = 900.0  # seconds for all rounds
SEED = 7


@functools.cache
def _run() -> tuple[FuzzResult, ...]:
    until = time.monotonic() + MOST
    found = tuple(fuzz(parser, parser.rounds, SEED, until) for parser in parsers())
    for each in found:
        for fault in each.faults[:3]:
            print(f"  {fault[:500]}", file=sys.stderr)
    return found


def rounds() -> Figure:
    """Inputs read."""
    found = _run()
    refused = sum(each.refused for each in found)
    return Figure(
        sum(each.rounds for each in found),
        f"{len(found)} parsers, {refused:,} refused, seed {SEED}",
    )


def faults() -> Figure:
    """Exceptions that no parser documents, and inputs that took more than five seconds."""
    return Figure(sum(len(each.faults) for each in _run()))


BENCHMARKS = (
    Benchmark("security.fuzz_rounds", Target(">=", 1_000_000, "inputs"), rounds),
    Benchmark("security.fuzz_faults", Target("==", 0, "exceptions and hangs"), faults),
)
