"""All learners together: the raw score is the sum of what each feature adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from detection.features.catalogue import COUNT
from detection.models.learners.base import HostWindow, Learner, Range
from detection.models.learners.coordination import CoordinationLearner
from detection.models.learners.fanout import FanoutLearner
from detection.models.learners.gaussian import GaussianLearner
from detection.models.learners.halfspace import HalfSpaceLearner
from detection.models.learners.quantiles import QuantileLearner
from detection.models.learners.rules import MovementRules
from detection.models.learners.tails import TailLearner
from detection.state.stored_values import VAST, Events, Moment

HALF_KNOWN_WINDOWS = 300.0  # calm host-windows after which the background is half known
HALF_KNOWN_SECONDS = 900.0  # and the time, so that many hosts in one minute are no history
HALF_KNOWN_DAY = 86_400.0  # seconds after which it is half known what a day brings


def default_learners(seed: int) -> tuple[Learner[HostWindow], ...]:
    return (
        TailLearner(),
        MovementRules(),
        FanoutLearner(),
        CoordinationLearner(),
        QuantileLearner(),
        GaussianLearner(),
        HalfSpaceLearner(seed),
    )


class EnsembleState(Struct, frozen=True, array_like=True):
    windows: Events
    first: Moment | None
    elapsed: Annotated[float, Meta(ge=0.0, le=VAST)]
    learners: list[object]


class Ensemble:
    """Raises ValueError unless every feature has exactly one owner."""

    def __init__(self, learners: Sequence[Learner[HostWindow]]) -> None:
        owned = sorted(i for learner in learners for i in learner.features)
        if owned != list(range(COUNT)):
            raise ValueError("every feature must be owned by exactly one learner")
        self.learners = tuple(learners)
        self._trees = tuple(one for one in learners if isinstance(one, HalfSpaceLearner))
        self.windows = 0
        self._first: float | None = None
        self.elapsed = 0.0  # seconds of learning
        self.maturity = 0.0
        self.day_known = 0.0

    def score(self, window: HostWindow, into: list[float]) -> float:
        """Fill in the contributions; returns the raw score."""
        for learner in self.learners:
            learner.score(window, into)
        return sum(into)

    def close(self, window: HostWindow) -> None:
        """A window is over: fill in the values that only whole windows have."""
        for trees in self._trees:
            trees.measure(window)

    def learn(self, window: HostWindow, now: float) -> None:
        if self._first is None:
            self._first = now
        self.windows += 1
        for learner in self.learners:
            learner.learn(window)
        self._mature(now - self._first)

    def _mature(self, elapsed: float) -> None:
        self.elapsed = elapsed
        self.maturity = min(
            self.windows / (self.windows + HALF_KNOWN_WINDOWS),
            elapsed / (elapsed + HALF_KNOWN_SECONDS),
        )
        self.day_known = elapsed / (elapsed + HALF_KNOWN_DAY)

    def explain(self, window: HostWindow) -> dict[int, Range]:
        ranges: dict[int, Range] = {}
        for learner in self.learners:
            ranges.update(learner.explain(window))
        return ranges

    def snapshot(self) -> EnsembleState:
        learned = [learner.snapshot() for learner in self.learners]
        return EnsembleState(self.windows, self._first, self.elapsed, learned)

    def restore(self, state: EnsembleState, now: float) -> None:
        """Raises ValueError for what no ensemble of these learners is at ``now``."""
        if state.first is not None and state.first > now:
            raise ValueError("learning began later than now")
        for learner, learned in zip(self.learners, state.learners, strict=True):
            learner.restore(learned)
        self.windows, self._first = state.windows, state.first
        self._mature(state.elapsed)

    @property
    def fanout(self) -> FanoutLearner:
        return next(one for one in self.learners if isinstance(one, FanoutLearner))
