"""Fixed table from an alert's score and path to an action, read from the top.

It is where the learner of `response.decisions.bandit` starts from, and what it is measured against.
The envelope decides afterwards whether an action may be taken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from detection.alert import Alert
from response.decision import ARMS, Arm, DecisionAction


@dataclass(frozen=True, slots=True)
class Row:
    """Alerts with at least this calibrated score and this many hops ask for ``action``."""

    min_score: float
    min_hops: int
    action: DecisionAction


CERTAIN, LIKELY, PATH = 0.999, 0.99, 2

TABLE: tuple[Row, ...] = (
    Row(CERTAIN, PATH, "quarantine"),
    Row(CERTAIN, 0, "isolate"),
    Row(LIKELY, 0, "rate_limit"),
)


def choose(alert: Alert, allowed: Collection[str], table: tuple[Row, ...] = TABLE) -> Arm:
    """The first row's action that the alert reaches and the policy allows, else ``alert``.

    Rows with an action not in ``allowed`` are skipped, so an alert that calls for more gets the
    strongest permitted action.
    """
    return fixed_action(alert.score, len(alert.path), allowed, table)


def fixed_action(
    score: float, hops: int, allowed: Collection[str], table: tuple[Row, ...] = TABLE
) -> Arm:
    """`choose`, from a score and a path's length."""
    for row in table:
        if score >= row.min_score and hops >= row.min_hops and row.action in allowed:
            return row.action
    return "alert"


def arms_of(actions: Iterable[str]) -> tuple[Arm, ...]:
    """All actions to choose from under an envelope, ``alert`` included."""
    allowed = {"alert", *actions}
    return tuple(arm for arm in ARMS if arm in allowed)
