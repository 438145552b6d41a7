"""The same connections in every form of recording, by name and as a stream, give one answer."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.runner import Benchmark, Figure, Target
from tests.support.readings import answers
from tests.support.recordings import FORMS

RECORDINGS = 2_000


def differing() -> Figure:
    """Answers that differ from that of contract CSV, over all recordings."""
    wrong: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for seed in range(RECORDINGS):
            found = answers(seed, Path(place))
            wrong.update(name for name, each in found.items() if each != found["contract CSV"])
    note = ", ".join(f"{name}: {times}" for name, times in wrong.most_common(5))
    return Figure(wrong.total(), note or f"{RECORDINGS:,} recordings, {2 * len(FORMS)} ways each")


BENCHMARKS = (Benchmark("field.readers_differ", Target("==", 0, "answers"), differing),)
