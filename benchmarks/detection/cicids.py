"""cicids2017-lateral and its low-rate form: is the sweeping host found early, and nobody else?"""

from __future__ import annotations

from functools import partial

from benchmarks.detection.recordings import labelled, run
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector

SWEEPER = "192.168.10.8"
FILES = {"full": "cicids2017-lateral.csv.gz", "low-rate": "cicids2017-lateral-lowrate.csv.gz"}
SWEEP = "Portscan"
DAY = 86_400.0


def peers_to_alert(name: str) -> Figure:
    """Peers that the sweeping host tried up to its first alert after the sweep began."""
    rows = list(labelled(name))
    done = run([row.record for row in rows], Detector())
    begun = next(i for i, r in enumerate(rows) if SWEEP in r.attack and r.record.src_ip == SWEEPER)
    found = [a for a in done.alerts if a.host == SWEEPER and a.records[-1] >= begun]
    last = found[0].records[-1] if found else len(rows) - 1
    tried = [r.record for r in rows[begun : last + 1] if r.record.src_ip == SWEEPER]
    peers = {r.dst_ip for r in tried}
    return Figure(len(peers), f"{len({(r.dst_ip, r.dst_port) for r in tried})} pairs")


def alerts_on_others(name: str) -> Figure:
    """The most alerts a day that any other host got."""
    rows = list(labelled(name))
    done = run([row.record for row in rows], Detector())
    days = max(1.0, (rows[-1].record.ts - rows[0].record.ts) / DAY)
    others = [a.host for a in done.alerts if a.host != SWEEPER]
    most = max((others.count(host) for host in others), default=0)
    return Figure(most / days, ", ".join(sorted(set(others))) or "none")


BENCHMARKS = [
    bench
    for form, name in FILES.items()
    for bench in (
        Benchmark(
            f"detection.cicids-{form}.new-peers-to-alert",
            Target("<=", 20),
            partial(peers_to_alert, name),
        ),
        Benchmark(
            f"detection.cicids-{form}.alerts-a-day-on-another-host",
            Target("<=", 1),
            partial(alerts_on_others, name),
        ),
    )
]
