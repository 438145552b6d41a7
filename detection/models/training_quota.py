"""How much one source may teach: at most twice a fair share of the host-windows of an hour.

Every learner that all hosts share hears this many windows of a source and no more, so that one
that talks all the time (or repeats itself in order to be believed) is one voice among the
others. A fair share is the mean over the sources heard in that hour.
"""

from __future__ import annotations

from msgspec import Struct

from detection.state.hosts import HostState
from detection.state.stored_values import Events, Hour

HOUR = 3600.0
FAIR = 2.0  # shares that one source may have
GRACE = 15  # windows of a source that are heard in any case


class QuotaState(Struct, frozen=True, array_like=True):
    refused: Events
    hour: Hour
    windows: Events
    sources: Events


class TrainingQuota:
    """``refused`` counts calm host-windows that were not learned for this reason."""

    def __init__(self) -> None:
        self.refused = 0
        self._hour = -1
        self._windows = 0
        self._sources = 0

    def snapshot(self) -> QuotaState:
        return QuotaState(self.refused, self._hour, self._windows, self._sources)

    def restore(self, state: QuotaState) -> None:
        self.refused, self._hour = state.refused, state.hour
        self._windows, self._sources = state.windows, state.sources

    def admits(self, host: HostState, now: float) -> bool:
        """Whether one more calm window of ``host`` is learned; counts it when so."""
        hour = int(now // HOUR)
        if hour != self._hour:
            self._hour = hour
            self._windows = self._sources = 0
        if host.taught_hour != hour:
            host.taught_hour = hour
            host.taught = 0
            self._sources += 1
        if host.taught >= GRACE and host.taught * self._sources >= FAIR * self._windows:
            self.refused += 1
            return False
        host.taught += 1
        self._windows += 1
        return True
