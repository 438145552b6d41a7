"""Reward cases: one choice, its results, and the reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from detection.alert import Alert
from response.decision import MACHINE, Arm, Decision
from response.decisions.host_addresses import KnownHost
from topology.graph import CommunicationGraph

Habit = tuple[str, str, str]
Review = Literal["approved", "undone", ""]
"""What a person said of a decision; empty: nobody said anything."""

SETTLED = 60.0  # seconds before the alert from which on a connection is no habit
MAX_HABITS = 500  # of one suspect

EXPOSURE_WEIGHT = 4.0
"""How much worse leaving a hostile host all its pairs is than stopping all its safe traffic."""

UNSURE = 0.5
"""How likely an alert is taken to be right when no person said so."""

SLOWED = 0.5
"""The part of a suspect's pairs that count as exposed while a meter slows it down."""

PERSON = 0.5
"""What an approval adds to a reward, and an undo takes off (for an action that did something)."""


@dataclass(frozen=True, slots=True)
class RewardCase:
    """One choice and what came of it so far. ``pairs`` are host pairs that the suspect could reach
    at the alert, ``pairs_left`` those left under ``action``; ``until`` is for ``alert`` only."""

    id: str
    ts: float
    host: str
    addresses: tuple[str, ...]
    action: Arm
    table: Arm
    features: tuple[tuple[str, float], ...]
    pairs: int
    pairs_left: int
    habits: tuple[Habit, ...]  # source, target, service
    decision: str | None = None
    until: float | None = None
    carried: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class Reward:
    """``value`` in [-1, 1]; ``safe`` is the share of safe traffic carried, ``exposed`` the share of
    the suspect's host pairs left open, weighed by how likely the alert was right (``right``)."""

    value: float
    safe: float
    exposed: float
    right: float


def reward_of(case: RewardCase, review: Review) -> Reward:
    """1 for all safe traffic carried and nothing exposed; both cost, exposure more."""
    seen = case.carried + case.stopped
    safe = case.carried / seen if seen else expected_safe(case)
    exposed = case.pairs_left / case.pairs if case.pairs else 0.0
    if case.action == "rate_limit":
        exposed *= SLOWED
    right = {"approved": 1.0, "undone": 0.0, "": UNSURE}[review]
    value = reward_value(safe, exposed, right)
    if case.action != "alert":
        value += {"approved": PERSON, "undone": -PERSON, "": 0.0}[review]
    return Reward(max(-1.0, min(1.0, value)), safe, exposed, right)


def reward_value(safe: float, exposed: float, right: float) -> float:
    """Of the shares that `Reward` names; in [0, 1]."""
    return 1.0 - ((1.0 - safe) + EXPOSURE_WEIGHT * right * exposed) / (1.0 + EXPOSURE_WEIGHT)


def expected_safe(case: RewardCase) -> float:
    """The share of safe traffic that an action lets through, where none was seen."""
    if case.action in ("alert", "rate_limit") or not case.habits:
        return 1.0 if case.action in ("alert", "rate_limit") else 0.0
    if case.action == "quarantine":
        return 0.0
    return sum(dst in case.addresses for _, dst, _ in case.habits) / len(case.habits)


def review_of(decision: Decision) -> Review:
    """The verdict of people on an ended decision, as far as known."""
    if decision.approved_by is not None:
        return "approved"
    by_hand = decision.by != MACHINE and decision.superseded_by is None
    return "undone" if by_hand and decision.state in ("released", "rejected") else ""


def habits_of(graph: CommunicationGraph, host: KnownHost, alert: Alert) -> tuple[Habit, ...]:
    """A host's habitual connections, both ways, before the alert and unrelated to it."""
    suspicious = {(hop.src, hop.dst, hop.service) for hop in alert.path}
    found: list[Habit] = []
    for address in host.addresses:
        for src, dst, edge in graph.of(address):
            worked = edge.count > edge.denied + edge.failed
            old = edge.first < alert.ts - SETTLED
            if worked and old and (src, dst, edge.service) not in suspicious:
                found.append((src, dst, edge.service))
    return tuple(dict.fromkeys(found))[:MAX_HABITS]


def entry_of(case: RewardCase, reward: Reward, review: Review) -> dict[str, Any]:
    return {
        "decision": case.decision,
        "alert": case.id,
        "host": case.host,
        "action": case.action,
        "table": case.table,
        "reward": round(reward.value, 6),
        "safe_carried": case.carried,
        "safe_stopped": case.stopped,
        "pairs": case.pairs,
        "pairs_left": case.pairs_left,
        "right": reward.right,
        "person": review or None,
        "context": dict(case.features),
    }
