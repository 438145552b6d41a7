"""Recorded traffic with its labels; labels are for judging only and never reach the detector."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.runner import recorded
from detection.alert import Alert
from detection.detector import Detector
from topology.readers.rows import to_record
from topology.records import FlowRecord


@dataclass(frozen=True, slots=True)
class Labelled:
    record: FlowRecord
    malicious: bool
    attack: str


@dataclass(frozen=True, slots=True)
class DetectionRun:
    detector: Detector
    scores: list[float]
    alerts: list[Alert]


def labelled(name: str, without: frozenset[str] = frozenset()) -> Iterator[Labelled]:
    """The rows of a file in order, but for those of the attacks named in ``without``."""
    with gzip.open(recorded(name), "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["attack"] not in without:
                yield Labelled(to_record(row), row["label"] == "1", row["attack"])


def run(records: list[FlowRecord], detector: Detector) -> DetectionRun:
    scores, alerts = [], []
    for record in records:
        scored = detector.step(record)
        scores.append(scored.score)
        if scored.alert is not None:
            alerts.append(scored.alert)
    return DetectionRun(detector, scores, alerts)
