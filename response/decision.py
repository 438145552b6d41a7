"""A machine decision: what is done to one host, why, for how long, and how it ends; and the
choice that it came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from msgspec import Struct

from policies.model import Restriction

DecisionAction = Literal["rate_limit", "isolate", "quarantine"]
Arm = Literal["alert", "rate_limit", "isolate", "quarantine"]
ARMS: tuple[Arm, ...] = ("alert", "rate_limit", "isolate", "quarantine")
Port = tuple[int, int]
"""A switch and the number of one of its ports."""

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
    what the rules match. ``ports`` are where a discovered host is (switch and number): it counts
    there as one, and with the ``scope`` ``port`` the rules also match all that is on them, with
    ``host`` the addresses alone; ``shared-port`` is a port whole, with the declared hosts there,
    which only a person puts in force. ``ttl`` is what it was made for; ``until`` is set once it was
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
    ports: tuple[Port, ...] = ()

    @property
    def subjects(self) -> tuple[str | Port, ...]:
        """What it is found by: its addresses and ports."""
        return (*self.addresses, *self.ports)

    @property
    def taken(self) -> tuple[Port, ...]:
        """The ports that it takes whole."""
        return () if self.scope == "host" else self.ports

    @property
    def expires(self) -> float:
        """Seconds since the epoch."""
        return self.ts + self.ttl if self.until is None else self.until


def places(ports: Iterable[Port]) -> tuple[str, ...]:
    """Ports in words: ``port 7 of switch 1``."""
    return tuple(f"port {port} of switch {switch}" for switch, port in ports)


def restriction(decision: Decision) -> Restriction:
    """A decision as verdicts and the compiler take it."""
    addresses = tuple(ip_address(each) for each in decision.addresses)
    return Restriction(
        decision.number, decision.action, addresses, decision.expires, decision.taken
    )


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
