"""Quantile filters: what exceeds the value that 99 of 100 host-windows stay under.

River's streaming quantile (P-square: Jain and Chlamtac, 1985) gives the bound ``q``;
a value ``x`` above it contributes ``slope * log((1 + x) / (1 + q))``, capped, because counts of
peers and connections have heavy tails and breadth alone is not an attack. Beacons alone are: about
25 regular visits make an alert in a small network, and 65 in one of a thousand hosts, unless
that is what hosts do there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import msgspec
from msgspec import Struct
from river import stats

from detection.features.catalogue import index_of
from detection.models.learners.base import HostWindow, Range
from detection.models.learners.river_values import (
    QuantileValues,
    quantile_values,
    restored_quantile,
)
from detection.state.stored_values import Amount, Events

LEVEL = 0.99
ENOUGH = 100  # windows before the bound is believed


@dataclass(frozen=True, slots=True)
class Filter:
    feature: str
    slope: float
    cap: float


FILTERS = (
    Filter("new_peers", 1.5, 3.0),
    Filter("new_services", 1.0, 2.0),
    Filter("novel_edge", 1.0, 2.0),
    Filter("burst", 1.5, 4.0),
    Filter("beacon", 3.0, 14.0),
)


class _FilterStates(Struct, frozen=True, array_like=True):
    quantiles: list[QuantileValues]
    bounds: list[Amount]
    windows: Events


class QuantileLearner:
    name = "quantiles"

    def __init__(self, filters: tuple[Filter, ...] = FILTERS) -> None:
        self._filters = tuple((index_of(f.feature), f.slope, f.cap) for f in filters)
        self.features = tuple(i for i, _, _ in self._filters)
        self._quantiles = {i: stats.Quantile(LEVEL) for i in self.features}
        self._bounds = dict.fromkeys(self.features, 0.0)
        self._n = 0

    def score(self, window: HostWindow, into: list[float]) -> None:
        known = self._n >= ENOUGH
        for i, slope, cap in self._filters:
            x = window.values[i]
            bound = self._bounds[i]
            into[i] = (
                window.maturity * min(cap, slope * log((1.0 + x) / (1.0 + bound)))
                if known and x > bound
                else 0.0
            )

    def learn(self, window: HostWindow) -> None:
        self._n += 1
        for i in self.features:
            quantile = self._quantiles[i]
            quantile.update(window.values[i])
            self._bounds[i] = max(0.0, float(quantile.get() or 0.0))

    def explain(self, window: HostWindow) -> dict[int, Range]:
        return {i: Range(0.0, self._bounds[i]) for i in self.features}

    def snapshot(self) -> object:
        return _FilterStates(
            [quantile_values(self._quantiles[i]) for i in self.features],
            [self._bounds[i] for i in self.features],
            self._n,
        )

    def restore(self, state: object) -> None:
        found = msgspec.convert(state, _FilterStates)
        quantiles = [restored_quantile(LEVEL, each) for each in found.quantiles]
        self._quantiles = dict(zip(self.features, quantiles, strict=True))
        self._bounds = dict(zip(self.features, found.bounds, strict=True))
        self._n = found.windows
