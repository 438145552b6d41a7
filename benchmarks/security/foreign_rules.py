"""A rule added by hand that passes denied traffic: how long it stays, on real switches."""

from __future__ import annotations

from functools import cache

from benchmarks.runner import Benchmark, Figure, Target
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.foreign_rule import AT_MOST, POLICY, Stay, stays
from topology.records import Link

TIMES = 20


@cache
def seen() -> Stay:
    with controlled(POLICY, (Link(1, 9, 2, 9),)) as (lab, _):
        return stays(lab, TIMES)


def gone() -> Figure:
    """The longest of all, in milliseconds."""
    stay = seen()
    note = f"longest of {TIMES}; {stay.passed} denied datagrams passed, one a ms, of {stay.sent:,}"
    return Figure(1_000 * max(stay.seconds), note)


BENCHMARKS = (Benchmark("security.foreign_rule_gone", Target("<=", 1_000 * AT_MOST, "ms"), gone),)
