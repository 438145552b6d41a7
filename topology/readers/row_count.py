"""Counts of rows read and bad rows of a recording, and the limit for the latter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

BAD_SHARE = 0.10
GRACE_ROWS = 100  # rows before the share of bad ones can stop the reading early
SHOWN = 20


class TrafficError(Exception):
    """Recorded traffic that cannot be used; the message is one line for users."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """``line`` counts from 1, as editors do; in a capture it is the packet's number."""

    line: int
    reason: str


class RowCount:
    """``rows`` are the records given and the bad rows among them.

    In a capture many packets make a record, so the share of bad ones is one of ``packets``.
    Packets of kinds that are not read are neither rows nor bad: ``unknown`` counts them by kind,
    and ``layers`` those that were read inside others, by what was around them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = 0
        self.bad = 0
        self.before = 0  # blank lines that the first line read came after
        self.packets: int | None = None
        self.problems: list[RowProblem] = []
        self.passed_over = 0  # rows of other logs in the same stream
        self.repeated = 0  # rows of what another sensor's row has counted
        self.unknown: Counter[str] = Counter()
        self.layers: Counter[str] = Counter()

    def note(self, line: int, reason: str) -> None:
        """Note a bad row, already counted in ``rows``. Raises TrafficError at too many."""
        self.bad += 1
        if len(self.problems) < SHOWN:
            self.problems.append(RowProblem(self.before + line, reason))
        self.judge(final=False)

    def judge(self, final: bool) -> None:
        seen, what = self.rows, "rows"
        if self.packets is not None:
            seen, what = self.packets, "packets"
        if self.bad > BAD_SHARE * seen and (final or seen >= GRACE_ROWS):
            first = self.problems[0]
            raise TrafficError(
                f"{self.name}:{first.line}: {first.reason}; {self.bad} of {seen} {what} "
                "are bad, more than a tenth: is the form of this recording what it looks like?"
            )
