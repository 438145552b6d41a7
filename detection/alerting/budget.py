"""The alert budget: what people set instead of a threshold.

A raw score is in nats: a normal host-window reaches ``x`` with a probability of about ``exp(-x)``.
A network of ``n`` hosts has ``n * 1440`` host-minutes a day, so ``log(n * 1440 / allowed)`` is
the raw score that normal behaviour reaches as often as the budget allows. When more alerts
come in a day than that, normal behaviour here is wilder than assumed, and the threshold rises
by one nat per alert in excess; but only so far, or a noisy host could hide
an attack behind it.
"""

from __future__ import annotations

from collections import deque
from math import log

from msgspec import Struct

from detection.state.stored_values import Amount, Moment

DAY = 86_400.0
WINDOWS_PER_DAY = 1440.0
FEWEST_HOSTS = 10  # a network is not taken to be smaller: its hosts may not have spoken yet
MOST_RISE = 4.0
MOST_SPENT = 4096  # alerts remembered
LEAST = 2.0  # nats: however large the budget, what one window in seven reaches is no alert


class BudgetState(Struct, frozen=True, array_like=True):
    spent: list[Moment]
    threshold: Amount


class AlertBudget:
    """``per_thousand`` is alerts a day for 1,000 hosts; at least one a day is assumed."""

    def __init__(self, per_thousand: float) -> None:
        self.per_thousand = per_thousand
        self._spent: deque[float] = deque(maxlen=MOST_SPENT)
        self.threshold = 0.0
        self.update(FEWEST_HOSTS, 0.0)

    def snapshot(self) -> BudgetState:
        return BudgetState(list(self._spent), self.threshold)

    def restore(self, state: BudgetState) -> None:
        self._spent = deque(state.spent, MOST_SPENT)
        self.threshold = state.threshold

    def allowed(self, hosts: int) -> float:
        """Alerts a day."""
        return max(1.0, self.per_thousand * hosts / 1000.0)

    def update(self, hosts: int, now: float) -> float:
        """The threshold for a network of ``hosts`` internal hosts now."""
        while self._spent and now - self._spent[0] > DAY:
            self._spent.popleft()
        counted = max(FEWEST_HOSTS, hosts)
        allowed = self.allowed(counted)
        rise = min(MOST_RISE, max(0.0, len(self._spent) - allowed))
        self.threshold = max(LEAST, log(counted * WINDOWS_PER_DAY / allowed)) + rise
        return self.threshold

    def spend(self, now: float) -> None:
        """A host was alerted on that had no open alert."""
        self._spent.append(now)
