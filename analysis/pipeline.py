"""The street from a record to a decision, as one pure composition.

`Analysis` takes messages from the controller and gives commands back. It reads
no clock and opens no socket: the process around it (`analysis.process`,
or the controller itself when it runs inline) does.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from msgspec.structs import asdict

from analysis.model_requests import answer_about_model
from detection.alert import Alert
from policies.model import Policy
from response.audit.event_counters import EventCounters
from response.audit.log import Audit
from response.decision import MACHINE
from response.decisions.authorization import Authorization, MembersOf
from response.decisions.bandit import ActionLearner
from response.decisions.hold import HOLD, set_hold
from response.decisions.host_addresses import own_networks
from response.decisions.lifecycle import Done, Lifecycle
from response.decisions.responder import Responder
from response.decisions.reward_ledger import RewardLedger
from response.decisions.rewards import word_on
from response.ipc import messages as m
from response.policy_event import PolicyEvent
from response.state.interfaces import StateStore, StoredFlow, SuspectDetector
from response.state.model_versions import NEWEST, ModelVersions
from topology.records import FlowRecord

RECENT = 20_000
"""Records kept in memory so that an alert's evidence can be written down with it."""

MAX_EVIDENCE = 50
"""Records written down with one alert, the newest of those that it names."""

WAITING_FLOWS = 50
"""Written down together: less than a millisecond, in which no record is looked at."""

SNAPSHOT_EVERY = 300.0  # seconds
COUNTS_EVERY = 10.0  # seconds between audit entries that only count things


