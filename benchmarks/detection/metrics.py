"""Ranking figures over scores and labels, ties counted as one step of the curve."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ranking:
    """``tpr_at`` maps a false-positive rate to the best true-positive rate within it, records that
    tie across the line counted as above it, and so left out; ``tpr_lucky`` is the rate if every
    tie went the right way, so the two tell how much of a figure hangs on ties."""

    auc: float
    average_precision: float
    tpr_at: dict[float, float]
    tpr_lucky: dict[float, float]


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
    lucky = dict.fromkeys(rates, 0.0)
    i = 0
    while i < len(pairs):
        score = pairs[i][0]
        hits = misses = 0
        while i < len(pairs) and pairs[i][0] == score:
            hits += pairs[i][1]
            misses += not pairs[i][1]
            i += 1
        area += misses * (tp + hits / 2)
        for rate in rates:
            if fp <= rate * negatives:
                lucky[rate] = (tp + hits) / positives
        tp += hits
        fp += misses
        precision_area += hits * tp / (tp + fp)
        for rate in rates:
            if fp <= rate * negatives:
                best[rate] = tp / positives
    return Ranking(area / (positives * negatives), precision_area / positives, best, lucky)


def rank_few(
    positives: Sequence[float], negatives: Sequence[float], rates: tuple[float, ...] = (1e-2, 1e-3)
) -> Ranking:
    """The same as `rank`, quick where positives are few and ``negatives`` are sorted already."""
    if not positives or not negatives:
        raise ValueError("ranking needs both positive and negative labels")
    area = precision_area = 0.0
    best = dict.fromkeys(rates, 0.0)
    lucky = dict.fromkeys(rates, 0.0)
    tp = 0
    for score in sorted(set(positives), reverse=True):
        hits = sum(each == score for each in positives)
        above = len(negatives) - bisect_right(negatives, score)
        fp = len(negatives) - bisect_left(negatives, score)
        tp += hits
        area += hits * (len(negatives) - fp + (fp - above) / 2)
        precision_area += hits * tp / (tp + fp)
        for rate in rates:
            if fp <= rate * len(negatives):
                best[rate] = tp / len(positives)
            if above <= rate * len(negatives):
                lucky[rate] = tp / len(positives)
    pairs = len(positives) * len(negatives)
    return Ranking(area / pairs, precision_area / len(positives), best, lucky)
