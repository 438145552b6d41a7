"""Changes that others make to a switch's rules: noticed at once where the switch reports them.

A report only makes the next comparison due, so a wrong or invented one costs a reading and changes
nothing. However many come, comparisons take at most a fifth of the time, and only so many of them
are reported one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ryu_apps.openflow import flow_monitor

PAUSE = 0.05  # seconds from one comparison to the next, at least
SHARE = 4  # and as many times as long as the last one took
LONGEST_PAUSE = 4.0
REPORTED_AT_ONCE = 5  # comparisons that found something, within `REPORT_SPAN`
REPORT_SPAN = 30.0  # seconds


@dataclass(slots=True)
class ForeignChanges:
    """``asked`` is whether the switch was asked to report changes, ``watched`` whether it does.

    ``noticed`` counts its reports, ``unreported`` the comparisons that found something and were
    not reported one by one.
    """

    watched: bool = False
    noticed: int = 0
    unreported: int = 0
    asked: bool = False
    _due: bool = False
    _started: float = 0.0
    _not_before: float = 0.0
    _summed_up: float = 0.0
    _reports: deque[float] = field(default_factory=lambda: deque(maxlen=REPORTED_AT_ONCE))

    def watch(self, xid: int, tables: Iterable[int]) -> bytes:
        """The request for reports."""
        self.asked = self.watched = True
        return flow_monitor.watch_tables(xid, tables)

    def take(self, buf: bytes) -> None:
        """A report of the switch. Raises Malformed for bytes that are none."""
        if self._due:
            return  # whatever else it is, the comparison finds it
        if any(not update.timed_out for update in flow_monitor.updates(buf)):
            self.noticed += 1
            self._due = True

    def resumed(self) -> None:
        """The switch paused its reports for a while, and goes on."""
        self._due = True

    def due(self, now: float) -> bool:
        """Whether a comparison is."""
        # A clock that was set back must not hold comparisons up.
        waits = self._not_before - LONGEST_PAUSE <= now < self._not_before
        return self._due and not waits

    def comparing(self, now: float) -> None:
        """A comparison begins; what is reported from now on makes another one due."""
        self._due, self._started = False, now
        self._not_before = now + PAUSE

    def compared(self, now: float) -> None:
        """It has ended, and what it found is put right."""
        took = max(0.0, now - self._started)
        self._not_before = now + min(max(PAUSE, SHARE * took), LONGEST_PAUSE)

    def report(self, now: float) -> bool:
        """Whether to report what a comparison found; counted where not."""
        full = len(self._reports) == REPORTED_AT_ONCE
        if full and 0 <= now - self._reports[0] < REPORT_SPAN:
            self.unreported += 1
            return False
        self._reports.append(now)
        return True

    def sum_up(self, now: float) -> int:
        """How many comparisons were not reported one by one, now and then and after the last."""
        if 0 <= now - self._summed_up < REPORT_SPAN:
            return 0
        count, self.unreported = self.unreported, 0
        if count:
            self._summed_up = now
        return count
