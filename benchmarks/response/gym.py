"""A Gymnasium environment over recorded traffic: each step is one alert, each action an answer.

Everything between record and alert, and from action to what gets through, is the product's own:
the detector scores and learns, the envelope judges, the policy's verdict under the restriction
decides about each connection. Only the meter of `rate_limit` is modelled (a token bucket).

The reward of a step is what happened until the next alert: benign connections carried, less
`EXPOSED_PAIR` for each host pair that the intruder got through to for the first time. What each
answer earned by itself, as `response.decisions.rewards` reckons it and with the truth known, is in
``info["earned"]`` when an answer has ended: that is what a bandit learns from.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import gymnasium
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks.response.scene import InjectedConnection, Scene, SceneDay, draw_day
from detection.alert import Alert
from detection.detector import Detector
from policies.model import PROTOCOL_NUMBERS, Address, Connection
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from response.decision import (
    ARMS,
    STRENGTH,
    Arm,
    Decision,
    DecisionAction,
    id_of,
    restriction,
)
from response.decisions.authorization import Authorization, Circumstances
from response.decisions.bandit import Context
from response.decisions.host_addresses import KnownHost
from response.decisions.rewards import reward_value
from topology.records import FlowRecord

EXPOSED_PAIR = 50.0
"""Benign connections that one host pair open to an intruder is worth."""

KINDS = ("scan", "lateral-path", "novel-edge", "volume", "policy-probe", "beacon")
Observation = NDArray[np.float32]


@dataclass(slots=True)
class TakenAction:
    """What was done about a host, and what came of it so far."""

    decision: Decision | None
    host: KnownHost
    arm: Arm
    context: Context
    began: float
    carried: int = 0
    stopped: int = 0
    tried: set[tuple[str, str]] = field(default_factory=set)
    reached: set[tuple[str, str]] = field(default_factory=set)
    tokens: float = 0.0
    filled: float = 0.0


@dataclass(frozen=True, slots=True)
class Earned:
    """What one answer earned: ``reward`` as `response.decisions.rewards` reckons it, with the
    truth known."""

    context: Context
    arm: Arm
    reward: float


@dataclass(slots=True)
class Totals:
    """Of a whole day. ``exposure`` is host pairs over which the intruder got through to a host
    that was not in his hands already."""

    carried: int = 0
    lost: int = 0
    exposure: int = 0
    alerts: int = 0


class ResponseEnv(gymnasium.Env[Observation, np.int64]):
    """``reset(seed=n)`` draws day ``n`` of a scene. Observations are
    `response.decisions.bandit.Context` as
    numbers in [0, 1]; actions are the places in `response.decisions.action_table.ARMS`. An action
    that the envelope
    would not carry out at once becomes an alert. A day without alerts ends at its first step."""

    metadata = {"render_modes": []}

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (4 + len(KINDS),), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(ARMS))
        self._permits = Authorization(scene.policy, ())
        self._judge = Judge(scene.policy, Membership(scene.policy))
        self.totals = Totals()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        number = int(self.np_random.integers(1 << 31)) if seed is None else seed
        day = draw_day(self.scene, number)
        self._detector = Detector(seed=number)
        self.totals = Totals()
        self._answers: dict[str, TakenAction] = {}
        self._number = 0
        self._pairs: set[tuple[str, str]] = set()
        self._taken: set[str] = set() if day.first is None else {day.first}
        self._earned: list[Earned] = []
        self._now = 0.0
        self._over = False
        self._told = (0, 0)  # benign carried, pairs exposed, as of the last reward
        self._alerts = self._play(day)
        self._asked = next(self._alerts, None)
        return self._observed(), self._info()

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._over:
            raise RuntimeError("the day is over: reset() first")
        before = self._told
        if self._asked is not None:
            self._answer(ARMS[int(action)])
            self._asked = next(self._alerts, None)
        self._over = over = self._asked is None
        if over:
            for answer in list(self._answers.values()):
                self._end(answer)
        self._told = (self.totals.carried, self.totals.exposure)
        carried, exposed = (now - then for now, then in zip(self._told, before, strict=True))
        reward = carried - EXPOSED_PAIR * exposed
        return self._observed(), reward, over, False, self._info()

    def context(self) -> Context:
        """What is known of the alert that waits for an answer."""
        assert self._asked is not None
        alert, host = self._asked
        return self._permits.context(alert, host, self._around(), self._now)

    # -- the day ---------------------------------------------------------------

    def _play(self, day: SceneDay) -> Iterator[tuple[Alert, KnownHost]]:
        """Every connection in order; yields where an answer is wanted."""
        queue: list[tuple[float, int, InjectedConnection]] = []
        order = 0
        for record in day.benign:
            queue.append((record.ts, order, InjectedConnection(record, None)))
            order += 1
        heapq.heapify(queue)
        waiting = [] if day.first is None else [(day.begins, day.first)]
        while queue:
            for since, host in waiting:
                for step in day.plans.get(host, ()):
                    heapq.heappush(queue, (since + step.record.ts, order, step))
                    order += 1
            waiting = []
            ts, _, step = heapq.heappop(queue)
            if ts > self.scene.day:
                break
            self._now = ts
            carried, seen = self._pass(step, ts)
            if carried and step.takes and seen.dst_ip not in self._taken:
                self._taken.add(seen.dst_ip)
                waiting = [(ts, seen.dst_ip)]
            alert = self._detector.step(seen).alert
            suspect = None if alert is None else self._permits.host_of(alert.host)
            if alert is None or suspect is None:
                continue
            self.totals.alerts += 1
            held = self._answers.get(suspect.name)
            if held is None or held.arm != "quarantine":
                yield alert, suspect

    def _pass(self, step: InjectedConnection, ts: float) -> tuple[bool, FlowRecord]:
        """Judge a connection; whether it gets through, and the record of it."""
        record = step.record
        connection = _connection(record)
        if connection is None:
            return True, _at(record, ts, None)
        held = [a for a in self._answers.values() if a.decision is not None]
        concerned = [
            a for a in held if not {record.src_ip, record.dst_ip}.isdisjoint(a.host.addresses)
        ]
        allowed = self._judge.verdict(connection, ts).forwarded
        passes = allowed
        if allowed and concerned:
            rules = [restriction(a.decision) for a in concerned if a.decision is not None]
            passes = self._judge.verdict(connection, ts, rules).forwarded
            passes = passes and all(self._within(a, record, ts) for a in concerned)
        if allowed:
            self._count(step, passes)
        return passes, _at(record, ts, passes)

    def _within(self, answer: TakenAction, record: FlowRecord, ts: float) -> bool:
        """The meter of a rate limit: tokens are packets, one second's worth at most."""
        if answer.arm != "rate_limit" or record.src_ip not in answer.host.addresses:
            return True
        envelope = self.scene.policy.envelope
        rate = 100 if envelope is None else envelope.rate_limit
        answer.tokens = min(float(rate), answer.tokens + rate * (ts - answer.filled))
        answer.filled = ts
        packets = max(1, record.packets_out or record.packets or 1)
        # A long connection is slowed down, not cut: it needs a token for a packet in each 0.1 s.
        need = min(packets, 10)
        if answer.tokens < need:
            return False
        answer.tokens -= need
        return True

    def _count(self, step: InjectedConnection, passes: bool) -> None:
        pair = (step.record.src_ip, step.record.dst_ip)
        if step.needs is None:
            self.totals.carried += passes
            self.totals.lost += not passes
        elif passes and pair not in self._pairs and pair[1] not in self._taken:
            self._pairs.add(pair)
            self.totals.exposure += 1
        if step.needs is not None and pair[1] in self._taken:
            return  # it is his already: reaching it again gains him nothing
        for answer in self._answers.values():
            if set(pair).isdisjoint(answer.host.addresses):
                continue
            if step.needs is None:
                answer.carried += passes
                answer.stopped += not passes
            else:
                answer.tried.add(pair)
                if passes:
                    answer.reached.add(pair)

    # -- answers ---------------------------------------------------------------

    def _answer(self, arm: Arm) -> None:
        assert self._asked is not None
        (_, host), context = self._asked, self.context()
        held = self._answers.get(host.name)
        if held is not None:
            if STRENGTH[arm] <= STRENGTH[held.arm]:
                return
            self._end(held)
        decision = None if arm == "alert" else self._decide(arm, host)
        done: Arm = "alert" if decision is None else arm
        self._answers[host.name] = TakenAction(
            decision, host, done, context, self._now, tokens=100.0, filled=self._now
        )

    def _decide(self, arm: Arm, host: KnownHost) -> Decision | None:
        """The decision that the envelope would carry out at once, or None."""
        action: DecisionAction = arm  # type: ignore[assignment]
        judged = self._permits.judge(action, host, self._around())
        if judged.outcome != "active":
            return None
        self._number += 1
        for address in host.addresses:
            self._detector.suspend(address)
        return Decision(
            id_of(self._number), self._number, self._now, action, host.name, host.addresses,
            "host", "active", judged.ttl, "", "", "", "septum",
        )  # fmt: skip

    def _end(self, answer: TakenAction) -> None:
        del self._answers[answer.host.name]
        seen = answer.carried + answer.stopped
        safe = answer.carried / seen if seen else 1.0
        exposed = len(answer.reached) / len(answer.tried) if answer.tried else 0.0
        # The truth: an intruder had the host, or tried to get at it.
        hostile = bool(answer.tried) or not self._taken.isdisjoint(answer.host.addresses)
        reward = reward_value(safe, exposed, 1.0 if hostile else 0.0)
        self._earned.append(Earned(answer.context, answer.arm, reward))

    def _around(self) -> Circumstances:
        held = (a.decision for a in self._answers.values())
        return Circumstances(tuple(d for d in held if d is not None), None, None)

    # -- what the agent sees ---------------------------------------------------

    def _observed(self) -> Observation:
        if self._asked is None:
            return np.zeros(4 + len(KINDS), np.float32)
        context = self.context()
        features = context.features()
        numbers = [features[name] for name in ("nines", "hops", "criticality", "room")]
        kinds = [float(context.kind == kind) for kind in KINDS]
        return np.array([*numbers, *kinds], np.float32)

    def _info(self) -> dict[str, Any]:
        earned, self._earned = self._earned, []
        asked = None if self._asked is None else self.context()
        return {"context": asked, "earned": earned, "totals": self.totals}


def _connection(record: FlowRecord) -> Connection | None:
    proto = PROTOCOL_NUMBERS.get(record.proto)
    if proto is None:
        return None
    port = record.src_port if record.proto in ("icmp", "icmpv6") else record.dst_port
    return Connection(_ip(record.src_ip), _ip(record.dst_ip), proto, port)


@lru_cache(maxsize=65_536)
def _ip(text: str) -> Address:
    return ip_address(text)


def _at(record: FlowRecord, ts: float, passes: bool | None) -> FlowRecord:
    """The record as switches would have told it at ``ts``."""
    if passes is False:
        return replace(
            record,
            ts=ts,
            verdict="deny",
            state="denied",
            duration=0.0,
            packets_in=None,
            bytes_in=None,
        )
    return replace(record, ts=ts, verdict=None if passes is None else "allow")
