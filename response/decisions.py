"""A machine decision: what is done to one host, why, for how long, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DecisionAction = Literal["rate_limit", "isolate", "quarantine"]
DecisionState = Literal["proposed", "active", "released", "expired", "rejected"]

MAX_TTL = 65_535  # seconds: the switch's own hard timeout is 16 bits wide


@dataclass(frozen=True, slots=True)
class InstalledRule:
    """One rule that a switch confirmed by barrier for this decision."""

    switch: int
    table: int
    cookie: int


@dataclass(frozen=True, slots=True)
class Decision:
    """``number`` is the cookie's object number and unique in a state directory;
    ``target`` the host's name (or address where it has none), ``addresses``
    what the rules match; ``expires`` is ``ts + ttl``.
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

    @property
    def expires(self) -> float:
        return self.ts + self.ttl
