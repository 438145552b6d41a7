"""Reconciliation of every ready switch with the compiled policy: what changed, or what differs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from policies.compiler import CompileError, RuleChange, SwitchView, Update, meters, view_change
from policies.compiler.stateful.base import link_discovery_rules
from policies.compiler.targets import Overflow, SwitchTarget, overflows, stateless_meters
from policies.rules.rule import Field, Meter, Rule
from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.enforcement.confirmations import EndedDecisions, placed
from ryu_apps.enforcement.desired_state import DesiredState
from ryu_apps.openflow import ethernet
from ryu_apps.switch.admission import cannot_be_made, too_small
from ryu_apps.switch.bundle_writer import Confirmed
from ryu_apps.switch.roles import owner_rule
from ryu_apps.switch.session import CHECK_EVERY, Phase, Session

# Seconds from a switch's confirmation until its cached decisions follow too: Open vSwitch answers
# a barrier first and revalidates its datapath flows after it.
CACHES_FOLLOW = 0.1
LLDP = Field("eth_type", ethernet.ETH_LLDP)


@dataclass(slots=True)
class Reconciler:
    """``owner`` is our own number, which a rule on every switch carries; ``sessions`` are all
    connected switches."""

    desired_state: DesiredState
    owner: int
    sessions: Mapping[int, Session]
    ended: EndedDecisions = field(default_factory=EndedDecisions)
    _afterwards: deque[tuple[float, tuple[Effect, ...]]] = field(default_factory=deque)

    def view(self, session: Session) -> SwitchView:
        return self.desired_state.network.view(session.switch, session.ports)

    def rules(self, session: Session, now: float) -> tuple[Rule, ...]:
        """Everything that a switch should have. Raises CompileError where that cannot be made."""
        rules = self.desired_state.rules(self.view(session), now, session.profile.form)
        return (*rules, owner_rule(self.owner))

    def _overflows(self, session: Session, rules: Sequence[Rule]) -> tuple[Overflow, ...]:
        """Tables of a switch that are too small for the rules."""
        room = session.profile.room
        if room is None or len(rules) <= room:
            return ()
        return overflows(
            session.profile.target, self.desired_state.policy, rules, session.profile.sizes
        )

    def check_room(self, now: float) -> None:
        """Raises CompileError where a connected switch cannot hold its rules."""
        for session in self.ready():
            if session.profile.room is None and session.profile.target is SwitchTarget.STATEFUL:
                continue
            if found := self._overflows(session, self.rules(session, now)):
                raise CompileError(f"switch {session.switch}: {'; '.join(map(str, found))}")

    def views(self) -> dict[int, SwitchView]:
        """Of the switches that are ours to use."""
        ours = (each for each in self.sessions.values() if each.phase is not Phase.STANDBY)
        return {each.switch: self.view(each) for each in ours}

    def ready(self) -> list[Session]:
        return [each for each in self.sessions.values() if each.phase is Phase.READY]

    def reconcile_all(self, now: float, afterwards: tuple[Effect, ...] = ()) -> list[Effect]:
        """Bring every ready switch to the desired rules; when all act on them, ``afterwards``."""
        self.desired_state.hosts_changed()
        before = self.desired_state.problem
        effects = self.bring_all(
            self.desired_state.update(now), now, self._once_followed(afterwards)
        )
        if self.desired_state.problem and self.desired_state.problem != before:
            text = f"new hosts are left out: {self.desired_state.problem}"
            effects.insert(0, Log(logging.ERROR, text))
        return effects

    def reroute(self, now: float) -> list[Effect]:
        """Ports, links or switches have changed: send what differs in the paths."""
        self.desired_state.network.update_detours()
        return self.bring_all(Update(RuleChange(), {}), now)

    def _once_followed(self, afterwards: tuple[Effect, ...]) -> Confirmed:
        """Keeps them from the last confirmation on until caches follow too."""

        def confirmed(at: float) -> list[Effect]:
            if afterwards:
                self._afterwards.append((at + CACHES_FOLLOW, afterwards))
            return []

        return confirmed

    def bring_all(
        self, update: Update | None, now: float, then: Confirmed = lambda at: []
    ) -> list[Effect]:
        """Send every ready switch what changed; ``then`` gives the effects for when the last one
        has confirmed it."""
        ready = self.ready()
        waiting = {session.switch for session in ready}

        def confirmed_by(switch: int) -> Confirmed:
            def confirmed(at: float) -> list[Effect]:
                waiting.discard(switch)
                return [] if waiting else then(at)

            return confirmed

        return [
            effect
            for session in ready
            for effect in self._bring(session, update, now, confirmed_by(session.switch))
        ]

    def settled(self, now: float) -> list[Effect]:
        """Effects that waited for changes which every switch acts on by now. Call often."""
        effects: list[Effect] = []
        while self._afterwards and self._afterwards[0][0] <= now:
            effects += self._afterwards.popleft()[1]
        return effects

    def _bring(
        self, session: Session, update: Update | None, now: float, then: Confirmed
    ) -> list[Effect]:
        """Send one ready switch what changed, or compare all it has where that is not known."""
        before, view = session.view, self.view(session)
        change = None if update is None else update.on(session.switch)
        if change is None or before is None or not self.may_change(session, change):
            return self.reconcile(session, now, then)
        if view != before:
            change += view_change(before, view)
        session.view = view
        wanted = self.meters(session, now)
        effects = [*session.set_meters(wanted), *session.change(change, now, then)]
        return effects + session.drop_meters(wanted)

    def may_change(self, session: Session, change: RuleChange) -> bool:
        """Whether a change can go out as it is: rules of other kinds are made as a whole, and so
        are those of a switch that has a problem or might be full."""
        room = session.profile.room
        fits = room is None or len(session.installed) + len(change.added) <= room
        return session.profile.target is SwitchTarget.STATEFUL and fits and not session.problem

    def reconcile(
        self, session: Session, now: float, then: Confirmed | None = None
    ) -> list[Effect]:
        """Bring one switch to the desired rules; what it lacks goes out as one change."""
        view = self.view(session)
        first = session.phase is not Phase.READY
        session.phase, session.view = Phase.READY, view
        if first:
            session.check_at = now + CHECK_EVERY
            self.desired_state.network.switch_connected(session.switch)
        try:
            rules = self.rules(session, now)
        except CompileError as error:
            return cannot_be_made(session, error, now)
        if found := self._overflows(session, rules):
            return too_small(session, found, now)
        session.problem = ""
        difference = session.difference(rules)

        def confirmed(at: float) -> list[Effect]:
            session.accepted()
            if not first:
                return [] if then is None else then(at)
            text = session.last_difference
            decisions = self.desired_state.decision_state.decisions
            held = (rule for rule in rules if not session.left_out.lacks(rule))
            return [
                Log(logging.INFO, f"switch {session.switch} has its rules: {text}"),
                Report(SwitchChanged(at, session.switch, "reconciled", text)),
                *placed(session.switch, held, decisions, at),
                *self.ended.gone(
                    session.switch,
                    difference.excess,
                    decisions,
                    at,
                ),
            ]

        wanted = self.meters(session, now)
        effects = session.set_meters(wanted)
        effects += session.reconcile(difference, now, confirmed)
        return effects + session.drop_meters(wanted)

    def meters(self, session: Session, now: float) -> tuple[Meter, ...]:
        if session.profile.target is SwitchTarget.STATEFUL:
            ports = meters(self.view(session), session.profile.connection_rate)
            return (*ports, *self.desired_state.limits(now))
        return stateless_meters()

    def permit_link_discovery(
        self, session: Session, now: float, confirmed: Confirmed
    ) -> list[Effect]:
        """Write the rules that let discovery frames through, before the first comparison."""
        needed: tuple[Rule, ...] = ()
        if session.profile.target is SwitchTarget.STATEFUL:
            needed = tuple(link_discovery_rules(self.view(session).ports))
        else:
            with suppress(CompileError):  # which the first comparison reports
                rules = self.rules(session, now)
                needed = tuple(rule for rule in rules if LLDP in rule.match)
        meters = session.set_meters(self.meters(session, now))
        return [*meters, *session.ensure(needed, "link discovery", now, confirmed)]
