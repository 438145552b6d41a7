"""Exceptions that a process survives: each kind logged once with its trace, all of them counted."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

KINDS = 64
"""Kinds of one place that are told apart; any further one counts as the last."""

SETTLED = 3.0
"""Seconds without an exception after which a place counts as working again."""


@dataclass(slots=True)
class PlaceFaults:
    """Exceptions of one place: how many, the latest in one line and when it came."""

    failures: int = 0
    latest: str = ""
    at: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)


class FaultLog:
    """Counts exceptions by the place that survived them.

    ``log`` takes lines. The first exception of a kind (its type, and where it was raised) is logged
    with its trace; the second, fourth, eighth, … in one line, so that no log is flooded. ``clock``
    gives seconds that never go back.
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._log, self._clock = log, clock
        self.places: dict[str, PlaceFaults] = {}

    @property
    def total(self) -> int:
        return sum(each.failures for each in self.places.values())

    @contextmanager
    def surviving(self, place: str) -> Iterator[None]:
        """Go on after an exception inside, which is counted for ``place``."""
        try:
            yield
        except Exception as error:
            self.note(place, error)

    def note(self, place: str, error: Exception) -> None:
        """Count an exception that was survived."""
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        trace = "".join(traceback.format_exception(error))
        self.note_text(place, f"{type(error).__name__} {where}", text, trace)

    def note_text(self, place: str, kind: str, text: str, trace: str = "") -> None:
        """Count what somebody else caught and put in words."""
        faults = self.places.setdefault(place, PlaceFaults())
        faults.failures += 1
        faults.latest, faults.at = text, self._clock()
        if kind not in faults.kinds and len(faults.kinds) >= KINDS:
            kind = next(reversed(faults.kinds))
        faults.kinds[kind] += 1
        times = faults.kinds[kind]
        if times == 1:
            self._log(f"{place}: {text}; it goes on\n{trace}".rstrip())
        elif times & times - 1 == 0:
            self._log(f"{place}: {text}; {times} times by now")

    def failing(self) -> list[str]:
        """Places at which the latest exception is not long past."""
        now = self._clock()
        return sorted(name for name, each in self.places.items() if now - each.at < SETTLED)

    def status(self) -> dict[str, dict[str, Any]]:
        """What each place survived, as plain data; places without any are left out."""
        failing = self.failing()
        return {
            name: {"failures": each.failures, "failing": name in failing, "latest": each.latest}
            for name, each in sorted(self.places.items())
        }


def raise_fault(_place: str, error: Exception) -> None:
    """What becomes of a fault until whoever runs the analysis can log it."""
    raise error
