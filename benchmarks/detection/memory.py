"""What the detector keeps of a long recording: all of darpa98, floods included.

Measured in a process of its own that holds nothing else: records are read one at a time, and
scores are not kept. Sizes are of resident memory, in megabytes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.detection.recordings import labelled
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector

FILE = "darpa98.csv.gz"
EVERY = 250_000  # records between two looks
LONGEST = 900  # seconds
MEGABYTE = 1 << 20
LOOK = "from benchmarks.detection.memory import print_sizes; print_sizes()"


def print_sizes() -> None:
    """Number of records and megabytes held, a line each so often; at last the peak."""
    detector = Detector()
    for number, row in enumerate(labelled(FILE), 1):
        detector.step(row.record)
        if number % EVERY == 0:
            print(number, _resident(), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(number, peak)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MEGABYTE


@cache
def sizes() -> tuple[tuple[tuple[int, float], ...], float]:
    """Records and megabytes at each look; the peak."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, timeout=LONGEST
    )
    seen = [(int(n), float(size)) for n, size in map(str.split, done.stdout.splitlines())]
    return tuple(seen[:-1]), seen[-1][1]


def peak() -> Figure:
    looks, most = sizes()
    return Figure(most, f"a process that reads and scores {looks[-1][0]:,} records and more")


def growth() -> Figure:
    """By how much the second half of the recording adds to what the first half left."""
    looks, _ = sizes()
    half = looks[len(looks) // 2 - 1]
    most = max(size for number, size in looks if number > half[0])
    note = f"{half[1]:.0f} MB after {half[0]:,} records, at most {most:.0f} MB later"
    return Figure(100 * (most / half[1] - 1), note)


BENCHMARKS = [
    Benchmark("detection.memory.peak", Target("<=", 1000, "MB"), peak),
    Benchmark("detection.memory.growth-in-last-half", Target("<=", 5.0, "%"), growth),
]
