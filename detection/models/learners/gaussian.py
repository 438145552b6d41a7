"""River's Gaussian on the logarithm of bytes: how far above the usual volume.

Windows without bytes say nothing about volume and are left out, or they would
make any transfer at all look unusual. What leaves the network in bulk may alert by itself,
so it has to be bulk (50 MB) whatever is usual, and a network of small even transfers
is taken to vary more than it did so far.
"""

from __future__ import annotations

from math import erfc, log, log1p, sqrt
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from river import anomaly

from detection.features.catalogue import index_of
from detection.models.learners.base import HostWindow, Range
from detection.models.learners.river_values import MeanValues, mean_values, restored_mean
from detection.state.stored_values import VAST, Amount

CAPS = {"volume": 2.5, "rare_volume": 13.0}  # within, it is mostly a backup
LEAST = {"volume": 0.0, "rare_volume": log1p(50e6)}
SPREAD = {"volume": 0.0, "rare_volume": 1.5}  # least standard deviation, in nats
GRACE = 100  # windows with bytes before it speaks


class _VolumeState(Struct, frozen=True, array_like=True):
    """``squares`` is the sum of squared distances from the mean."""

    mean: MeanValues
    squares: Annotated[float, Meta(ge=0.0, le=VAST)]
    low: Amount
    high: Amount


class _Volume:
    """One feature's scorer and its usual range."""

    __slots__ = ("cap", "high", "i", "least", "low", "scorer", "spread")

    def __init__(self, feature: str) -> None:
        self.i = index_of(feature)
        self.cap = CAPS[feature]
        self.least = LEAST[feature]
        self.spread = SPREAD[feature]
        make: Any = anomaly.GaussianScorer
        self.scorer: Any = make(grace_period=GRACE)
        self.low = self.high = 0.0

    def nats(self, x: float) -> float:
        gaussian = self.scorer.gaussian
        if x <= self.high or x <= self.least or gaussian.n_samples < GRACE:
            return 0.0
        sigma = max(self.spread, float(gaussian.sigma), 1e-6)
        beyond = max(1e-12, erfc((x - float(gaussian.mu)) / sigma / sqrt(2.0)))
        return min(self.cap, max(0.0, -log(beyond) - log(20.0)))

    def learn(self, x: float) -> None:
        if x <= 0.0:
            return
        self.scorer.learn_one(None, x)
        gaussian = self.scorer.gaussian
        spread = 2.0 * float(gaussian.sigma) if gaussian.n_samples > 1 else 0.0
        self.low = max(0.0, float(gaussian.mu) - spread)
        self.high = float(gaussian.mu) + spread

    def snapshot(self) -> _VolumeState:
        variance = self.scorer.gaussian._var
        return _VolumeState(mean_values(variance.mean), variance._S, self.low, self.high)

    def restore(self, state: _VolumeState) -> None:
        variance = self.scorer.gaussian._var
        variance.mean, variance._S = restored_mean(state.mean), state.squares
        self.low, self.high = state.low, state.high


class GaussianLearner:
    name = "gaussian"

    def __init__(self) -> None:
        self._volumes = [_Volume(feature) for feature in CAPS]
        self.features: tuple[int, ...] = tuple(v.i for v in self._volumes)

    def score(self, window: HostWindow, into: list[float]) -> None:
        for volume in self._volumes:
            x = window.values[volume.i]
            into[volume.i] = window.maturity * volume.nats(x) if x > volume.high else 0.0

    def learn(self, window: HostWindow) -> None:
        for volume in self._volumes:
            volume.learn(window.values[volume.i])

    def explain(self, window: HostWindow) -> dict[int, Range]:
        return {volume.i: Range(volume.low, volume.high) for volume in self._volumes}

    def snapshot(self) -> object:
        return [volume.snapshot() for volume in self._volumes]

    def restore(self, state: object) -> None:
        found = msgspec.convert(state, list[_VolumeState])
        for volume, stored in zip(self._volumes, found, strict=True):
            volume.restore(stored)
