"""Administration-port sweeps injected into campus traffic: found, and at what cost?

Every episode is one internal host that never used the port, trying internal addresses at one
new peer per 1 to 300 s. Half of the episodes reach services that answer, half mostly do not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

from benchmarks.detection.recordings import labelled, run
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector
from topology.records import FlowRecord

FILE = "campus-background.csv.gz"
INTERNAL = "147.32."
PORTS = (22, 135, 445, 3389, 5985)
GAPS = (1.0, 5.0, 30.0, 60.0, 120.0, 300.0)
FEWEST_PEERS, MOST_PEERS = 12, 60
LONGEST = 3600.0  # seconds that an episode may take beyond its fewest peers
EPISODES = 24


@dataclass(frozen=True, slots=True)
class Outcome:
    """``peers`` tried up to the first alert (None: missed); ``others`` internal hosts alerted."""

    gap: float
    peers: int | None
    others: frozenset[str]


def episode(
    seed: int, hosts: Sequence[str], targets: Sequence[str], begin: float, end: float
) -> tuple[float, list[FlowRecord]]:
    """The pause between peers in seconds, and the sweep's records."""
    rng = random.Random(seed)
    gap = GAPS[seed % len(GAPS)]
    count = max(FEWEST_PEERS, min(MOST_PEERS, int(LONGEST / gap)))
    src = rng.choice(hosts)
    peers = rng.sample([t for t in targets if t != src], count)
    ts = begin + rng.uniform(0.0, max(0.0, end - begin - 1.2 * count * gap))
    port = PORTS[seed % len(PORTS)]
    answering = seed % 2 == 0
    records = []
    for peer in peers:
        answers = answering or rng.random() < 0.3
        records.append(
            FlowRecord(
                ts=ts,
                src_ip=src,
                dst_ip=peer,
                proto="tcp",
                dst_port=port,
                duration=1.0,
                packets=14 if answers else 2,
                bytes=2_100 if answers else 120,
            )
        )
        ts += gap * rng.uniform(0.8, 1.2)
    return gap, records


@cache
def outcomes() -> tuple[Outcome, ...]:
    background = [row.record for row in labelled(FILE)]
    begin, end = background[0].ts, background[-1].ts
    hosts = sorted({r.src_ip for r in background if r.src_ip.startswith(INTERNAL)})
    targets = sorted({r.dst_ip for r in background if r.dst_ip.startswith(INTERNAL)})
    found = []
    for seed in range(EPISODES):
        gap, attack = episode(seed, hosts, targets, begin, end)
        src, first = attack[0].src_ip, attack[0].ts
        mixed = sorted([*background, *attack], key=lambda r: r.ts)
        alerts = run(mixed, Detector(seed=seed)).alerts
        hits = [a.ts for a in alerts if a.host == src and a.ts >= first]
        peers = sum(r.ts <= hits[0] for r in attack) if hits else None
        inside = frozenset(a.host for a in alerts if a.host != src and a.host.startswith(INTERNAL))
        found.append(Outcome(gap, peers, inside))
    return tuple(found)


def recall() -> Figure:
    """Share of episodes that were alerted before they ended."""
    hits = [o.peers for o in outcomes() if o.peers is not None]
    return Figure(
        len(hits) / len(outcomes()),
        f"{len(outcomes())} episodes, median {median(hits) if hits else 0:.0f} peers to alert",
    )


def others_alerted() -> Figure:
    """The most other internal hosts alerted in any run over the 2.15 h."""
    return Figure(max(len(o.others) for o in outcomes()), f"worst of {len(outcomes())} runs")


BENCHMARKS = [
    Benchmark("detection.campus-sweeps.recall", Target(">=", 0.9), recall),
    Benchmark("detection.campus-sweeps.other-hosts", Target("<=", 3), others_alerted),
]
