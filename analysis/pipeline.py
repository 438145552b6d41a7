"""From a record to a decision: the pure pipeline of the analysis.

`Analysis` takes messages from the controller and returns commands. It reads no clock and opens no
socket: `analysis.event_loop` does, or the controller itself when it runs inline. While the store
cannot be written, detection goes on; see `analysis.storage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import msgspec

from analysis.collector.known_connections import KnownConnections
from analysis.controller_events import note_event
from analysis.fault_log import raise_fault
from analysis.host_decisions import HostDecisions
from analysis.models.model_requests import answer_about_model
from analysis.models.snapshots import ModelSnapshots
from analysis.storage import MAX_UNSAVED, Storage
from detection.alert import Alert
from detection.alerting.spoofing import SpoofingPorts
from policies.model import Policy
from response.audit.event_counters import EventCounters
from response.audit.log import Audit
from response.decisions.answers import Done
from response.decisions.bandit import ActionLearner
from response.decisions.hold import HOLD, set_hold
from response.ipc import messages as m
from response.state.database_connection import StoreError
from response.state.interfaces import EXPORTERS, StateStore, StoredFlow, SuspectDetector
from response.state.model_versions import ModelVersions
from topology.records import FlowRecord

RECENT = 20_000  # records kept so that an alert's evidence can be written down with it
MAX_EVIDENCE = 50  # records written down with one alert, the newest of those that it names
WAITING_FLOWS = 50  # written down together: less than a millisecond without looking at records

NO_HOST = "whose host is on that port is not known; the last packet: {}"

ONLY_READ = ("model-health", "model-report")
"""Requests that change nothing."""

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
        self.storage = Storage()
        self._held_by: str | None = None
        self._host_names_saved = False
        self._decisions = HostDecisions(
            policy, detector, store, audit, adapt, learner or ActionLearner(), now
        )
        self._recent: dict[int, FlowRecord] = {}
        self._unsaved_flows: list[StoredFlow] = []
        self._event_counters = EventCounters(now)
        self._spoofing_ports = SpoofingPorts()
        self._known_connections = KnownConnections()
        self._exporters_due = now
        self.snapshots = ModelSnapshots(detector, store, models, now)
        self._ledger_due = now + COUNTS_EVERY
        self.note_fault: Callable[[str, Exception], None] = raise_fault

    # -- what the process around calls -----------------------------------------

    def start(self, now: float) -> list[m.Command]:
        """Return what the controller may have missed. Call it once, when it takes commands."""
        ended = self.tick(now)
        sent = {command.decision.id for command in ended}
        commands = [each for each in self._decisions.restated(now) if each.decision.id not in sent]
        active = [d.id for d in self._decisions.lifecycle.active()]
        started = {"adapt": self._adapt, "active": active, "hold": self.hold}
        self._write_down(partial(self._audit.append, now, "started", started), now)
        return ended + commands

    def step(self, message: m.Message, now: float) -> list[m.Command]:
        """Process one message. Commands are stored before they are returned; what cannot be
        stored waits or is counted in `storage`."""
        match message:
            case m.RecordsSeen(records, lost):
                self._event_counters.lost += lost
                for record in records:
                    self._known_connections.note(record)
                return self._process_records(records, now)
            case m.HostsChanged(bindings):
                self._decisions.authorize(self._decisions.policy, bindings)
                self._host_names_saved = False
                return self._stored(lambda: self._decisions.update_addresses(self.hold, now), now)
            case m.SpoofsSeen(spoofs):
                self._event_counters.add_spoofs(spoofs)
                for spoof in spoofs:
                    if (alert := self._spoofing_ports.step(spoof)) is not None:
                        reason = NO_HOST.format(spoof.reason)
                        self._write_down(partial(self._decisions.note, alert, reason), now)
            case m.HostPlaced(ts, what, binding):
                self._event_counters.add_host(ts, what, binding)
            case m.RulesConfirmed():
                self._write_down(lambda: self._decisions.lifecycle.confirm(message), now)
            case (
                m.SwitchChanged()
                | m.LinkChanged()
                | m.PolicyApplied()
                | m.PolicyConfirmed()
                | m.PolicyEvents()
            ):
                self._write_down(partial(note_event, self._store, self._audit, message, now), now)
        return []

    def collect(self, collected: m.FlowsCollected, now: float) -> list[m.Command]:
        """Process what exporters of flows reported, apart from what our switches did."""
        if now >= self._exporters_due:
            self._exporters_due = now + EXPORTERS_EVERY
            counts = msgspec.json.encode(msgspec.structs.replace(collected, records=()))
            self._stored(partial(self._store.set_meta, EXPORTERS, counts.decode()), now)
        return self._process_records(self._known_connections.new_ones(collected), now)

    def tick(self, now: float) -> list[m.Command]:
        """End what has expired and write what has gathered. Call it a few times a second."""
        if self.storage.problem is not None:
            return self._try_again(now) if self.storage.due(now) else []
        commands = self._stored(lambda: self._decisions.end_expired(self.hold, now), now)
        self._stored(partial(self._write_gathered, now), now)
        return commands

    def finish(self, now: float) -> None:
        """Store all unsaved state, before the process ends."""
        if self.storage.problem is not None:
            self._try_again(now)
        try:
            self._write_flows()
            self._decisions.ledger.write(now)
            self._write_counters(now)
            self.snapshots.finish(now)
        except StoreError as problem:
            self.storage.failed(problem, now)
            self.storage.lose("connections", len(self._unsaved_flows))
            self.storage.lose("entries", len(self.storage.waiting()))
            self.storage.lose("models")

    @property
    def active_count(self) -> int:
        return len(self._decisions.lifecycle.active())

    def use_policy(self, policy: Policy, now: float) -> list[m.Command]:
        """Switch to another policy; a decision it would not permit is released."""
        self._decisions.authorize(policy, self._decisions.bindings)
        self._host_names_saved = False
        return self._stored(lambda: self._decisions.end_forbidden(self.hold, now), now)

    # -- what people ask -------------------------------------------------------

    def ask(self, ask: m.Ask, now: float) -> Done:
        """Do what a person asked for; see `response.ipc.messages.Ask`. What cannot be stored is
        not done."""
        again = [] if self.storage.problem is None else self._try_again(now)
        try:
            with ExitStack() as stack:
                if ask.what not in ONLY_READ:
                    stack.enter_context(self._store.transaction())
                done = self._ask(ask, now)
        except StoreError as problem:
            self._fail(problem, now)
            done = Done(False, f"not stored, so nothing is done: {self.storage.problem}")
        return replace(done, commands=(*again, *done.commands))

    def _ask(self, ask: m.Ask, now: float) -> Done:
        match ask.what:
            case "approve":
                return self.approve(ask.decision, ask.by, now)
            case "reject":
                return self.reject(ask.decision, ask.by, now)
            case "extend":
                return self._decisions.lifecycle.extend(
                    ask.decision, ask.seconds, ask.by, now, ask.note
                )
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
        return self._decisions.approve(decision_id, by, now)

    def reject(self, decision_id: str, by: str, now: float) -> Done:
        return self._decisions.reject(decision_id, by, now)

    def release(self, decision_id: str, by: str, now: float, note: str = "") -> Done:
        return self._decisions.release(decision_id, by, now, note, self.hold)

    @property
    def hold(self) -> str | None:
        """Who put automatic action on hold, or None; as last read where it cannot be."""
        try:
            self._held_by = self._store.meta(HOLD)
        except StoreError as problem:
            if self.storage.problem is None:
                self.storage.failed(problem, 0.0)
        return self._held_by

    # -- one record ------------------------------------------------------------

    def _process_records(self, records: Iterable[FlowRecord], now: float) -> list[m.Command]:
        """What a flood of alerts needs is written in one transaction, and is on disk before
        any command of it leaves. Where it cannot be, the alerts are counted."""
        commands: list[m.Command] = []
        alerts, rest = 0, iter(records)
        try:
            with ExitStack() as stack:
                for record in rest:
                    alert = self._score(record)
                    if alert is not None:
                        alerts += 1
                        if self.storage.problem is not None:
                            continue
                        if alerts == 1:
                            stack.enter_context(self._store.transaction())
                        commands += self._respond(alert, now)
        except StoreError as problem:
            self._fail(problem, now)
            commands = []
            alerts += sum(self._score(record) is not None for record in rest)
        if self.storage.problem is not None:
            self.storage.lose("alerts", alerts)
            over = len(self._unsaved_flows) - MAX_UNSAVED
            if over > 0:
                del self._unsaved_flows[:over]
                self.storage.lose("connections", over)
        elif len(self._unsaved_flows) >= WAITING_FLOWS and not commands:
            self._stored(self._write_flows, now)
        return commands

    def _score(self, record: FlowRecord) -> Alert | None:
        """A record that raises costs itself, and none that came with it."""
        try:
            scored = self._detector.step(record)
        except Exception as error:
            self.note_fault("record", error)
            return None
        self._recent[scored.row] = record
        self._recent.pop(scored.row - RECENT, None)
        self._unsaved_flows.append(StoredFlow(record, scored.score))
        self._decisions.ledger.see(record)
        return scored.alert

    def _respond(self, alert: Alert, now: float) -> list[m.Command]:
        evidence = tuple(
            self._recent[r] for r in alert.records[-MAX_EVIDENCE:] if r in self._recent
        )
        return self._decisions.respond(alert, evidence, self.hold, now)

    # -- what gathers ----------------------------------------------------------

    def _write_gathered(self, now: float) -> None:
        if not self._host_names_saved:
            self._store.save_host_names(self._decisions.host_names())
            self._host_names_saved = True
        self._write_flows()
        if now >= self._ledger_due:
            self._ledger_due = now + COUNTS_EVERY
            self._decisions.ledger.write(now)
        if self._event_counters.due(now, COUNTS_EVERY):
            self._write_counters(now)

    def _write_counters(self, now: float) -> None:
        for kind, data in self._event_counters.take(now):
            self._write_down(partial(self._audit.append, now, kind, data), now)

    def _write_flows(self) -> None:
        if self._unsaved_flows:
            self._store.append_flows(self._unsaved_flows)
            self._unsaved_flows = []

    # -- a store that cannot be written ----------------------------------------

    def not_stored(self, what: str, problem: Exception, now: float) -> None:
        """Something of the process around could not be stored."""
        self.storage.lose(what)
        self._fail(problem, now)

    def _stored(self, work: Callable[[], list[m.Command] | None], now: float) -> list[m.Command]:
        """The commands of ``work``; none while they cannot be stored: `_try_again` makes up."""
        if self.storage.problem is not None:
            return []
        try:
            return work() or []
        except StoreError as problem:
            self._fail(problem, now)
            return []

    def _write_down(self, write: Callable[[], object], now: float) -> None:
        if self.storage.problem is None:
            try:
                write()
                return
            except StoreError as problem:
                self._fail(problem, now)
        self.storage.hold_back(write)

    def _fail(self, problem: Exception, now: float) -> None:
        """Nothing was stored, so nothing was changed: what this process knows is as the store."""
        self.storage.failed(problem, now)
        with suppress(StoreError):
            self._decisions.load(now)

    def _try_again(self, now: float) -> list[m.Command]:
        """Store what waited, in one transaction; then say again what holds, and catch up."""
        try:
            with self._store.transaction():
                self._audit.append(now, "storage", self.storage.lost_now(now))
                for write in self.storage.waiting():
                    write()
                self._store.append_flows(self._unsaved_flows)
            self._decisions.load(now)
        except StoreError as problem:
            self._fail(problem, now)
            return []
        self._unsaved_flows = []
        self.storage.recovered()
        return self._stored(lambda: self._decisions.catch_up(self.hold, now), now)
