"""A slow, frozen model beside the fast one.

The fast model takes in every calm host-window, so whoever grows slowly enough takes it
along. The baseline is a copy of it that learns nothing; a host-window counts as
whichever of the two finds it less normal. It is renewed when it is as old as the
knowledge in it, at most once a day, and not while a drift alarm stands: then it stays until
the alarm is over, or a person accepts what has been learned since.

Known peers and a host's own habits are facts about that host and not part of either model, so
a migration or a new server need not wait for the next renewal.
"""

from __future__ import annotations

import pickle

from msgspec import Struct

from detection.models.learners.base import HostWindow, Range
from detection.models.learners.ensemble import Ensemble, EnsembleState
from detection.state.stored_values import Events, Moment

LONGEST = 86_400.0  # seconds after which it is renewed at the latest
ENOUGH = 0.5  # maturity from which on there is something to hold on to
DOUBT = 1.5  # nats of the fast model below which the baseline is not asked


class BaselineState(Struct, frozen=True, array_like=True):
    since: Moment | None
    renewals: Events
    due: Moment
    frozen: EnsembleState | None


class Baseline:
    """``since`` is when the copy was taken, None before there is one."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.renewals = 0
        self._frozen: Ensemble | None = None
        self._due = 0.0

    def renew(self, fast: Ensemble, now: float) -> None:
        """Freeze the fast model as it is now."""
        self._frozen = pickle.loads(pickle.dumps(fast))  # a tenth of what copy.deepcopy takes
        self.since = now
        self.renewals += 1
        self._due = now + min(LONGEST, max(fast.elapsed, 1.0))

    def is_due(self, fast: Ensemble, now: float) -> bool:
        return now >= self._due and fast.maturity >= ENOUGH

    def score(self, window: HostWindow, fast: list[float]) -> list[float] | None:
        """Contributions in place of ``fast`` where the baseline finds more, else None."""
        if self._frozen is None:
            return None
        mine = list(fast)
        return mine if self._frozen.score(window, mine) > sum(fast) else None

    def snapshot(self) -> BaselineState:
        frozen = None if self._frozen is None else self._frozen.snapshot()
        return BaselineState(self.since, self.renewals, self._due, frozen)

    def restore(self, state: BaselineState, empty: Ensemble, now: float) -> None:
        """``empty`` becomes the frozen copy. Raises ValueError as `Ensemble.restore` does."""
        self.since, self.renewals, self._due = state.since, state.renewals, state.due
        if state.frozen is not None:
            empty.restore(state.frozen, now)
            self._frozen = empty

    def explain(self, window: HostWindow) -> dict[int, Range]:
        assert self._frozen is not None
        return self._frozen.explain(window)
