"""From a switch's connection to its rules, and on: every reply that moves a session forward."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from policies.rules.rule import Rule
from ryu_apps.effects import Effect, Log, Send
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.enforcement.release import Removal, SwitchReleases
from ryu_apps.enforcement.target_trial import TargetTrial, tried_rules
from ryu_apps.fabric.link_discovery import LinkDiscovery
from ryu_apps.openflow import flow_monitor
from ryu_apps.openflow.foreign_changes import ForeignChanges
from ryu_apps.switch import drift
from ryu_apps.switch.admission import Admission, fragments
from ryu_apps.switch.bundle_writer import (
    BAD_REQUEST,
    IS_SLAVE,
    BundleWriter,
    Confirmed,
    error_code,
)
from ryu_apps.switch.capabilities import CapabilityProbe
from ryu_apps.switch.flow_counters import SwitchCounters
from ryu_apps.switch.refused_rules import refused_part
from ryu_apps.switch.roles import ControllerRole, owner_of
from ryu_apps.switch.session import RETRY_AFTER, Phase, Session
from ryu_apps.switch.table_reader import EndlessListing, TableReading
from ryu_apps.switch.telemetry_loss import TelemetryLoss

NO_ANSWER = "no answer in time"


@dataclass(slots=True)
class SwitchLifecycle:
    """Every method takes one session and returns what to do about it."""

    admission: Admission
    reconciler: Reconciler
    links: LinkDiscovery
    releases: SwitchReleases

    def barrier(self, session: Session, xid: int, now: float) -> list[Effect]:
        """A barrier was answered: the switch has done all that came before it."""
        match session.transactions.route(xid):
            case CapabilityProbe() as probe:
                capabilities = probe.done(xid)
                if capabilities is not None:
                    return self.admission.probed(session, capabilities, now)
            case TargetTrial() as trial if trial.done(xid):
                missing = trial.missing()
                return self.admission.weaken(session, missing, now) if missing else []
            case Removal() as removal:
                return self.releases.answered(session.switch, removal, now)
            case BundleWriter():
                return session.barrier(xid, now) + self._follow_refusal(session, now)
        return []

    def error(self, session: Session, xid: int, buf: bytes, now: float) -> list[Effect]:
        """The switch answered a request with an error."""
        kind, code = error_code(buf)
        match session.transactions.route(xid):
            case CapabilityProbe() as probe if (kind, code) != (BAD_REQUEST, IS_SLAVE):
                probe.refuse(xid)
            case TargetTrial() as trial if refused_part(buf):
                trial.refuse(xid)
            case Removal() as removal:
                removal.refused = True
            case ControllerRole() as role:
                return _sent(session, role.refused(kind, code))
            case TableReading():
                if session.phase is Phase.READING:
                    session.retry_at = now + RETRY_AFTER
                return drift.unread(session, f"it answered with error {kind}/{code}", now)
            case BundleWriter():
                return session.error(xid, buf, now) + self._follow_refusal(session, now)
            case ForeignChanges() as foreign:
                foreign.watched = False
                session.transactions.end(xid)
            case TelemetryLoss() | SwitchCounters():
                session.transactions.end(xid)
        return []

    def role_reply(self, session: Session, xid: int, buf: bytes) -> list[Effect]:
        """A role reply of the switch."""
        match session.transactions.route(xid):
            case ControllerRole() as role:
                return _sent(session, role.answered(buf))
        return []

    def multipart(self, session: Session, xid: int, buf: bytes, now: float) -> list[Effect]:
        """One part of a reply. Raises Malformed for bytes that are none."""
        if flow_monitor.is_update(buf):
            if session.transactions.route(xid) is session.foreign:
                session.transactions.end(xid)
            session.foreign.take(buf)
            return drift.check_when_due(session, now)
        match session.transactions.route(xid):
            case CapabilityProbe() as probe:
                probe.take(xid, buf)
            case TableReading():
                try:
                    reading = session.listed(xid, buf, now)
                except EndlessListing as error:
                    if session.phase is Phase.READING:
                        session.retry_at = now + RETRY_AFTER
                    return drift.unread(session, str(error), now)
                return [] if reading is None else self._read(session, reading, now)
            case TelemetryLoss() as loss:
                loss.take(xid, buf)
            case SwitchCounters() as counters:
                counters.take(buf, now)
        return []

    def experimenter(self, session: Session, buf: bytes, now: float) -> list[Effect]:
        """A vendor's message: reports of foreign changes go on, or another became master."""
        if flow_monitor.resumed(buf):
            session.foreign.resumed()
            return drift.check_when_due(session, now)
        return self.admission.demoted(session, buf, now)

    def tick(self, session: Session, now: float) -> list[Effect]:
        """Settle, retry and check again, whatever is due; call a few times a second."""
        timed_out = session.transactions.expire(now)
        if session.phase is Phase.SETTLING and now >= session.settled_at:
            effects = self.reconciler.reconcile(session, now)
            if session.switch in self.reconciler.desired_state.network.detoured:
                effects += self.reconciler.reroute(now)  # paths may lead through it again
            return effects
        if session.phase is Phase.SETTLING:
            # A switch that came a moment ago drops the first frames, and some more until its cache
            # follows its rules.
            return self.links.announce(session, now)
        if session.phase is Phase.ASKING:
            if not any(each is session.probe for each in timed_out):
                return []
            text = f"switch {session.switch} does not answer what it can do: asking again"
            return [Log(logging.WARNING, text), *session.ask(now)]
        late = session.reading is not None and any(each is session.reading for each in timed_out)
        retry = session.unsure and now >= session.retry_at
        if retry or (late and session.phase is Phase.READING):
            effects = []
            session.retry_at = 0.0
            if session.reading is not None:
                effects += drift.unread(session, NO_ANSWER, now)
            text = f"switch {session.switch}: reading its rules again"
            return [*effects, Log(logging.WARNING, text), *session.read(now)]
        if late and session.phase is Phase.READY and not session.unsure:
            return drift.unread(session, NO_ANSWER, now)
        return drift.check_when_due(session, now)

    def look_around(self, session: Session, now: float) -> list[Effect]:
        """Send discovery frames, read what telemetry lost, and say again how fragments are to be
        treated; call every few seconds."""
        lost = Send(session.switch, session.telemetry_loss.ask())
        return [*self.links.announce(session, now), lost, *fragments(session)]

    def _follow_refusal(self, session: Session, now: float) -> list[Effect]:
        """Consequences of a refused change beyond that change."""
        refusal, session.refusal = session.refusal, None
        if refusal is None:
            return []
        if refusal.slave:
            whose = "a controller that made itself master"
            return self.admission.stand_by(session, whose, now)
        if session.confirmed or not session.profile.bundles or refusal.full:
            return []
        trial = TargetTrial(session.transactions)
        return _sent(session, trial.ask(tried_rules(session.profile.target), now))

    def _read(self, session: Session, reading: TableReading, now: float) -> list[Effect]:
        """A switch has listed all its rules and meters."""
        if session.phase is Phase.READING:
            session.settle(reading, now)
            ours, effects = self.admission.admit(session, reading, now)
            if not ours:
                return effects
            return [
                *effects,
                Send(session.switch, session.role.claim()),
                *self.reconciler.permit_link_discovery(
                    session, now, partial(self.links.announce, session)
                ),
            ]
        if session.phase is not Phase.READY:
            return []
        owner = owner_of(reading.found.values())
        if owner not in (None, self.admission.owner):
            return self.admission.stand_by(session, f"controller {owner:012x}", now)

        def desired() -> tuple[Rule, ...]:
            return self.reconciler.rules(session, now)

        def repair(then: Confirmed) -> list[Effect]:
            return self.reconciler.reconcile(session, now, then)

        return drift.judge(session, reading, desired, repair, now)


def _sent(session: Session, data: bytes) -> list[Effect]:
    return [Send(session.switch, data)] if data else []
