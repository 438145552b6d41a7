"""From a record to a decision: the pure pipeline of the analysis.

`Analysis` takes messages from the controller and returns commands. It reads no clock and opens no
socket: `analysis.event_loop` does, or the controller itself when it runs inline.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

import msgspec

from analysis.collector.known_connections import KnownConnections
from analysis.controller_events import note_event
from analysis.model_requests import answer_about_model
from analysis.snapshots import ModelSnapshots
from detection.alert import Alert
from detection.alerting.spoofing import SpoofingPorts
from policies.model import Policy
from policies.semantics.host_addresses import own_networks
from response.audit.event_counters import EventCounters
from response.audit.log import Audit
from response.decision import MACHINE, Port
from response.decisions.answers import Done
from response.decisions.authorization import Authorization
from response.decisions.bandit import ActionLearner
from response.decisions.hold import HOLD, set_hold
from response.decisions.host_following import follow_hosts
from response.decisions.lifecycle import Lifecycle
from response.decisions.responder import Responder
from response.decisions.reward_ledger import RewardLedger
from response.decisions.rewards import review_of
from response.ipc import messages as m
from response.state.interfaces import EXPORTERS, StateStore, StoredFlow, SuspectDetector
from response.state.model_versions import ModelVersions
from topology.records import Binding, FlowRecord

RECENT = 20_000
"""Records kept in memory so that an alert's evidence can be written down with it."""

MAX_EVIDENCE = 50
"""Records written down with one alert, the newest of those that it names."""

WAITING_FLOWS = 50
"""Written down together: less than a millisecond, in which no record is looked at."""

NO_HOST = "whose host is on that port is not known; the last packet: {}"

COUNTS_EVERY = 10.0  # seconds between audit entries that only count things
EXPORTERS_EVERY = 5.0  # seconds between writings of what exporters of flows have sent


