"""darpa98 per record, without its denial-of-service rows, as published detectors are measured.

No ports, no sizes, minute resolution: what remains is who talks to whom and how often.
MIDAS-F reaches AUC 0.856, average precision 0.704 and TPR 0.409 at FPR 1e-3 here.
"""

from __future__ import annotations

from functools import cache
from time import process_time

from benchmarks.detection.metrics import Ranking, rank
from benchmarks.detection.recordings import labelled
from benchmarks.runner import Benchmark, Figure, Target
from detection.detector import Detector

FILE = "darpa98.csv.gz"
FLOODS = frozenset(
    "neptune neptunettl smurf smurfttl snmpgetattack snmpguess pod mailbomb back teardrop apache2 "
    "processtable land ignore anomaly anomaly-time anomaly-source syslog".split()
)


@cache
def measured() -> tuple[Ranking, float, int]:
    """The ranking, records a second of the detector alone, and the number of records."""
    detector = Detector()
    scores, labels = [], []
    spent = 0.0
    batch = []
    for row in labelled(FILE, without=FLOODS):
        labels.append(row.malicious)
        batch.append(row.record)
        if len(batch) == 10_000:
            begun = process_time()
            scores += [detector.step(record).score for record in batch]
            spent += process_time() - begun
            batch.clear()
    begun = process_time()
    scores += [detector.step(record).score for record in batch]
    spent += process_time() - begun
    return rank(scores, labels), len(scores) / spent, len(scores)


def auc() -> Figure:
    return Figure(measured()[0].auc, f"{measured()[2]} records")


def average_precision() -> Figure:
    return Figure(measured()[0].average_precision)


def tpr() -> Figure:
    return Figure(measured()[0].tpr_at[1e-3], f"at FPR 1e-2: {measured()[0].tpr_at[1e-2]:.3f}")


def speed() -> Figure:
    return Figure(measured()[1], f"{measured()[2]} records, scored and learned")


BENCHMARKS = [
    Benchmark("detection.darpa98.auc", Target(">=", 0.95), auc),
    Benchmark("detection.darpa98.average-precision", Target(">=", 0.85), average_precision),
    Benchmark("detection.darpa98.tpr-at-fpr-0.001", Target(">=", 0.60), tpr),
    Benchmark("detection.speed.darpa98", Target(">=", 50_000, "records/s"), speed),
]
