"""From raw scores to [0, 1]: a score of s means that about s of host-windows score lower.

A histogram of what host-windows really scored, with an exponential prior for
what has not been seen yet. The mapping is increasing at any moment (strictly, as far as floats can
tell scores next to 1 apart), and moves only when windows are learned.
"""

from __future__ import annotations

from math import exp, log1p
from typing import Annotated

from msgspec import Meta, Struct

from detection.models.learners.river_values import Weight
from detection.state.stored_values import Events

STEP = 0.05
BINS = 800
PRIOR_WINDOWS = 50.0
REBUILD = 64
SOFT = 20.0  # beyond this raw score the prior's tail thins out slowly, so that floats can tell


class CalibrationState(Struct, frozen=True, array_like=True):
    """``above`` counts the host-windows that score at least as much as each step."""

    counts: Annotated[list[Events], Meta(min_length=BINS + 1, max_length=BINS + 1)]
    above: Annotated[list[Weight], Meta(min_length=BINS + 2, max_length=BINS + 2)]
    pending: Events
    version: Events


class Calibration:
    def __init__(self) -> None:
        self._counts = [0] * (BINS + 1)
        self._above = [0.0] * (BINS + 2)
        self._n = 0
        self._pending = 0
        self.version = 0

    def learn(self, raw: float) -> None:
        """A host-window ended with this raw score as its highest."""
        self._counts[min(BINS, int(raw / STEP))] += 1
        self._pending += 1
        if self._pending >= REBUILD or self._n < REBUILD:
            self._rebuild()

    def score(self, raw: float) -> float:
        """Raises ValueError for a negative raw score."""
        if raw < 0.0:
            raise ValueError("raw scores are not negative")
        return 1.0 - self.tail(raw)

    def tail(self, raw: float) -> float:
        """The share of host-windows that are expected to score at least ``raw``."""
        position = raw / STEP
        if position < BINS:
            i = int(position)
            low = self._above[i]
            above = low + (position - i) * (self._above[i + 1] - low)
        else:
            above = self._above[BINS] * max(0.0, 1.0 - (position - BINS))
        stretched = raw if raw <= SOFT else SOFT + 3.0 * log1p((raw - SOFT) / 3.0)
        return (PRIOR_WINDOWS * exp(-stretched) + above) / (PRIOR_WINDOWS + self._n)

    def snapshot(self) -> CalibrationState:
        return CalibrationState(self._counts, self._above, self._pending, self.version)

    def restore(self, state: CalibrationState) -> None:
        """Raises ValueError for shares that do not fall with the score."""
        above = state.above
        falls = all(a >= b for a, b in zip(above, above[1:], strict=False))
        if not falls or above[-1] != 0.0 or above[0] != int(above[0]):
            raise ValueError("a calibration that does not fall")
        self._counts, self._above, self._n = state.counts, above, int(above[0])
        self._pending, self.version = state.pending, state.version

    def _rebuild(self) -> None:
        total = 0.0
        for i in range(BINS, -1, -1):
            total += self._counts[i]
            self._above[i] = total
        self._n = int(total)
        self._pending = 0
        self.version += 1
