"""From which raw score on a host is alerted on, and below which it is learned from."""

from __future__ import annotations

from msgspec import Struct

from detection.alerting.budget import AlertBudget, BudgetState
from detection.models.drift import CALMER, NATS
from detection.state.hosts import HostState
from detection.state.stored_values import Moment, Share

CALM = 0.6  # of the threshold: a host above it is not learned from
EVERY = 60.0  # seconds after which spent alerts are looked through for old ones


class ThresholdsState(Struct, frozen=True, array_like=True):
    inside: BudgetState
    outside: BudgetState
    calm: Share
    due: Moment
    relief: Share


class Thresholds:
    """Two alert budgets, ours and the others', and what a drift alarm takes off them.

    The Internet scans all day; that must not blunt the threshold for our own hosts. ``due`` is
    when (seconds since the epoch) they are to be worked out anew.
    """

    def __init__(self, per_thousand: float) -> None:
        self.inside = AlertBudget(per_thousand)
        self.outside = AlertBudget(per_thousand)
        self.calm = CALM  # of the threshold
        self.due = 0.0
        self._relief = 0.0

    def of(self, host: HostState) -> float:
        """In nats."""
        return self._budget(host).threshold - self._relief

    def is_calm(self, host: HostState) -> bool:
        """Whether what the host does now may be learned from."""
        return host.episode is None and not host.suspended and host.raw < self.calm * self.of(host)

    def was_calm(self, host: HostState) -> bool:
        """Whether it was calm for the whole of its window."""
        return self.is_calm(host) and host.peak < self.calm * self.of(host)

    @property
    def shown(self) -> float:
        """The threshold for our own hosts, in nats."""
        return self.inside.threshold - self._relief

    def spend(self, host: HostState, now: float) -> None:
        """``host`` was alerted on, and had no open alert."""
        self._budget(host).spend(now)

    def update(self, hosts: int, now: float, cautious: bool) -> None:
        """For a network of ``hosts`` hosts of ours; ``cautious`` while a drift alarm stands."""
        self.due = now + EVERY
        self._relief = NATS if cautious else 0.0
        self.calm = CALM * CALMER if cautious else CALM
        self.inside.update(hosts, now)
        self.outside.update(hosts, now)

    def use_budget(self, per_thousand: float) -> None:
        self.inside.per_thousand = self.outside.per_thousand = per_thousand

    def snapshot(self) -> ThresholdsState:
        inside, outside = self.inside.snapshot(), self.outside.snapshot()
        return ThresholdsState(inside, outside, self.calm, self.due, self._relief)

    def restore(self, state: ThresholdsState) -> None:
        self.inside.restore(state.inside)
        self.outside.restore(state.outside)
        self.calm, self.due, self._relief = state.calm, state.due, state.relief

    def _budget(self, host: HostState) -> AlertBudget:
        return self.inside if host.inside else self.outside
