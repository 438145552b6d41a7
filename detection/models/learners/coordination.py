"""Hosts that reach for a service together, relative to how many do so as a rule.

For every foothold service the mean number of other hosts is learned that reach for it, within the
same hour, where it is not known to be served (stale shares, mistyped names), shrunk towards
the mean over all services while little is known of it. The tail is geometric, as in ``tails``.
On the first day everybody reaches for something for the first time, so it speaks as far as it is
known what a day brings. It comes on top of what a host does itself and is capped below every
threshold: co-activity alone never exceeds it.
"""

from __future__ import annotations

from math import log
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from river import stats

from detection.features.catalogue import index_of
from detection.models.learners.base import HostWindow, Range
from detection.models.learners.river_values import MeanValues, mean_values, restored_mean
from detection.models.learners.tails import CLIP, USUAL, geometric_high
from detection.state.stored_values import Text

CAP = 8.0
FLOOR = 0.5
PRIOR_MEAN = 1.0
PRIOR_WINDOWS = 10.0
SHRINK = 10.0  # windows of a service before its own mean outweighs the common one
MAX_SERVICES = 64


class _CoordinationState(Struct, frozen=True, array_like=True):
    common: MeanValues
    services: Annotated[dict[Text, MeanValues], Meta(max_length=MAX_SERVICES)]


class CoordinationLearner:
    name = "company"

    def __init__(self) -> None:
        self._i = index_of("companions")
        self.features: tuple[int, ...] = (self._i,)
        self._common = stats.Mean()
        self._common.update(PRIOR_MEAN, PRIOR_WINDOWS)
        self._services: dict[str, stats.Mean] = {}

    def score(self, window: HostWindow, into: list[float]) -> None:
        use = window.strongest
        n = window.values[self._i]
        if use is None or n <= 0.0:
            into[self._i] = 0.0
            return
        nats = n * log(1.0 + 1.0 / self._expected(use.service))
        into[self._i] = min(CAP, window.maturity * window.day_known * nats) if nats > USUAL else 0.0

    def learn(self, window: HostWindow) -> None:
        for use in window.uses:
            if use.companions is None:
                continue
            mean = self._services.get(use.service)
            if mean is None:
                if len(self._services) >= MAX_SERVICES:
                    del self._services[next(iter(self._services))]
                mean = self._services[use.service] = stats.Mean()
            clipped = min(use.companions, CLIP * (self._expected(use.service) + 1.0))
            mean.update(clipped, use.weight)
            self._common.update(clipped, use.weight)

    def explain(self, window: HostWindow) -> dict[int, Range]:
        use = window.strongest
        expected = PRIOR_MEAN if use is None else self._expected(use.service)
        return {self._i: Range(0.0, geometric_high(expected))}

    def snapshot(self) -> object:
        services = {service: mean_values(mean) for service, mean in self._services.items()}
        return _CoordinationState(mean_values(self._common), services)

    def restore(self, state: object) -> None:
        found = msgspec.convert(state, _CoordinationState)
        self._common = restored_mean(found.common)
        self._services = {name: restored_mean(mean) for name, mean in found.services.items()}

    def _expected(self, service: str) -> float:
        common = float(self._common.get())
        mean = self._services.get(service)
        if mean is not None:
            common = (SHRINK * common + mean.n * float(mean.get())) / (SHRINK + mean.n)
        return max(FLOOR, common)
