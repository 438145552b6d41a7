"""When what is normal changes: drift detectors, and the caution that follows.

Two streams are watched. *Surprise* is the mean raw score of calm host-windows over five minutes
(KSWIN: Raab, Heusinger and Schleif, 2020): it rises when many hosts begin to behave differently.
*Yielding* is by how much the fast model forgives what the frozen baseline does not
(Page-Hinkley: Page, 1954): it rises when somebody takes the model along in small steps.
Only rises count; a network that falls asleep is no cause for alarm.

An alarm makes the detector more cautious for half an hour: one nat less is enough for an
alert, a host must be calmer to be learned from, and the baseline is not renewed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Any

from msgspec import Meta, Struct
from river import drift

from detection.models.kswin import Kswin, KswinState
from detection.models.learners.river_values import MeanValues, mean_values, restored_mean
from detection.state.stored_values import VAST, Amount, Events, Hour, Moment, Text

BUCKET = 300.0  # seconds
FEWEST = 5  # host-windows in a bucket for its mean to say something
LASTS = 1800.0  # seconds
NATS = 1.0  # by which the threshold is lower meanwhile
CALMER = 0.5  # of the usual mark for calm hosts
MEMORY, RECENT = 288, 12  # buckets: a day, against its last hour
SURE = 1e-5  # probability that the two are alike, below which they are not
RISE = 0.1  # nats by which the recent mean must exceed the day's to be a rise
SLACK, BREAK = 0.1, 25.0  # Page-Hinkley: tolerated per window, and the sum that is a break


@dataclass(frozen=True, slots=True)
class Alarm:
    """``stream`` is ``surprise`` or ``yielding``."""

    ts: Moment
    stream: Text


_Sum = Annotated[float, Meta(ge=-VAST, le=VAST)]


class PageHinkleyState(Struct, frozen=True, array_like=True):
    """``least`` is None before the first value."""

    mean: MeanValues
    increase: _Sum
    decrease: _Sum
    least: _Sum | None
    most: _Sum
    detected: bool


class DriftState(Struct, frozen=True, array_like=True):
    alarms: Events
    last: Alarm | None
    until: Moment
    means: list[Amount]
    kswin: KswinState
    page_hinkley: PageHinkleyState
    bucket: Hour
    sum: _Sum
    windows: Events


class DriftWatch:
    def __init__(self, seed: int) -> None:
        self.alarms = 0
        self.last: Alarm | None = None
        self.until = 0.0
        self._means: deque[float] = deque(maxlen=MEMORY)
        self._kswin = Kswin(SURE, MEMORY, RECENT, seed)
        self._page_hinkley: Any = _page_hinkley()
        self._bucket = -1
        self._sum = 0.0
        self._n = 0

    def cautious(self, now: float) -> bool:
        return now < self.until

    def standing(self, now: float) -> str | None:
        """The stream whose alarm stands now."""
        return self.last.stream if self.last is not None and now < self.until else None

    def surprise(self, raw: float, now: float) -> None:
        """A calm host-window ended with this raw score as its highest."""
        bucket = int(now // BUCKET)
        if bucket != self._bucket:
            if self._n >= FEWEST:
                self._take(self._sum / self._n, now)
            self._bucket, self._sum, self._n = bucket, 0.0, 0
        self._sum += raw
        self._n += 1

    def yielding(self, gap: float, now: float) -> None:
        """The baseline scored a calm host-window ``gap`` nats (>= 0) above the fast model.

        Only windows that were unusual enough for the baseline to be asked say something.
        """
        self._page_hinkley.update(gap)
        if self._page_hinkley.drift_detected:
            self._alarm("yielding", now)

    def clear(self) -> None:
        """A person looked at it and accepts what is learned as it is."""
        self.until = 0.0

    def snapshot(self) -> DriftState:
        test = self._page_hinkley
        return DriftState(
            self.alarms,
            self.last,
            self.until,
            list(self._means),
            self._kswin.snapshot(),
            PageHinkleyState(
                mean_values(test._x_mean),
                test._sum_increase,
                test._sum_decrease,
                test._min_increase if isfinite(test._min_increase) else None,
                test._max_decrease,
                test._drift_detected,
            ),
            self._bucket,
            self._sum,
            self._n,
        )

    def restore(self, state: DriftState) -> None:
        """Raises ValueError as `Kswin.restore` does."""
        self.alarms, self.last, self.until = state.alarms, state.last, state.until
        self._means = deque(state.means, MEMORY)
        self._kswin.restore(state.kswin)
        test, stored = self._page_hinkley, state.page_hinkley
        test._x_mean = restored_mean(stored.mean)
        test._sum_increase, test._sum_decrease = stored.increase, stored.decrease
        test._min_increase = inf if stored.least is None else stored.least
        test._max_decrease, test._drift_detected = stored.most, stored.detected
        self._bucket, self._sum, self._n = state.bucket, state.sum, state.windows

    def _take(self, mean: float, now: float) -> None:
        means = self._means
        means.append(mean)
        self._kswin.take(mean)
        if self._kswin.drifted:
            recent = list(means)[-RECENT:]
            if sum(recent) / RECENT > sum(means) / len(means) + RISE:
                self._alarm("surprise", now)

    def _alarm(self, stream: str, now: float) -> None:
        self.alarms += 1
        self.last = Alarm(now, stream)
        self.until = now + LASTS


def _page_hinkley() -> drift.PageHinkley:
    return drift.PageHinkley(min_instances=30, delta=SLACK, threshold=BREAK, mode="up")
