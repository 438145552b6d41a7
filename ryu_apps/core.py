"""The controller's core: what happened on the switches in, effects out. It knows no library.

It keeps every switch equal to the compiled policy, tells the analysis what was
seen, and carries out the analysis's decisions. Every method takes ``now`` and
returns the effects in the order in which they must be carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from policies.compiler.targets import SwitchTarget
from policies.model import FeedBlock, Policy
from policies.rules import layout
from policies.rules.layout import Category, category_of, number_of
from policies.rules.rule import Field, Rule
from policies.semantics.retained_intents import Keeping
from response.decisions.decision import Decision
from response.ipc.messages import (
    HostsChanged,
    Message,
    PolicyApplied,
    PolicyConfirmed,
    SwitchChanged,
)
from ryu_apps.effects import Effect, Log, Remember, Send, Tell
from ryu_apps.enforcement.decisions import DecisionSender
from ryu_apps.enforcement.desired_state import DesiredState, digest_of
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.fabric.link_discovery import Cabling
from ryu_apps.openflow import decode, ethernet
from ryu_apps.openflow.messages import EXPERIMENTER
from ryu_apps.switch import drift
from ryu_apps.switch.admission import Admission, fragments
from ryu_apps.switch.bundle_writer import Confirmed, error_code
from ryu_apps.switch.roles import ROLE_REPLY, owner_of
from ryu_apps.switch.session import RETRY_AFTER, Phase, Session
from ryu_apps.switch.table_reader import TableReading
from ryu_apps.telemetry.packet_in import PacketInHandler
from topology.records import Binding, Link

ERROR, PACKET_IN, FLOW_REMOVED, MULTIPART, BARRIER = 1, 10, 11, 19, 21
LLDP = Field("eth_type", ethernet.ETH_LLDP)
EXPIRY_CHECK = 60.0  # seconds: how often intents' ends are looked at


@dataclass(slots=True)
class Core:
    """``secret`` signs link discovery frames."""

    desired: DesiredState
    watcher: PacketInHandler
    admission: Admission = field(default_factory=Admission)
    sessions: dict[int, Session] = field(default_factory=dict)
    upkeep: Reconciler = field(init=False)
    orders: DecisionSender = field(init=False)
    cabling: Cabling = field(init=False)
    _next_expiry_check: float = 0.0
    _kept_on_disk: Keeping = field(default_factory=Keeping)

    @classmethod
    def of(
        cls,
        policy: Policy,
        secret: bytes,
        files: tuple[str, ...] = (),
        admission: Admission | None = None,
    ) -> Core:
        desired = DesiredState(policy, files, digest_of(policy))
        return cls(desired, PacketInHandler(desired, secret), admission or Admission())

    def __post_init__(self) -> None:
        links, owner = self.watcher.links, self.admission.owner
        self.upkeep = Reconciler(self.desired, links, owner, self.sessions)
        self.orders = DecisionSender(self.upkeep)
        self.cabling = Cabling(self.desired, self.watcher, self.upkeep)
        self.watcher.can_ask = self._can_ask

    def _can_ask(self, switch: int) -> bool:
        """Whether a switch is there to pass questions on and answers back."""
        session = self.sessions.get(switch)
        if session is None or session.phase is not Phase.READY:
            return False
        return session.kind.target is SwitchTarget.STATEFUL

    # -- starting and policies ------------------------------------------------

    def start(
        self,
        bindings: Iterable[Binding],
        links: Iterable[Link],
        decisions: Iterable[Decision],
        feeds: Iterable[FeedBlock] = (),
        keeping: Keeping | None = None,
    ) -> None:
        """Take back what an earlier run knew."""
        self.desired.restore(bindings, links, decisions, feeds, keeping)

    def greeting(self, now: float) -> list[Message]:
        """What an analysis that just started must hear before anything else."""
        desired = self.desired
        return [
            PolicyApplied(now, desired.files, desired.digest, version=desired.version),
            HostsChanged(desired.hosts.bindings()),
        ]

    def apply_policy(
        self, policy: Policy, files: tuple[str, ...], now: float, version: int = 0
    ) -> list[Effect]:
        """Put another policy in force, as a difference, on every ready switch.

        ``version`` is its number among those kept. Raises CompileError, and changes nothing,
        when it does not fit.
        """
        update = self.desired.exchange(policy, files, now, lambda: self.upkeep.check_room(now))
        self.desired.version = version
        told: list[Effect] = [Tell(message) for message in self.greeting(now)]
        switches = tuple(sorted(session.switch for session in self.upkeep.ready()))
        realised = Tell(PolicyConfirmed(version, switches))
        return [*self._keeping(), *told, *self.upkeep.bring_all(update, now, lambda at: [realised])]

    def _keeping(self) -> list[Effect]:
        """Have written down what a restart must know of kept intents, where that has changed."""
        keeping = self.desired.keeping
        if keeping == self._kept_on_disk:
            return []
        self._kept_on_disk = keeping
        return [Remember(keeping=keeping)]

    # -- switches -------------------------------------------------------------

    def switch_up(
        self, switch: int, ports: Mapping[int, bytes], now: float, tables: int = 254
    ) -> list[Effect]:
        """A switch finished its handshake; ``ports`` maps port numbers to their MACs."""
        zone = layout.zone_of(switch)
        clash = [each for each in self.sessions if each != switch and layout.zone_of(each) == zone]
        session = Session(switch, dict(ports), tables)
        self.sessions[switch] = session
        effects: list[Effect] = [
            Log(logging.INFO, f"switch {switch} connected with {len(ports)} ports"),
            Tell(SwitchChanged(now, switch, "connected", f"{len(ports)} ports")),
        ]
        if clash:
            text = (
                f"switches {switch} and {clash[0]} fold to one connection-tracking zone: "
                "on one Open vSwitch give one of them another datapath id"
            )
            effects.append(Log(logging.WARNING, text))
        return effects + self.admission.welcome(session, now)

    def switch_down(self, switch: int, now: float) -> list[Effect]:
        if self.sessions.pop(switch, None) is None:
            return []
        self.watcher.links.lost(switch)
        return [
            *self.upkeep.reroute(now),
            Log(logging.WARNING, f"switch {switch} disconnected; its rules stay in force"),
            Tell(SwitchChanged(now, switch, "disconnected", "its rules stay in force")),
        ]

    def port_changed(
        self, switch: int, port: int, mac: bytes | None, up: bool, now: float
    ) -> list[Effect]:
        """A port appeared, changed or (``mac`` None) went away."""
        session = self.sessions.get(switch)
        return [] if session is None else self.cabling.port_changed(session, port, mac, up, now)

    # -- messages -------------------------------------------------------------

    def message(self, switch: int, kind: int, xid: int, buf: bytes, now: float) -> list[Effect]:
        """One OpenFlow message, whole; a malformed one is counted and dropped."""
        session = self.sessions.get(switch)
        if session is None:
            return []
        try:
            return self._message(session, kind, xid, buf, now)
        except decode.Malformed as error:
            lost = self.watcher.lost
            lost.malformed += 1
            if lost.malformed & lost.malformed - 1:
                return []  # told at the first, second, fourth, … so that a log does not fill up
            text = f"switch {switch} sent malformed messages, {lost.malformed} by now: {error}"
            return [Log(logging.WARNING, text)]

    def _message(
        self, session: Session, kind: int, xid: int, buf: bytes, now: float
    ) -> list[Effect]:
        if kind == PACKET_IN:
            return self._packet(session, decode.packet_in(buf), now)
        if kind == FLOW_REMOVED:
            removed = decode.flow_removed(buf)
            if category_of(removed.cookie) == Category.COUNT:
                self.watcher.ended(session.switch, removed, now)
                return []
            session.flow_removed(removed)
            if category_of(removed.cookie) == Category.KEPT:
                return self._let_go(removed.cookie, now)
            return []
        if kind == BARRIER:
            return self._barrier(session, xid, now)
        if kind == ROLE_REPLY and session.role.asked(xid):
            more = session.role.answered(buf)
            return [Send(session.switch, more)] if more else []
        if kind == EXPERIMENTER:
            return self.admission.demoted(session, buf, now)
        if kind == ERROR:
            return self._error(session, xid, buf, now)
        if kind == MULTIPART:
            held_back = session.losses.total
            reading = session.multipart(xid, buf, now)
            if session.losses.total > held_back:
                self.watcher.book.segments.doubt(now)
            return [] if reading is None else self._read(session, reading, now)
        return []

    def _barrier(self, session: Session, xid: int, now: float) -> list[Effect]:
        if session.probe is not None and (features := session.probe.done(xid)) is not None:
            return self.admission.understood(session, features, now)
        effects = session.barrier(xid, now)
        return effects + self._look_at_refusal(session, now)

    def _error(self, session: Session, xid: int, buf: bytes, now: float) -> list[Effect]:
        if session.probe is not None and session.probe.refuse(xid):
            return []
        kind, code = error_code(buf)
        if session.role.asked(xid):
            more = session.role.refused(kind, code)
            return [Send(session.switch, more)] if more else []
        if session.reading is None or not session.reading.asked(xid):
            return session.error(xid, buf, now) + self._look_at_refusal(session, now)
        if session.phase is Phase.READING:
            session.retry_at = now + RETRY_AFTER
        return drift.unread(session, f"it answered with error {kind}/{code}", now)

    def _look_at_refusal(self, session: Session, now: float) -> list[Effect]:
        """What a refused change says of the switch beyond that change."""
        refusal, session.refusal = session.refusal, None
        if refusal is None:
            return []
        if refusal.slave:
            whose = "a controller that made itself master"
            return self.admission.stand_by(session, whose, now)
        return self.admission.weaken(session, refusal, now)

    def _read(self, session: Session, reading: TableReading, now: float) -> list[Effect]:
        """A switch has said what it holds."""
        if session.phase is Phase.READING:
            session.settle(reading, now)
            ours, another = self.admission.admit(session, reading, now)
            if not ours:
                return another
            claim = Send(session.switch, session.role.claim())
            return [*another, claim, *self.cabling.discover(session, now)]
        if session.phase is not Phase.READY:
            return []
        owner = owner_of(reading.found.values())
        if owner not in (None, self.admission.owner):
            return self.admission.stand_by(session, f"controller {owner:012x}", now)

        def desired() -> tuple[Rule, ...]:
            return self.upkeep.rules(session, now)

        def repair(then: Confirmed) -> list[Effect]:
            return self.upkeep.reconcile(session, now, then)

        return drift.judge(session, reading, desired, repair, now)

    def check(self, now: float) -> list[Effect]:
        """Compare every ready switch with the policy itself, now; `Session.checked` will say."""
        ready = self.upkeep.ready()
        return [effect for session in ready for effect in session.check(now, thorough=True)]

    def read_traffic(self) -> list[Effect]:
        """Ask every ready switch for its counters; `Session.traffic` will say."""
        return [Send(each.switch, each.traffic.ask()) for each in self.upkeep.ready()]

    def _packet(self, session: Session, copy: decode.PacketIn, now: float) -> list[Effect]:
        if copy.fields.get("in_port") not in session.ports:
            self.watcher.lost.unreadable_frames += 1
            return []
        target = session.kind.target
        seen = self.watcher.packet(session.switch, copy, self.upkeep.views, now, target)
        changed: list[Effect] = []
        if seen.rules_changed:
            changed = self.upkeep.reconcile_all(now, seen.afterwards)
        elif seen.rerouted:
            changed = self.upkeep.reroute(now)
        return [*seen.effects, *changed]

    def gathered(self) -> list[Effect]:
        """Connections seen since the last call; call when no more messages are at hand."""
        return self.watcher.gathered()

    # -- time -----------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Call a few times a second: settles, retries, and ends what is overdue."""
        effects = self.upkeep.settled(now)
        for session in list(self.sessions.values()):
            if session.phase is Phase.SETTLING and now >= session.settled_at:
                effects += self.upkeep.reconcile(session, now)
                if session.switch in self.desired.avoid:
                    effects += self.upkeep.reroute(now)  # paths may lead through it again
            elif session.phase is Phase.ASKING:
                if session.probe is not None and session.probe.late(now):
                    text = f"switch {session.switch} does not say what it can do: asked again"
                    effects += [Log(logging.WARNING, text), *session.ask(now)]
            elif session.read_failed(now):
                session.retry_at = 0.0
                if session.reading is not None:
                    effects += drift.unread(session, "no answer in time", now)
                text = f"switch {session.switch}: reading its rules again"
                effects += [Log(logging.WARNING, text), *session.read(now)]
            else:
                effects += drift.look(session, now)
        effects += self.cabling.silent(now)
        effects += self.watcher.overdue(now)
        moves = self.watcher.settle_moves(now)
        effects += moves.effects
        if moves.rules_changed:
            effects += self.upkeep.reconcile_all(now)
        decisions = self.desired.decisions
        over = [each for each in decisions.values() if each.expires <= now]
        for decision in over:
            effects += self.orders.end(decision, now)
        effects += self.orders.send_listed(now)
        if now >= self._next_expiry_check:
            effects += self._expire_intents(now)
        return effects + self._keeping()

    def _let_go(self, cause: int, now: float) -> list[Effect]:
        """A kept intent's rule ended for want of traffic; the last one takes the intent along."""
        for session in self.sessions.values():
            if any(rule.cookie == cause for rule in session.installed.values()):
                return []
        self.desired.let_go(number_of(cause))
        return self.upkeep.reconcile_all(now)

    def look_around(self) -> list[Effect]:
        """Ask again which links there are and what was lost, and say again how fragments are to be
        treated; call every few seconds."""
        effects: list[Effect] = []
        for session in self.upkeep.ready():
            effects += self.cabling.announce(session)
            effects.append(Send(session.switch, session.losses.ask()))
            effects += fragments(session)
        return effects

    def _expire_intents(self, now: float) -> list[Effect]:
        """Intents near their end get a timer on the switch, and leave after it."""
        self._next_expiry_check = now + EXPIRY_CHECK
        if all(intent.expires is None for intent in self.desired.policy.intents):
            return []
        return self.upkeep.reconcile_all(now)
