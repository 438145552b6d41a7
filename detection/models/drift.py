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
from typing import Any

from river import drift

from detection.models.kswin import Kswin

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

    ts: float
    stream: str


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

    def __getstate__(self) -> dict[str, Any]:
        """Without River's reference to one of its own methods, which no snapshot may name."""
        state = dict(self.__dict__)
        state["_page_hinkley"] = {
            k: v for k, v in vars(self._page_hinkley).items() if k != "_test_drift"
        }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._page_hinkley = _page_hinkley()
        vars(self._page_hinkley).update(state["_page_hinkley"])

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
