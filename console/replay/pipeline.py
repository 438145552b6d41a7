"""Recorded traffic through the whole pipeline: verdicts, learning, decisions, and what they stop.

The clock is the recording's: a record is judged by the policy and by the decisions
that hold when it begins, then learned from. So the same recording, policy and
seed give the same decisions, however fast the machine is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address

from msgspec.structs import replace

from analysis.pipeline import Analysis
from detection.detector import Detector
from policies.compiler.common.bindings import declared_bindings
from policies.compiler.stateful.adaptive import restriction_rules
from policies.model import (
    PROTOCOL_NUMBERS,
    Action,
    Address,
    Connection,
    Mode,
    Policy,
    Restriction,
    Verdict,
)
from policies.rules.ovs_text import ovs_text
from policies.semantics.feed_listings import NOTHING_LISTED, Listings
from policies.semantics.infrastructure import InfrastructureRules
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from response.audit.log import Audit
from response.decision import Decision, restriction
from response.decisions.bandit import ActionLearner
from response.ipc.messages import Command, Enforce, HostsChanged, RecordsSeen
from response.state.store import Store
from topology.records import FlowRecord, VerdictWord

TICK = 0.25  # seconds of the recording, as often as a live analysis looks at the time
WORDS = ("allow", "observed", "would-deny", "deny", "not judged")


@dataclass(slots=True)
class Enforced:
    """A decision that held: the rules each switch would get, and what they stopped."""

    decision: Decision
    rules: list[str]
    ended: float | None = None
    why_ended: str = ""
    stopped: int = 0
    stopped_by_service: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class ReplayModels:
    """Initial models of a replay: fresh and seeded, or restored. ``detector`` and ``learner`` are
    snapshots, None for fresh ones.
    """

    seed: int = 0
    detector: bytes | None = None
    learner: bytes | None = None

    def fresh(self) -> tuple[Detector, ActionLearner]:
        """Raises ValueError for bytes that are no snapshot of this version."""
        detector = (
            Detector(seed=self.seed) if self.detector is None else Detector.restore(self.detector)
        )
        learner = (
            ActionLearner(self.seed)
            if self.learner is None
            else ActionLearner.restore(self.learner)
        )
        return detector, learner


class Replay:
    """Feed it records in order, then `finish` it. ``store`` must be empty; ``listings`` are what
    feeds list all the while."""

    def __init__(
        self,
        policy: Policy,
        store: Store,
        models: ReplayModels,
        adapt: bool,
        now: float,
        listings: Listings = NOTHING_LISTED,
    ) -> None:
        self.store = store
        self._listings = listings
        bindings = declared_bindings(policy)
        self._judge = Judge(policy, Membership(policy, bindings))
        self._infrastructure = InfrastructureRules(policy)
        detector, learner = models.fresh()
        self._analysis = Analysis(
            policy, detector, store, Audit(store), now, adapt=adapt, learner=learner
        )
        self._now = self._ticked = now
        self._active: dict[str, tuple[Restriction, Enforced]] = {}
        self.enforced: list[Enforced] = []
        self.verdicts: Counter[str] = Counter(dict.fromkeys(WORDS, 0))
        self._analysis.step(HostsChanged(bindings), now)
        self._carry_out(self._analysis.start(now))

    def take(self, record: FlowRecord) -> str:
        """Judge a record and learn from it. Return the name of its verdict."""
        self._now = now = max(self._now, record.ts)
        if now - self._ticked >= TICK:
            self._ticked = now
            self._carry_out(self._analysis.tick(now))
        seen, verdict_name = self._judged(record, now)
        self._carry_out(self._analysis.step(RecordsSeen((seen,)), now))
        return verdict_name

    def finish(self) -> None:
        self._carry_out(self._analysis.tick(self._now))
        self._analysis.finish(self._now)

    def _judged(self, record: FlowRecord, now: float) -> tuple[FlowRecord, str]:
        """The record as switches under this policy would report it, and the name of its verdict."""
        connection = _connection(record)
        if connection is None:
            self.verdicts["not judged"] += 1
            return record, "not judged"
        segments_of = self._judge.membership.segments_of
        ends = (segments_of(connection.src), segments_of(connection.dst))
        restrictions = [held for held, _ in self._active.values()]
        found = self._infrastructure.verdict(connection, *ends) or self._judge.judge(
            *ends, connection, now, restrictions, listings=self._listings
        )
        verdict_name = _verdict_name(found)
        self.verdicts[verdict_name] += 1
        if found.decision is not None:
            self._note_stopped(record, connection, now)
        if verdict_name == "deny":
            denied = replace(
                record, verdict=verdict_name, intent=found.intent, state="denied", duration=0.0,
                packets_in=None, bytes_in=None,
            )  # fmt: skip
            return denied, verdict_name
        # What another policy denied when it was recorded might have become anything.
        state = None if record.state == "denied" else record.state
        return replace(record, verdict=verdict_name, intent=found.intent, state=state), verdict_name

    def _note_stopped(self, record: FlowRecord, connection: Connection, now: float) -> None:
        ends = {connection.src, connection.dst}
        for held, enforced in self._active.values():
            if not ends.isdisjoint(held.addresses) and held.expires > now:
                enforced.stopped += 1
                enforced.stopped_by_service[record.service] += 1
                return

    def _carry_out(self, commands: Iterable[Command]) -> None:
        """What the controller does with the analysis's commands, without switches."""
        for command in commands:
            decision = command.decision
            if isinstance(command, Enforce):
                held = restriction(decision)
                switch = held.ports[0][0] if held.ports else 0
                made = restriction_rules([held], self._now, switch)
                rules = [ovs_text(rule) for rule in made]
                known = self._active.get(decision.id)
                if known is None:
                    enforced = Enforced(decision, rules)
                    self.enforced.append(enforced)
                else:
                    enforced = known[1]
                    enforced.decision, enforced.rules = decision, rules
                self._active[decision.id] = held, enforced
            elif decision.id in self._active:
                _, enforced = self._active.pop(decision.id)
                enforced.decision = decision
                enforced.ended, enforced.why_ended = self._now, command.reason


def _connection(record: FlowRecord) -> Connection | None:
    """What a policy judges; None for frames without IP and protocols without a number."""
    src, dst = _ip(record.src_ip), _ip(record.dst_ip)
    proto = PROTOCOL_NUMBERS.get(record.proto)
    if proto is None and record.proto.isdecimal() and int(record.proto) < 256:
        proto = int(record.proto)
    if src is None or dst is None or proto is None or src.version != dst.version:
        return None
    port = record.src_port if record.proto in ("icmp", "icmpv6") else record.dst_port
    return Connection(src, dst, proto, port)


@lru_cache(maxsize=65_536)
def _ip(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _verdict_name(found: Verdict) -> VerdictWord:
    if found.action is Action.ALLOW:
        return "allow"
    if not found.forwarded:
        return "deny"
    return "would-deny" if found.mode is Mode.AUDIT else "observed"
