"""Which action an alert asks for: a fixed table, read from the top.

The envelope decides afterwards whether the action may be taken.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from detection.alerts import Alert
from response.decisions import DecisionAction


@dataclass(frozen=True, slots=True)
class Row:
    """Alerts with at least this calibrated score and this many hops ask for ``action``."""

    min_score: float
    min_hops: int
    action: DecisionAction


TABLE: tuple[Row, ...] = (Row(min_score=0.0, min_hops=0, action="quarantine"),)
"""Quarantine is the action that switches carry out, so every alert that passed the
detector's budget asks for it. With more actions the table grows rows for weaker ones."""


def choose(
    alert: Alert, allowed: Collection[str], table: tuple[Row, ...] = TABLE
) -> DecisionAction | None:
    """The first row's action that the alert reaches and the policy allows; None: only alert.

    A row whose action is not among ``allowed`` is passed over, so an alert
    that would deserve more gets the strongest that the policy permits.
    """
    for row in table:
        reached = alert.score >= row.min_score and len(alert.path) >= row.min_hops
        if reached and row.action in allowed:
            return row.action
    return None
