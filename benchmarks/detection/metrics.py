"""Ranking figures over scores and labels, ties counted as one step of the curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ranking:
    """``tpr_at`` maps a false-positive rate to the best true-positive rate within it."""

    auc: float
    average_precision: float
    tpr_at: dict[float, float]


def rank(
    scores: Sequence[float], labels: Sequence[bool], rates: tuple[float, ...] = (1e-2, 1e-3)
) -> Ranking:
    """Raises ValueError unless both kinds of label occur."""
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise ValueError("ranking needs both positive and negative labels")
    pairs = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
    tp = fp = 0
    area = precision_area = 0.0
    best = dict.fromkeys(rates, 0.0)
    i = 0
    while i < len(pairs):
        score = pairs[i][0]
        hits = misses = 0
        while i < len(pairs) and pairs[i][0] == score:
            hits += pairs[i][1]
            misses += not pairs[i][1]
            i += 1
        area += misses * (tp + hits / 2)
        tp += hits
        fp += misses
        precision_area += hits * tp / (tp + fp)
        for rate in rates:
            if fp / negatives <= rate:
                best[rate] = tp / positives
    return Ranking(area / (positives * negatives), precision_area / positives, best)
