"""A machine decision: what is done to one host, why, for how long, and how it ends; and the
choice that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

DecisionAction = Literal["rate_limit", "isolate", "quarantine"]
Arm = Literal["alert", "rate_limit", "isolate", "quarantine"]
ARMS: tuple[Arm, ...] = ("alert", "rate_limit", "isolate", "quarantine")
DecisionState = Literal["proposed", "active", "released", "expired", "rejected"]

MAX_TTL = 65_535  # seconds: the switch's own hard timeout is 16 bits wide

MACHINE = "septum"
"""``by`` of what no person did."""

STRENGTH: dict[str, int] = {"alert": 0, "rate_limit": 1, "isolate": 2, "quarantine": 3}
"""What can be done about an alert, weakest first."""


def id_of(number: int) -> str:
    """A decision's id from its number, which is also what its rules' cookies carry."""
    return f"d{number}"


class InstalledRule(Struct, frozen=True):
    """One rule that a switch confirmed by barrier for this decision."""

    switch: int
    table: int
    cookie: int


class Decision(Struct, frozen=True):
    """``number`` is the cookie's object number and unique in a state directory;
    ``target`` the host's name (or address where it has none), ``addresses``
    what the rules match. ``ttl`` is what it was made for; ``until`` is set once it was
    extended. ``supersedes`` is the decision on the same host that this one took the place
    of, ``superseded_by`` the one that took its place; ``approved_by`` the person who approved it.
    """

    id: str
    number: int
    ts: float
    action: DecisionAction
    target: str
    addresses: tuple[str, ...]
    scope: str
    state: DecisionState
    ttl: int
    alert: str
    why: str
    would_release_if: str
    by: str
    rules: tuple[InstalledRule, ...] = ()
    until: float | None = None
    supersedes: str | None = None
    superseded_by: str | None = None
    approved_by: str | None = None

    @property
    def expires(self) -> float:
        """Seconds since the epoch."""
        return self.ts + self.ttl if self.until is None else self.until


@dataclass(frozen=True, slots=True)
class Option:
    """One action that the policy names: how far the envelope lets it go now and why, and the
    reward that was expected of it (None for one that was not to be had)."""

    action: str
    outcome: str
    reason: str
    worth: float | None = None


@dataclass(frozen=True, slots=True)
class ActionChoice:
    """What was chosen among ``options``. ``table`` is what the fixed table says, ``explored``
    that the action was taken to learn about it, ``context`` what the choice rested on."""

    action: Arm
    table: Arm
    explored: bool
    options: tuple[Option, ...]
    context: tuple[tuple[str, float], ...] = ()
