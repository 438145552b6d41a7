"""What the detector is compared with: four simple or published methods, written for that alone.

Each scores one record at a time before it learns from it, as the detector does.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from math import log1p
from typing import Any

from river import anomaly

from detection.alert import Scored
from topology.records import FlowRecord

MINUTE = 60.0


class NewEdge:
    """1 for a connection of two addresses that never talked on that service, else 0."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, str]] = set()
        self._row = 0

    def step(self, record: FlowRecord) -> Scored:
        edge = (record.src_ip, record.dst_ip, record.service)
        score = 0.0 if edge in self._seen else 1.0
        self._seen.add(edge)
        self._row += 1
        return Scored(self._row - 1, score)


class FanOut:
    """Distinct peers of the source in the last 60 seconds, whatever the service: ``n / (1 + n)``.

    The classic scan detector of flow monitors (as in Snort's portscan preprocessor).
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[tuple[float, str]]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._row = 0

    def step(self, record: FlowRecord) -> Scored:
        recent = self._recent.setdefault(record.src_ip, deque())
        counts = self._counts.setdefault(record.src_ip, {})
        recent.append((record.ts, record.dst_ip))
        counts[record.dst_ip] = counts.get(record.dst_ip, 0) + 1
        while record.ts - recent[0][0] > MINUTE:
            _, gone = recent.popleft()
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
        self._row += 1
        return Scored(self._row - 1, len(counts) / (1.0 + len(counts)))


class _Sketch:
    """A count-min sketch whose counts can be decayed; hashes are drawn from a seed."""

    def __init__(self, rng: random.Random, rows: int = 2, buckets: int = 1024) -> None:
        self._salts = [rng.getrandbits(64) for _ in range(rows)]
        self._counts = [[0.0] * buckets for _ in range(rows)]
        self._buckets = buckets

    def add(self, key: int) -> float:
        """Count ``key`` once more; its estimate afterwards."""
        least = float("inf")
        for salt, counts in zip(self._salts, self._counts, strict=True):
            # Multiply-shift hashing (Dietzfelbinger et al., 1997).
            i = ((key * (salt | 1)) & 0xFFFFFFFFFFFFFFFF) >> 33
            i %= self._buckets
            counts[i] += 1.0
            least = min(least, counts[i])
        return least

    def decay(self, factor: float) -> None:
        for i, counts in enumerate(self._counts):
            self._counts[i] = [count * factor for count in counts]


class MidasR:
    """MIDAS-R (Bhatia et al., "MIDAS: Microcluster-Based Detector of Anomalies in Edge Streams",
    AAAI 2020): chi-squared of this tick's count against the mean so far, for the edge, its source
    and its target; current counts decay at each tick. A tick is a minute. Squashed to [0, 1)."""

    FACTOR = 0.5

    def __init__(self, seed: int = 0) -> None:
        rng = random.Random(seed)
        self._now = [_Sketch(rng) for _ in range(3)]
        rng = random.Random(seed)
        self._total = [_Sketch(rng) for _ in range(3)]
        self._numbers: dict[str, int] = {}
        self._begin: float | None = None
        self._tick = 1
        self._row = 0

    def step(self, record: FlowRecord) -> Scored:
        if self._begin is None:
            self._begin = record.ts
        tick = 1 + int((record.ts - self._begin) / MINUTE)
        if tick > self._tick:
            self._tick = tick
            for sketch in self._now:
                sketch.decay(self.FACTOR)
        src, dst = (self._number(address) for address in (record.src_ip, record.dst_ip))
        highest = 0.0
        for key, now, total in zip(
            (src * 0x9E3779B1 + dst, src, dst), self._now, self._total, strict=True
        ):
            a, s = now.add(key), total.add(key)
            if self._tick > 1:
                t = float(self._tick)
                highest = max(highest, (a - s / t) ** 2 * t * t / (s * (t - 1.0)))
        self._row += 1
        return Scored(self._row - 1, highest / (1.0 + highest))

    def _number(self, address: str) -> int:
        """Addresses in order of appearance, so that no hash of Python's comes in."""
        return self._numbers.setdefault(address, len(self._numbers) + 1)


class PlainTrees:
    """River's HalfSpaceTrees (Tan, Ting and Liu, IJCAI 2011), as they come, on single flows: port,
    duration, packets and bytes, each brought into [0, 1]."""

    def __init__(self, seed: int = 0) -> None:
        self._trees: Any = anomaly.HalfSpaceTrees(seed=seed)
        self._row = 0

    def step(self, record: FlowRecord) -> Scored:
        x = {
            "port": record.dst_port / 65_535.0,
            "duration": min(1.0, log1p(record.duration) / 10.0),
            "packets": min(1.0, log1p(record.packets or 0) / 15.0),
            "bytes": min(1.0, log1p(record.bytes or 0) / 20.0),
        }
        score = float(self._trees.score_one(x))
        self._trees.learn_one(x)
        self._row += 1
        return Scored(self._row - 1, score)


RIVALS: dict[str, Callable[[], NewEdge | FanOut | MidasR | PlainTrees]] = {
    "new edge": NewEdge,
    "fan-out in 60 s": FanOut,
    "MIDAS-R": MidasR,
    "half-space trees": PlainTrees,
}
