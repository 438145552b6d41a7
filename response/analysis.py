"""The street from a record to a decision, as one pure composition.

`Analysis` takes messages from the controller and gives commands back. It reads
no clock and opens no socket: the process around it (`console.analysis_process`,
or the controller itself when it runs inline) does.
"""

from __future__ import annotations

from detection.alerts import Alert
from policies.model import Policy
from response import messages as m
from response.audit import Audit
from response.decisions import Decision, DecisionAction
from response.envelope import Judgement
from response.explain import why, would_release_if
from response.hosts import KnownHost, own_networks
from response.interfaces import Detector, StateStore, StoredAlert, StoredFlow
from response.lifecycle import MACHINE, Done, Lifecycle
from response.permits import Circumstances, MembersOf, Permits
from response.tally import Tally
from response.values import plain, sparse
from topology.records import FlowRecord

RECENT = 20_000
"""Records kept in memory so that an alert's evidence can be written down with it."""

MAX_EVIDENCE = 50
"""Records written down with one alert, the newest of those that it names."""

MAX_PROPOSALS = 1_000
"""Open proposals; a flood of alerts beyond it is recorded as alerts."""

MAX_WAITING_FLOWS = 1_000
"""Written down together: about ten milliseconds, in which no alert is looked at."""

SNAPSHOT_EVERY = 300.0  # seconds
COUNTS_EVERY = 10.0  # seconds between audit entries that only count things


