"""River's GaussianScorer on the logarithm of bytes: how far above the usual volume.

Windows without bytes say nothing about volume and are left out, or they would
make any transfer at all look unusual.
"""

from __future__ import annotations

from math import log
from typing import Any

from river import anomaly

from detection.features import index_of
from detection.learners.base import HostWindow, Range

CAP = 2.5
GRACE = 100  # windows with bytes before it speaks


class GaussianLearner:
    name = "gaussian"
    every_record = True

    def __init__(self) -> None:
        self._i = index_of("volume")
        self.features: tuple[int, ...] = (self._i,)
        make: Any = anomaly.GaussianScorer
        self._scorer: Any = make(grace_period=GRACE)
        self._low = self._high = 0.0

    def score(self, window: HostWindow, into: list[float]) -> None:
        x = window.values[self._i]
        into[self._i] = 0.0
        if x <= self._high or self._scorer.gaussian.n_samples < GRACE:
            return
        beyond = max(1e-12, 1.0 - self._scorer.score_one(None, x))
        into[self._i] = window.maturity * min(CAP, max(0.0, -log(beyond) - log(20.0)))

    def learn(self, window: HostWindow) -> None:
        x = window.values[self._i]
        if x <= 0.0:
            return
        self._scorer.learn_one(None, x)
        gaussian = self._scorer.gaussian
        spread = 2.0 * float(gaussian.sigma) if gaussian.n_samples > 1 else 0.0
        self._low = max(0.0, float(gaussian.mu) - spread)
        self._high = float(gaussian.mu) + spread

    def explain(self, window: HostWindow) -> dict[int, Range]:
        return {self._i: Range(self._low, self._high)}

    def snapshot(self) -> object:
        return (self._scorer, self._low, self._high)

    def restore(self, state: object) -> None:
        assert isinstance(state, tuple)
        self._scorer, self._low, self._high = state
