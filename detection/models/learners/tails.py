"""How unlikely a count is: geometric tails around a learned mean.

With mean ``m`` a geometric count reaches ``n`` with probability ``(m / (1 + m)) ** n``,
so ``n`` contributes ``n * log(1 + 1 / m)`` nats. What one host-window in ten reaches is normal and
contributes nothing (as in the truncated product of p-values: Zaykin and others, 2002). The mean
starts from a prior, so refusals and unanswered requests count from the first minute, and has a
floor, so a quiet network does not become hair-triggered. A host with a habit is
measured against its own mean where that is higher than that of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from river import stats

from detection.features.catalogue import COUNT, index_of
from detection.models.learners.base import HostWindow, Range
from detection.models.learners.river_values import MeanValues, mean_values, restored_mean

PRIOR_WINDOWS = 60.0
TOGETHER = 64  # most quiet windows that are learned in one step
HABIT = 0.004  # share by which one window moves a host's own mean
USUAL = log(10.0)  # nats: what one host-window in ten reaches is normal, and adds nothing
CLIP = 4.0  # one window counts at most this many means (plus CLIP): no source moves it far


@dataclass(frozen=True, slots=True)
class TailPrior:
    """``mean`` per host-window before anything is learned, and the least it may become."""

    feature: str
    mean: float
    floor: float


PRIORS = (
    TailPrior("denied_pairs", 0.5, 0.25),
    TailPrior("unanswered_addresses", 1.0, 1.0),  # a stale list holds several that are gone
    TailPrior("failed_pairs", 1.5, 0.25),
)


class _TailState(Struct, frozen=True, array_like=True):
    means: list[MeanValues]
    quiet: Annotated[int, Meta(ge=0, lt=TOGETHER)]


class TailLearner:
    """Only the horizon that says most contributes: the same events are not counted twice."""

    name = "tails"

    def __init__(self, priors: tuple[TailPrior, ...] = PRIORS) -> None:
        self._starts = tuple(index_of(p.feature) for p in priors)
        self.features = tuple(i for start in self._starts for i in range(start, start + 3))
        self._means: dict[int, stats.Mean] = {}
        for prior, start in zip(priors, self._starts, strict=True):
            for i in range(start, start + 3):
                mean = self._means[i] = stats.Mean()
                mean.update(prior.mean, PRIOR_WINDOWS)
        self._floors = {
            i: p.floor
            for p, start in zip(priors, self._starts, strict=True)
            for i in range(start, start + 3)
        }
        self._gains = {i: self._gain(i) for i in self.features}
        self._first, self._end = min(self.features), max(self.features) + 1
        self._quiet = 0  # windows without any of this, learned together

    def score(self, window: HostWindow, into: list[float]) -> None:
        values = window.values
        own = window.own
        for start in self._starts:
            best, most = start, USUAL
            for i in (start, start + 1, start + 2):
                into[i] = 0.0
                n = values[i]
                if n > 0.0:
                    gain = self._gains[i]
                    if own is not None and own[i] > self._means[i].get():
                        gain = log(1.0 + 1.0 / max(own[i], self._floors[i]))
                    if n * gain > most:
                        best, most = i, n * gain
            into[best] = most if most > USUAL else 0.0

    def learn(self, window: HostWindow) -> None:
        own = window.own
        if own is None and not any(window.values[self._first : self._end]):
            self._quiet += 1
            if self._quiet >= TOGETHER:
                self._learn_quiet()
            return
        self._learn_quiet()
        for i in self.features:
            value = window.values[i]
            mean = self._means[i]
            mean.update(min(value, CLIP * (mean.get() + 1.0)))
            self._gains[i] = self._gain(i)
            if own is not None:
                own[i] += HABIT * (value - own[i])

    def explain(self, window: HostWindow) -> dict[int, Range]:
        own = window.own or [0.0] * COUNT
        return {
            i: Range(0.0, geometric_high(max(self._means[i].get(), self._floors[i], own[i])))
            for i in self.features
        }

    def snapshot(self) -> object:
        return _TailState([mean_values(self._means[i]) for i in self.features], self._quiet)

    def restore(self, state: object) -> None:
        found = msgspec.convert(state, _TailState)
        means = map(restored_mean, found.means)
        self._means, self._quiet = dict(zip(self.features, means, strict=True)), found.quiet
        self._gains = {i: self._gain(i) for i in self.features}

    def _learn_quiet(self) -> None:
        if not self._quiet:
            return
        for i, mean in self._means.items():
            mean.update(0.0, self._quiet)
            self._gains[i] = self._gain(i)
        self._quiet = 0

    def _gain(self, i: int) -> float:
        return log(1.0 + 1.0 / max(self._means[i].get(), self._floors[i]))


def geometric_high(mean: float) -> float:
    """The count that one host-window in ten reaches."""
    return USUAL / log(1.0 + 1.0 / mean)