class Analysis:
    """Scores what is seen, decides within the envelope, keeps everything.

    ``adapt=False`` turns every alert into nothing but an alert; ``learner`` chooses
    actions, one that knows nothing yet by default.
    """

    def __init__(
        self,
        policy: Policy,
        detector: SuspectDetector,
        store: StateStore,
        audit: Audit,
        now: float,
        adapt: bool = True,
        learner: ActionLearner | None = None,
        models: ModelVersions | None = None,
    ) -> None:
        self._detector = detector
        self._store = store
        self._audit = audit
        self._adapt = adapt
        self._models = models
        self._host_names_saved = False
        self._set_authorization(policy, store.bindings())
        self._lifecycle = Lifecycle(store, audit, now)
        self._reward_ledger = RewardLedger(store, audit, learner or ActionLearner())
        self._recent: dict[int, FlowRecord] = {}
        self._unsaved_flows: list[StoredFlow] = []
        self._event_counters = EventCounters(now)
        self._spoofing_ports = SpoofingPorts()
        self._known_connections = KnownConnections()
        self._exporters_due = now
        self.snapshots = ModelSnapshots(detector, store, models, now)
        self._ledger_due = now + COUNTS_EVERY
        self._responder = Responder(
            store, audit, self._lifecycle, self._reward_ledger, detector, adapt
        )
        self._update_learning([m.Enforce(decision) for decision in self._lifecycle.active()])

    # -- what the process around calls -----------------------------------------

    def start(self, now: float) -> list[m.Command]:
        """Return what the controller may have missed. Call it once, when it takes commands."""
        ended = self.tick(now)
        sent = {command.decision.id for command in ended}
        commands = [each for each in self._lifecycle.resent(now) if each.decision.id not in sent]
        active = [d.id for d in self._lifecycle.active()]
        self._audit.append(
            now, "started", {"adapt": self._adapt, "active": active, "hold": self.hold}
        )
        return ended + commands

    def step(self, message: m.Message, now: float) -> list[m.Command]:
        """Process one message. Commands are stored before they are returned."""
        match message:
            case m.RecordsSeen(records, lost):
                self._event_counters.lost += lost
                for record in records:
                    self._known_connections.note(record)
                return self._process_records(records, now)
            case m.HostsChanged(bindings):
                self._set_authorization(self._policy, bindings)
                return self._update_addresses(now)
            case m.SpoofsSeen(spoofs):
                self._event_counters.add_spoofs(spoofs)
                for spoof in spoofs:
                    if (alert := self._spoofing_ports.step(spoof)) is not None:
                        self._responder.note(alert, NO_HOST.format(spoof.reason))
            case m.HostPlaced(ts, what, binding):
                self._event_counters.add_host(ts, what, binding)
            case m.RulesConfirmed():
                self._lifecycle.confirm(message)
            case (
                m.SwitchChanged()
                | m.LinkChanged()
                | m.PolicyApplied()
                | m.PolicyConfirmed()
                | m.PolicyEvents()
            ):
                note_event(self._store, self._audit, message, now)
        return []

    def collect(self, collected: m.FlowsCollected, now: float) -> list[m.Command]:
        """Process what exporters of flows reported, apart from what our switches did."""
        if now >= self._exporters_due:
            self._exporters_due = now + EXPORTERS_EVERY
            counts = msgspec.json.encode(msgspec.structs.replace(collected, records=()))
            self._store.set_meta(EXPORTERS, counts.decode())
        return self._process_records(self._known_connections.new_ones(collected), now)

    def tick(self, now: float) -> list[m.Command]:
        """End what has expired and write what has gathered. Call it a few times a second."""
        commands: list[m.Command] = []
        for decision, command in self._lifecycle.expire(now):
            self._reward_ledger.close(
                decision.id, review_of(decision), now, done=command is not None
            )
            if command is not None:
                commands.append(command)
        self._update_learning(commands)
        if commands:  # an address that two hosts had may be under the other one's decision now
            commands += self._update_addresses(now)
        if not self._host_names_saved:
            self._host_names_saved = True
            self._store.save_host_names(self._authorization.names())
        self._write_flows()
        if now >= self._ledger_due:
            self._ledger_due = now + COUNTS_EVERY
            self._reward_ledger.write(now)
        if self._event_counters.due(now, COUNTS_EVERY):
            for kind, data in self._event_counters.take(now):
                self._audit.append(now, kind, data)
        return commands

    def finish(self, now: float) -> None:
        """Store all unsaved state, before the process ends."""
        self._write_flows()
        self._reward_ledger.write(now)
        for kind, data in self._event_counters.take(now):
            self._audit.append(now, kind, data)
        self.snapshots.finish(now)

    @property
    def active_count(self) -> int:
        return len(self._lifecycle.active())

    def use_policy(self, policy: Policy, now: float) -> list[m.Command]:
        """Switch to another policy; a decision it would not permit is released."""
        self._set_authorization(policy, self._bindings)
        commands: list[m.Command] = []
        for decision in self._lifecycle.active():
            reason = self._authorization.forbids(decision)
            if reason is not None:
                done = self._lifecycle.release(
                    decision.id, MACHINE, now, f"policy changed: {reason}"
                )
                self._reward_ledger.close(decision.id, "", now)
                commands.extend(done.commands)
        self._update_learning(commands)
        return commands + self._update_addresses(now)

    # -- what people ask -------------------------------------------------------

    def ask(self, ask: m.Ask, now: float) -> Done:
        """Do what a person asked for; see `response.ipc.messages.Ask`."""
        match ask.what:
            case "approve":
                return self.approve(ask.decision, ask.by, now)
            case "reject":
                return self.reject(ask.decision, ask.by, now)
            case "extend":
                return self._lifecycle.extend(ask.decision, ask.seconds, ask.by, now, ask.note)
            case "release":
                return self.release(ask.decision, ask.by, now, ask.note)
            case "hold" | "resume":
                held = set_hold(self._store, self._audit, ask.what == "hold", ask.by, now)
                return Done(held.ok, held.text)
        if self._models is not None and ask.what.startswith("model-"):
            about = answer_about_model(self._models, ask, now)
            return Done(about.ok, about.text)
        return Done(False, f"{ask.what}: no such request")

    def approve(self, decision_id: str, by: str, now: float) -> Done:
        proposal = self._store.decision(decision_id)
        forbidden = own = None
        whole: tuple[Port, ...] = ()
        if proposal is not None:
            known = self._authorization
            forbidden = known.forbids(proposal) or known.protected_on(proposal.taken)
            own = known.still_of(proposal)
            if proposal.scope == "host":
                whole = known.ports_of(own)
        done = self._lifecycle.approve(decision_id, by, now, forbidden, own, whole)
        self._update_learning(done.commands)
        for command in done.commands:
            if isinstance(command, m.Release):
                self._reward_ledger.close(command.decision.id, "", now)
        return done

    def reject(self, decision_id: str, by: str, now: float) -> Done:
        with self._store.transaction():
            done = self._lifecycle.reject(decision_id, by, now)
            if done.ok:
                self._reward_ledger.close(decision_id, "undone", now)
        return done

    def release(self, decision_id: str, by: str, now: float, note: str = "") -> Done:
        reason = f"released by {by}" + (f": {note}" if note else "")
        with self._store.transaction():
            done = self._lifecycle.release(decision_id, by, now, reason)
            for command in done.commands:
                self._reward_ledger.close(decision_id, review_of(command.decision), now)
        self._update_learning(done.commands)
        return replace(done, commands=(*done.commands, *self._update_addresses(now)))

    @property
    def hold(self) -> str | None:
        """Who put automatic action on hold, or None."""
        return self._store.meta(HOLD)

    # -- one record ------------------------------------------------------------

    def _process_records(self, records: Iterable[FlowRecord], now: float) -> list[m.Command]:
        """What a flood of alerts needs is written in one transaction, and is on disk before
        any command of it leaves."""
        commands: list[m.Command] = []
        with ExitStack() as stack:
            begun = False
            for record in records:
                alert = self._score(record)
                if alert is not None:
                    if not begun:
                        stack.enter_context(self._store.transaction())
                        begun = True
                    commands += self._respond(alert, now)
        if len(self._unsaved_flows) >= WAITING_FLOWS and not commands:
            self._write_flows()
        return commands

    def _score(self, record: FlowRecord) -> Alert | None:
        scored = self._detector.step(record)
        self._recent[scored.row] = record
        self._recent.pop(scored.row - RECENT, None)
        self._unsaved_flows.append(StoredFlow(record, scored.score))
        self._reward_ledger.see(record)
        return scored.alert

    def _respond(self, alert: Alert, now: float) -> list[m.Command]:
        evidence = tuple(
            self._recent[r] for r in alert.records[-MAX_EVIDENCE:] if r in self._recent
        )
        commands = self._responder.respond(alert, evidence, self._authorization, self.hold, now)
        self._update_learning(commands)
        return commands

    def _update_addresses(self, now: float) -> list[m.Command]:
        """Decisions go with the host; nothing is learned from what is on a port that one takes."""
        held = self.hold is not None
        commands = follow_hosts(self._lifecycle, self._authorization, self._store, held, now)
        self._update_learning(commands)
        for decision in self._lifecycle.active():
            for address in self._authorization.identities(decision.taken):
                self._detector.suspend(address)
        return commands

    # -- small things ----------------------------------------------------------

    def _set_authorization(self, policy: Policy, bindings: tuple[Binding, ...]) -> None:
        self._policy, self._bindings = policy, bindings
        self._authorization = Authorization(policy, bindings)
        self._detector.include(own_networks(policy, bindings))
        self._host_names_saved = False

    def _update_learning(self, commands: Iterable[m.Command]) -> None:
        """Exclude hosts under a decision from learning until it ends."""
        for command in commands:
            if isinstance(command, m.Release):
                decision = command.decision
                here = self._authorization.identities(decision.taken)
                for address in (*decision.addresses, *here):
                    self._detector.resume(address)
        for command in commands:
            if isinstance(command, m.Enforce):
                for address in command.decision.addresses:
                    self._detector.suspend(address)

    def _write_flows(self) -> None:
        if self._unsaved_flows:
            waiting, self._unsaved_flows = self._unsaved_flows, []
            self._store.append_flows(waiting)