class Analysis:
    """Scores what is seen, decides within the envelope, keeps everything.

    ``members_of`` answers who is in which segment (`policies.membership`);
    ``adapt=False`` turns every alert into nothing but an alert.
    """

    def __init__(
        self,
        policy: Policy,
        members_of: MembersOf,
        detector: Detector,
        store: StateStore,
        audit: Audit,
        now: float,
        adapt: bool = True,
    ) -> None:
        self._policy = policy
        self._members_of = members_of
        self._detector = detector
        self._store = store
        self._audit = audit
        self._adapt = adapt
        self._bindings = store.bindings()
        self._permits = Permits(policy, self._bindings, members_of)
        detector.include(own_networks(policy, self._bindings))
        self._prepared = False
        self._life = Lifecycle(store, audit, now)
        self._recent: dict[int, FlowRecord] = {}
        self._waiting: list[StoredFlow] = []
        self._counts = Tally(now)
        self._snapshot_due = now + SNAPSHOT_EVERY
        for decision in self._life.active():
            self._suspend(decision)

    # -- what the process around calls -----------------------------------------

    def start(self, now: float) -> list[m.Command]:
        """Once, when the controller can take commands: what it may have missed."""
        ended = self.tick(now)
        commands = self._life.resent(now)
        self._audit.append(
            now,
            "started",
            {"adapt": self._adapt, "active": [d.id for d in self._life.active()]},
        )
        return ended + commands

    def step(self, message: m.Message, now: float) -> list[m.Command]:
        """Take one message in. What must be done is stored before it is returned."""
        match message:
            case m.RecordsSeen(records, lost):
                self._counts.lost += lost
                return [command for record in records for command in self._see(record, now)]
            case m.HostsChanged(bindings):
                self._bindings = bindings
                self._permits = Permits(self._policy, bindings, self._members_of)
                self._detector.include(own_networks(self._policy, bindings))
                self._prepared = False
                return self._cover_new_addresses(now)
            case m.SpoofsSeen(spoofs):
                self._counts.add_spoofs(spoofs)
            case m.RulesConfirmed():
                self._life.confirm(message)
            case m.SwitchChanged(ts, switch, what, detail):
                self._audit.append(ts, "switch", {"switch": switch, "what": what, "detail": detail})
            case m.PolicyApplied(ts, files, digest, problem):
                data = {"files": list(files), "digest": digest, "problem": problem}
                self._audit.append(ts, "policy", data)
        return []

    def tick(self, now: float) -> list[m.Command]:
        """A few times a second: end what has run out, write what has gathered."""
        commands: list[m.Command] = []
        for decision, command in self._life.expire(now):
            if command is not None:
                self._resume(decision)
                commands.append(command)
        if not self._prepared:
            self._prepared = True
            self._store.save_host_names(self._permits.names())
        self._write_flows()
        if self._counts.due(now, COUNTS_EVERY):
            for kind, data in self._counts.take(now):
                self._audit.append(now, kind, data)
        return commands

    def finish(self, now: float) -> None:
        """Write down what only memory holds, before the process ends."""
        self._write_flows()
        for kind, data in self._counts.take(now):
            self._audit.append(now, kind, data)
        self.keep_snapshot(self.snapshot(), now)

    @property
    def active_count(self) -> int:
        return len(self._life.active())

    def snapshot_due(self, now: float) -> bool:
        """True once each `SNAPSHOT_EVERY` seconds: then take `snapshot` and `keep_snapshot` it."""
        due = now >= self._snapshot_due
        if due:
            self._snapshot_due = now + SNAPSHOT_EVERY
        return due

    def snapshot(self) -> bytes:
        """What was learned. With many hosts this takes seconds; see `console.background`."""
        return self._detector.snapshot()

    def keep_snapshot(self, data: bytes, now: float) -> None:
        """Keep what was learned, so that a restart goes on from here."""
        self._store.save_snapshot(now, "detector", data)

    def use_policy(self, policy: Policy, now: float) -> list[m.Command]:
        """Go on under another policy; a decision it would not permit is released."""
        self._policy = policy
        self._permits = Permits(policy, self._bindings, self._members_of)
        self._detector.include(own_networks(policy, self._bindings))
        self._prepared = False
        commands: list[m.Command] = []
        for decision in self._life.active():
            reason = self._permits.forbids(decision)
            if reason is not None:
                done = self._life.release(decision.id, MACHINE, now, f"policy changed: {reason}")
                self._resume(decision)
                commands.extend(done.commands)
        return commands

    # -- what people ask -------------------------------------------------------

    def ask(self, ask: m.Ask, now: float) -> Done:
        """Do what a person asked for; see `response.messages.Ask`."""
        match ask.what:
            case "approve":
                return self.approve(ask.decision, ask.by, now)
            case "reject":
                return self._life.reject(ask.decision, ask.by, now)
            case "release":
                return self.release(ask.decision, ask.by, now, ask.note)
            case "hold" | "resume":
                return self.set_hold(ask.what == "hold", ask.by, now)
        return Done(False, f"{ask.what}: no such request")

    def approve(self, decision_id: str, by: str, now: float) -> Done:
        proposal = self._store.decision(decision_id)
        forbidden = None if proposal is None else self._permits.forbids(proposal)
        done = self._life.approve(decision_id, by, now, forbidden)
        for command in done.commands:
            self._suspend(command.decision)
        return done

    def reject(self, decision_id: str, by: str, now: float) -> Done:
        return self._life.reject(decision_id, by, now)

    def release(self, decision_id: str, by: str, now: float, note: str = "") -> Done:
        reason = f"released by {by}" + (f": {note}" if note else "")
        done = self._life.release(decision_id, by, now, reason)
        for command in done.commands:
            self._resume(command.decision)
        return done

    def set_hold(self, on: bool, by: str, now: float) -> Done:
        """Stop all automatic action (it is proposed instead), or let it go on."""
        if on == (self.hold is not None):
            return Done(True, "automatic action is " + ("on hold already" if on else "not on hold"))
        with self._store.transaction():
            self._store.set_meta("hold", by if on else None)
            self._audit.append(now, "hold", {"on": on, "by": by})
        return Done(True, f"automatic action {'is on hold' if on else 'goes on'}")

    @property
    def hold(self) -> str | None:
        """Who put automatic action on hold, or None."""
        return self._store.meta("hold")

    # -- one record ------------------------------------------------------------

    def _see(self, record: FlowRecord, now: float) -> list[m.Command]:
        scored = self._detector.step(record)
        self._recent[scored.row] = record
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        self._waiting.append(StoredFlow(record, scored.score))
        if len(self._waiting) > MAX_WAITING_FLOWS:
            self._write_flows()
        return [] if scored.alert is None else self._on_alert(scored.alert, now)

    def _on_alert(self, alert: Alert, now: float) -> list[m.Command]:
        evidence = tuple(
            self._recent[r] for r in alert.records[-MAX_EVIDENCE:] if r in self._recent
        )
        host = self._permits.host_of(alert.host)
        held = None if host is None else self._life.open_on(host.addresses)
        if held is not None:
            reason = f"{held.id} ({held.state}) covers {held.target} already"
            self._only_alert(StoredAlert(alert, "alert", reason, held.id, evidence))
            return []
        judgement, action = self._judge(alert, host, now)
        if judgement.outcome == "alert" or host is None or action is None:
            self._only_alert(StoredAlert(alert, "alert", judgement.reason, None, evidence))
            return []
        with self._store.transaction():
            number = self._store.next_decision_number()
            decision = Decision(
                id=f"d{number}",
                number=number,
                ts=now,
                action=action,
                target=host.name,
                addresses=host.addresses,
                scope="host",
                state=judgement.outcome,
                ttl=judgement.ttl,
                alert=alert.id,
                why=why(alert),
                would_release_if=would_release_if(alert, f"d{number}", judgement.ttl),
                by=MACHINE,
            )
            stored = StoredAlert(alert, judgement.outcome, judgement.reason, decision.id, evidence)
            self._keep_alert(stored, with_evidence=True)
            commands = self._life.begin(decision, judgement.reason)
        if commands:
            self._suspend(decision)
        return commands

    def _judge(
        self, alert: Alert, host: KnownHost | None, now: float
    ) -> tuple[Judgement, DecisionAction | None]:
        """How far the response to ``alert`` may go, and with which action."""
        if not self._adapt:
            return Judgement("alert", "automatic action is turned off"), None
        addresses = () if host is None else host.addresses
        undone_by = self._life.undone_by(addresses, now)
        around = Circumstances(self._life.active(), self.hold, undone_by)
        judgement, action = self._permits.judge(alert, host, around)
        if judgement.outcome == "proposed" and len(self._life.proposed()) >= MAX_PROPOSALS:
            return Judgement("alert", f"{MAX_PROPOSALS} proposals are waiting already"), None
        return judgement, action

    def _only_alert(self, stored: StoredAlert) -> None:
        with self._store.transaction():
            self._keep_alert(stored, with_evidence=False)

    def _keep_alert(self, stored: StoredAlert, with_evidence: bool) -> None:
        self._store.save_alert(stored)
        data = {
            "alert": plain(stored.alert),
            "decision": stored.decision,
            "outcome": stored.outcome,
            "reason": stored.reason,
        }
        if with_evidence:
            data["evidence"] = [sparse(record) for record in stored.evidence]
        self._audit.append(stored.alert.ts, "alert", data)

    def _cover_new_addresses(self, now: float) -> list[m.Command]:
        """A blocked host that takes another address stays blocked."""
        commands: list[m.Command] = []
        for decision in self._life.active():
            for host in self._permits.holders(decision.addresses):
                if host.name == decision.target or not host.declared:
                    addresses = self._permits.unprotected(host.addresses)
                    commands += self._life.extend(decision.id, addresses, now)
        for command in commands:
            self._suspend(command.decision)
        return commands

    # -- small things ----------------------------------------------------------

    def _suspend(self, decision: Decision) -> None:
        for address in decision.addresses:
            self._detector.suspend(address)

    def _resume(self, decision: Decision) -> None:
        for address in decision.addresses:
            self._detector.resume(address)

    def _write_flows(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._store.append_flows(waiting)
