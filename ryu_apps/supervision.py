"""Every loop and every job of the controller runs under a `Supervisor`.

An exception is logged and counted (`analysis.fault_log`), and a loop goes on after a pause. What
the OpenFlow library catches in threads of its own is logged and counted the same way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from analysis.fault_log import FaultLog
from ryu_apps.runtime import LIBRARY_LOGGERS, hub, ofproto_parser

LOG = logging.getLogger("septum.faults")
PAUSE = 1.0  # seconds until a loop that failed goes on
LIBRARY_PLACE = "openflow library"


class Supervisor:
    """Starts green threads, and survives what they raise."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self.faults = FaultLog(LOG.error, time.monotonic)
        self._loops: set[str] = set()

    @property
    def failing(self) -> list[str]:
        """Loops whose latest exception is not long past."""
        return [place for place in self.faults.failing() if place in self._loops]

    def loop(self, place: str, body: Callable[..., None], *arguments: Any) -> Any:
        """Run ``body`` in a thread of its own, again after a pause whenever it raises; it is over
        when ``body`` returns, or is killed. Return the thread."""

        self._loops.add(place)

        def run() -> None:
            while True:
                try:
                    return body(*arguments)
                except Exception as error:
                    self.faults.note(place, error)
                hub.sleep(self._pause)

        return hub.spawn(run)

    def job(self, place: str, work: Callable[..., None], *arguments: Any) -> Any:
        """Run ``work`` once in a thread of its own. Return the thread."""

        def run() -> None:
            with self.faults.surviving(place):
                work(*arguments)

        return hub.spawn(run)

    def surviving(self, place: str) -> AbstractContextManager[None]:
        """Go on after an exception inside."""
        return self.faults.surviving(place)

    def rounds(self, place: str, steps: Iterable[Callable[[], None]]) -> None:
        """One round of a loop: every step, also after one that raises; then a pause after any."""
        before = self.faults.total
        for step in steps:
            with self.faults.surviving(place):
                step()
        if self.faults.total > before:
            hub.sleep(self._pause)

    def watch_library(self) -> None:
        """Show and count what the OpenFlow library logs as an error; its warnings are shown.

        Of messages that it cannot parse it says nothing: `ryu_apps.switch.listener` counts those,
        and a stranger who sends many should not fill the log.
        """
        ofproto_parser.LOG.setLevel(logging.CRITICAL)
        for name in LIBRARY_LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
            logger.handlers = [LibraryErrors(self.faults)]


class LibraryErrors(logging.Handler):
    """Log records of the OpenFlow library, counted by where they were written."""

    def __init__(self, faults: FaultLog) -> None:
        super().__init__(logging.WARNING)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        """A record with an exception, or with one in its text, is logged with that once."""
        text, _, trace = record.getMessage().partition("\n")
        if record.exc_info:
            trace = f"{trace}\n{logging.Formatter().formatException(record.exc_info)}"
        last = trace.strip().rpartition("\n")[2]
        kind = f"{record.name}:{record.lineno} {last[:80]}"
        self._faults.note_text(LIBRARY_PLACE, kind, f"{text} {last}".strip(), trace)