class Analysis:
    """Scores what is seen, decides within the envelope, keeps everything.

    ``members_of`` answers who is in which segment (`policies.semantics.membership`);
    ``adapt=False`` turns every alert into nothing but an alert; ``learner`` chooses
    actions, one that knows nothing yet by default.
    """

    def __init__(
        self,
        policy: Policy,
        members_of: MembersOf,
        detector: SuspectDetector,
        store: StateStore,
        audit: Audit,
        now: float,
        adapt: bool = True,
        learner: ActionLearner | None = None,
        models: ModelVersions | None = None,
    ) -> None:
        self._policy = policy
        self._members_of = members_of
        self._detector = detector
        self._store = store
        self._audit = audit
        self._adapt = adapt
        self._models = models
        self._changes = 0  # of the model, when the snapshot that comes was begun
        self._bindings = store.bindings()
        self._permits = Authorization(policy, self._bindings, members_of)
        detector.include(own_networks(policy, self._bindings))
        self._prepared = False
        self._life = Lifecycle(store, audit, now)
        self._ledger = RewardLedger(store, audit, learner or ActionLearner())
        self._recent: dict[int, FlowRecord] = {}
        self._waiting: list[StoredFlow] = []
        self._counts = EventCounters(now)
        self._snapshot_due = now + SNAPSHOT_EVERY
        self._ledger_due = now + COUNTS_EVERY
        self._responder = Responder(store, audit, self._life, self._ledger, detector, adapt)
        self._follow([m.Enforce(decision) for decision in self._life.active()])

    # -- what the process around calls -----------------------------------------

    def start(self, now: float) -> list[m.Command]:
        """Once, when the controller can take commands: what it may have missed."""
        ended = self.tick(now)
        told = {command.decision.id for command in ended}
        commands = [each for each in self._life.resent(now) if each.decision.id not in told]
        self._audit.append(
            now,
            "started",
            {
                "adapt": self._adapt,
                "active": [d.id for d in self._life.active()],
                "hold": self.hold,
            },
        )
        return ended + commands

    def step(self, message: m.Message, now: float) -> list[m.Command]:
        """Take one message in. What must be done is stored before it is returned."""
        match message:
            case m.RecordsSeen(records, lost):
                self._counts.lost += lost
                return self._see_all(records, now)
            case m.HostsChanged(bindings):
                self._bindings = bindings
                self._permits = Authorization(self._policy, bindings, self._members_of)
                self._detector.include(own_networks(self._policy, bindings))
                self._prepared = False
                return self._follow_hosts(now)
            case m.SpoofsSeen(spoofs):
                self._counts.add_spoofs(spoofs)
            case m.RulesConfirmed():
                self._life.confirm(message)
            case m.SwitchChanged(ts, switch, what, detail):
                self._audit.append(ts, "switch", {"switch": switch, "what": what, "detail": detail})
            case m.PolicyApplied(ts, files, digest, problem, version):
                data = {"files": list(files), "digest": digest, "problem": problem}
                self._audit.append(ts, "policy", {**data, "version": version})
            case m.PolicyConfirmed(version, switches):
                told = {"what": "confirmed by barrier", "version": version}
                self._audit.append(now, "rollout", {**told, "switches": list(switches)})
            case m.PolicyEvents(events):
                self._note_policy_events(events)
        return []

    def tick(self, now: float) -> list[m.Command]:
        """A few times a second: end what has run out, write what has gathered."""
        commands: list[m.Command] = []
        for decision, command in self._life.expire(now):
            self._ledger.close(decision.id, word_on(decision), now, done=command is not None)
            if command is not None:
                commands.append(command)
        self._follow(commands)
        if commands:  # an address that two hosts had may be under the other one's decision now
            commands += self._follow_hosts(now)
        if not self._prepared:
            self._prepared = True
            self._store.save_host_names(self._permits.names())
        self._write_flows()
        if now >= self._ledger_due:
            self._ledger_due = now + COUNTS_EVERY
            self._ledger.write(now)
        if self._counts.due(now, COUNTS_EVERY):
            for kind, data in self._counts.take(now):
                self._audit.append(now, kind, data)
        return commands

    def finish(self, now: float) -> None:
        """Write down what only memory holds, before the process ends."""
        self._write_flows()
        self._ledger.write(now)
        for kind, data in self._counts.take(now):
            self._audit.append(now, kind, data)
        self._changes = 0 if self._models is None else self._models.changes
        self.keep_snapshot(self.snapshot(), now)

    @property
    def active_count(self) -> int:
        return len(self._life.active())

    def snapshot_due(self, now: float) -> bool:
        """True once each `SNAPSHOT_EVERY` seconds: then take `snapshot` and `keep_snapshot` it."""
        due = now >= self._snapshot_due
        if due:
            self._snapshot_due = now + SNAPSHOT_EVERY
            self._changes = 0 if self._models is None else self._models.changes
        return due

    def snapshot(self) -> bytes:
        """What was learned. With many hosts this takes seconds; see `analysis.background_copy`."""
        return self._detector.snapshot()

    def keep_snapshot(self, data: bytes, now: float) -> None:
        """Keep what was learned, so that a restart goes on from here.

        A snapshot of a model that was left while it was being written is dropped.
        """
        if self._models is None:
            self._store.save_snapshot(now, NEWEST, data)
        elif self._models.changes == self._changes:
            self._models.keep(data, now)

    def use_policy(self, policy: Policy, now: float) -> list[m.Command]:
        """Go on under another policy; a decision it would not permit is released."""
        self._policy = policy
        self._permits = Authorization(policy, self._bindings, self._members_of)
        self._detector.include(own_networks(policy, self._bindings))
        self._prepared = False
        commands: list[m.Command] = []
        for decision in self._life.active():
            reason = self._permits.forbids(decision)
            if reason is not None:
                done = self._life.release(decision.id, MACHINE, now, f"policy changed: {reason}")
                self._ledger.close(decision.id, "", now)
                commands.extend(done.commands)
        self._follow(commands)
        return commands + self._follow_hosts(now)

    # -- what people ask -------------------------------------------------------

    def ask(self, ask: m.Ask, now: float) -> Done:
        """Do what a person asked for; see `response.ipc.messages.Ask`."""
        match ask.what:
            case "approve":
                return self.approve(ask.decision, ask.by, now)
            case "reject":
                return self.reject(ask.decision, ask.by, now)
            case "extend":
                return self._life.extend(ask.decision, ask.seconds, ask.by, now, ask.note)
            case "release":
                return self.release(ask.decision, ask.by, now, ask.note)
            case "hold" | "resume":
                return self.set_hold(ask.what == "hold", ask.by, now)
        if self._models is not None and ask.what.startswith("model-"):
            told = answer_about_model(self._models, ask, now)
            return Done(told.ok, told.text)
        return Done(False, f"{ask.what}: no such request")

    def approve(self, decision_id: str, by: str, now: float) -> Done:
        proposal = self._store.decision(decision_id)
        forbidden = None if proposal is None else self._permits.forbids(proposal)
        own = None if proposal is None else self._permits.still_of(proposal)
        done = self._life.approve(decision_id, by, now, forbidden, own)
        self._follow(done.commands)
        for command in done.commands:
            if isinstance(command, m.Release):
                self._ledger.close(command.decision.id, "", now)
        return done

    def reject(self, decision_id: str, by: str, now: float) -> Done:
        with self._store.transaction():
            done = self._life.reject(decision_id, by, now)
            if done.ok:
                self._ledger.close(decision_id, "undone", now)
        return done

    def release(self, decision_id: str, by: str, now: float, note: str = "") -> Done:
        reason = f"released by {by}" + (f": {note}" if note else "")
        with self._store.transaction():
            done = self._life.release(decision_id, by, now, reason)
            for command in done.commands:
                self._ledger.close(decision_id, word_on(command.decision), now)
        self._follow(done.commands)
        return replace(done, commands=(*done.commands, *self._follow_hosts(now)))

    def set_hold(self, on: bool, by: str, now: float) -> Done:
        """Stop all automatic action, or let it go on; see `response.decisions.hold`."""
        answer = set_hold(self._store, self._audit, on, by, now)
        return Done(answer.ok, answer.text)

    @property
    def hold(self) -> str | None:
        """Who put automatic action on hold, or None."""
        return self._store.meta(HOLD)

    # -- one record ------------------------------------------------------------

    def _see_all(self, records: Iterable[FlowRecord], now: float) -> list[m.Command]:
        """What a flood of alerts needs is written in one transaction, and is on disk before
        any command of it leaves."""
        commands: list[m.Command] = []
        with ExitStack() as stack:
            begun = False
            for record in records:
                alert = self._see(record)
                if alert is not None:
                    if not begun:
                        stack.enter_context(self._store.transaction())
                        begun = True
                    commands += self._on_alert(alert, now)
        if len(self._waiting) >= WAITING_FLOWS and not commands:
            self._write_flows()
        return commands

    def _see(self, record: FlowRecord) -> Alert | None:
        scored = self._detector.step(record)
        self._recent[scored.row] = record
        self._recent.pop(scored.row - RECENT, None)
        self._waiting.append(StoredFlow(record, scored.score))
        self._ledger.see(record)
        return scored.alert

    def _on_alert(self, alert: Alert, now: float) -> list[m.Command]:
        evidence = tuple(
            self._recent[r] for r in alert.records[-MAX_EVIDENCE:] if r in self._recent
        )
        permits = self._permits
        commands = self._responder.respond(alert, evidence, permits, self.hold, now)
        self._follow(commands)
        return commands

    def _follow_hosts(self, now: float) -> list[m.Command]:
        """Decisions go with the host, not with the address.

        A blocked host that takes another address stays blocked; an address that went to
        another host, or is protected now, is blocked no more.
        """
        commands: list[m.Command] = []
        for decision in self._life.active():
            kept = self._permits.still_of(decision)
            if len(kept) < len(decision.addresses):
                reason = "an address belongs to another host now"
                number = self._store.next_decision_number()
                commands += self._life.narrow(decision.id, kept, number, now, reason)
                continue
            if self.hold is not None:
                continue
            for host in self._permits.holders(decision.addresses):
                if host.name == decision.target or not host.declared:
                    addresses = self._permits.unprotected(host.addresses)
                    commands += self._life.cover(decision.id, addresses, now)
        self._follow(commands)
        return commands

    def _note_policy_events(self, events: tuple[PolicyEvent, ...]) -> None:
        """Each once, however often the controller says it."""
        with self._store.transaction():
            last = int(self._store.meta("policy_event") or 0)
            for event in events:
                if event.number > last:
                    self._audit.append(event.ts, "rollout", asdict(event))
                    self._store.set_meta("policy_event", str(event.number))

    # -- small things ----------------------------------------------------------

    def _follow(self, commands: Iterable[m.Command]) -> None:
        """Hosts under a decision are not learned from; when it ends, they are again."""
        for command in commands:
            if isinstance(command, m.Release):
                for address in command.decision.addresses:
                    self._detector.resume(address)
        for command in commands:
            if isinstance(command, m.Enforce):
                for address in command.decision.addresses:
                    self._detector.suspend(address)

    def _write_flows(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._store.append_flows(waiting)
