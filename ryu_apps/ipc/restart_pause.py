"""How long to wait before a process that ended is started again."""

from __future__ import annotations

LONGEST = 60.0  # seconds
STEADY = 3.0  # seconds of work after which an end is a new trouble, not the same one


class RestartPause:
    """``first`` seconds, and twice as long each time that the process did not get to work."""

    def __init__(self, first: float) -> None:
        self._first = first
        self._next = first

    def after(self, ran: float, worked: bool) -> float:
        """Seconds to wait after a process that ran ``ran`` seconds, and got to work or not."""
        if worked and ran >= STEADY:
            self._next = self._first
        pause, self._next = self._next, min(2 * self._next, max(LONGEST, self._first))
        return pause
