"""From a switch's connection to its rules, and on: every reply that moves a session forward."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from policies.rules.rule import Rule
from ryu_apps.effects import Effect, Log, Send
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.fabric.link_discovery import LinkDiscovery
from ryu_apps.switch import drift
from ryu_apps.switch.admission import Admission, fragments
from ryu_apps.switch.bundle_writer import Confirmed, error_code
from ryu_apps.switch.roles import owner_of
from ryu_apps.switch.session import RETRY_AFTER, Phase, Session
from ryu_apps.switch.table_reader import TableReading


@dataclass(slots=True)
class SwitchLifecycle:
    """Every method takes one session and returns what to do about it."""

    admission: Admission
    reconciler: Reconciler
    links: LinkDiscovery

    def barrier(self, session: Session, xid: int, now: float) -> list[Effect]:
        """A barrier was answered: the switch has done all that came before it."""
        probe = session.probe
        if probe is not None and (capabilities := probe.done(xid)) is not None:
            return self.admission.probed(session, capabilities, now)
        effects = session.barrier(xid, now)
        return effects + self._follow_refusal(session, now)

    def error(self, session: Session, xid: int, buf: bytes, now: float) -> list[Effect]:
        """The switch answered something with an error."""
        if session.probe is not None and session.probe.refuse(xid):
            return []
        kind, code = error_code(buf)
        if session.role.asked(xid):
            more = session.role.refused(kind, code)
            return [Send(session.switch, more)] if more else []
        if session.reading is None or not session.reading.asked(xid):
            return session.error(xid, buf, now) + self._follow_refusal(session, now)
        if session.phase is Phase.READING:
            session.retry_at = now + RETRY_AFTER
        return drift.unread(session, f"it answered with error {kind}/{code}", now)

    def role_reply(self, session: Session, xid: int, buf: bytes) -> list[Effect]:
        """The switch answered which role we have."""
        more = session.role.answered(buf) if session.role.asked(xid) else b""
        return [Send(session.switch, more)] if more else []

    def multipart(self, session: Session, xid: int, buf: bytes, now: float) -> list[Effect]:
        """One part of an answer. Raises Malformed for bytes that are none."""
        reading = session.multipart(xid, buf, now)
        return [] if reading is None else self._read(session, reading, now)

    def tick(self, session: Session, now: float) -> list[Effect]:
        """Settle, retry and check again, whatever is due; call a few times a second."""
        if session.phase is Phase.SETTLING and now >= session.settled_at:
            effects = self.reconciler.reconcile(session, now)
            if session.switch in self.reconciler.desired_state.network.detoured:
                effects += self.reconciler.reroute(now)  # paths may lead through it again
            return effects
        if session.phase is Phase.ASKING:
            if session.probe is None or not session.probe.late(now):
                return []
            text = f"switch {session.switch} does not answer what it can do: asking again"
            return [Log(logging.WARNING, text), *session.ask(now)]
        if session.read_failed(now):
            effects = []
            session.retry_at = 0.0
            if session.reading is not None:
                effects += drift.unread(session, "no answer in time", now)
            text = f"switch {session.switch}: reading its rules again"
            return [*effects, Log(logging.WARNING, text), *session.read(now)]
        return drift.check_when_due(session, now)

    def look_around(self, session: Session) -> list[Effect]:
        """Send discovery frames, read what telemetry lost, and say again how fragments are to be
        treated; call every few seconds."""
        lost = Send(session.switch, session.telemetry_loss.ask())
        return [*self.links.announce(session), lost, *fragments(session)]

    def _follow_refusal(self, session: Session, now: float) -> list[Effect]:
        """What a refused change means for the switch beyond that change."""
        refusal, session.refusal = session.refusal, None
        if refusal is None:
            return []
        if refusal.slave:
            whose = "a controller that made itself master"
            return self.admission.stand_by(session, whose, now)
        return self.admission.weaken(session, refusal, now)

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
                *self.reconciler.permit_link_discovery(session, now),
                *self.links.announce(session),
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
