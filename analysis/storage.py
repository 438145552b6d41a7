"""Whether the store takes what the analysis gives it; what it did not take waits or is counted.

While the disk is full or fails, detection goes on in memory. A decision that cannot be stored is
not made; connections and what the controller reported wait, within bounds, for room.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from response.ipc.messages import StorageChanged

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between attempts, doubled each time
MAX_WAITING = 10_000  # entries
MAX_UNSAVED = 20_000  # connections
REPORT_EVERY = 1.0  # seconds


class Storage:
    """``problem`` says why nothing can be stored, None where it can; ``not_stored`` counts by kind
    what was lost since the start."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.not_stored: Counter[str] = Counter()
        self._noted: Counter[str] = Counter()  # of it, what the audit has
        self._waiting: deque[Callable[[], object]] = deque()
        self._since = 0.0
        self._pause = FIRST_PAUSE
        self._try_at = 0.0
        self._reported: StorageChanged | None = None

    def failed(self, problem: Exception, now: float) -> None:
        """The store did not take something; leave it alone for a while."""
        if self.problem is None:
            self._since, self._pause = now, FIRST_PAUSE
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.problem = " ".join(str(problem).split())
        self._try_at = now + self._pause

    def lose(self, what: str, count: int = 1) -> None:
        if count:
            self.not_stored[what] += count

    def hold_back(self, write: Callable[[], object]) -> None:
        """``write`` is called when there is room again; the oldest are lost when too many wait."""
        if len(self._waiting) == MAX_WAITING:
            self._waiting.popleft()
            self.lose("entries")
        self._waiting.append(write)

    def due(self, now: float) -> bool:
        """Whether it is time to try again; a clock that was set back is no reason to wait."""
        return now >= self._try_at or now < self._since

    def waiting(self) -> list[Callable[[], object]]:
        """What was held back, in order."""
        return list(self._waiting)

    def lost_now(self, now: float) -> dict[str, Any]:
        """For the audit: what was lost since it last heard of losses, and why."""
        lost = self.not_stored - self._noted
        return {
            "what": "stored again", "since": self._since, "seconds": round(now - self._since, 3),
            "problem": self.problem, "not_stored": dict(sorted(lost.items())),
        }  # fmt: skip

    def recovered(self) -> None:
        """Everything that waited is stored."""
        self.problem = None
        self._noted = self.not_stored.copy()
        self._waiting.clear()

    def report(self, now: float) -> StorageChanged | None:
        """What the controller should know, where that has changed; counts at most once a second."""
        made = StorageChanged(now, self.problem, dict(sorted(self.not_stored.items())))
        before = self._reported
        if before is None and made.problem is None and not made.not_stored:
            return None
        if before is not None:
            if (before.problem, before.not_stored) == (made.problem, made.not_stored):
                return None
            soon = before.ts <= now < before.ts + REPORT_EVERY
            if soon and (before.problem is None) == (made.problem is None):
                return None
        self._reported = made
        return made


def storage_line(report: StorageChanged) -> str:
    """For the log."""
    lost = ", ".join(f"{count} {what}" for what, count in report.not_stored.items())
    if report.problem is None:
        return "there is room in the store again" + (f"; not stored so far: {lost}" if lost else "")
    return (
        f"{report.problem}: detection goes on in memory, nothing is decided that cannot be stored"
        + (f"; not stored so far: {lost}" if lost else "")
    )
