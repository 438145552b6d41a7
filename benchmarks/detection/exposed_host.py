"""Three days of a server on the Internet: nobody who only knocks is an alert.

An alert is about who only knocks when its host never exchanged anything, beyond a greeting, on a
service that people log in to.
"""

from __future__ import annotations

from functools import cache

from benchmarks.detection.recordings import DetectionRun, labelled, run
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector
from detection.features.outsiders import login_of

FILE = "exposed-host.csv.gz"
DAYS = 3.0


@cache
def measured() -> tuple[DetectionRun, frozenset[str]]:
    """The run, and who logged in or tried to."""
    records = [row.record for row in labelled(FILE)]
    tried = frozenset(r.src_ip for r in records if login_of(r) is not None)
    return run(records, Detector()), tried


def alerts_on_knocking() -> Figure:
    done, tried = measured()
    (*_, line) = done.detector.knocking()
    return Figure(sum(alert.host not in tried for alert in done.alerts), f"last day: {line}")


def alerts_a_day() -> Figure:
    kinds = sorted({alert.kind for alert in measured()[0].alerts})
    return Figure(len(measured()[0].alerts) / DAYS, ", ".join(kinds) or "none")


BENCHMARKS = [
    Benchmark(
        "detection.exposed-host.alerts-on-who-only-knocks", Target("==", 0), alerts_on_knocking
    ),
    Benchmark("detection.exposed-host.alerts", Target("<=", 1, "a day"), alerts_a_day),
]
