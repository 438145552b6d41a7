"""The controller's core: what happened on the switches in, effects out. It knows no library.

It keeps every switch equal to the compiled policy, tells the analysis what was
seen, and carries out the analysis's decisions. Every method takes ``now`` and
returns the effects in the order in which they must be carried out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count

from policies import layout
from policies.compiler import (
    CompileError,
    SwitchView,
    compile_switch,
    declared_bindings,
    intent_numbers,
    meters,
)
from policies.compiler.base import port_rules
from policies.compiler.tiers import restriction_rules
from policies.layout import Category, Reason, Table, category_of
from policies.membership import Membership
from policies.model import Policy, Restriction
from policies.rules import Rule
from response.decisions import Decision, InstalledRule
from response.messages import (
    Command,
    Enforce,
    HostsChanged,
    Message,
    PolicyApplied,
    RecordsSeen,
    Release,
    RulesConfirmed,
    SpoofsSeen,
    SwitchChanged,
)
from ryu_apps import discovery
from ryu_apps.effects import Effect, Log, Remember, Send, Tell
from ryu_apps.observe import ConnectionBook, bits
from ryu_apps.session import Phase, Session
from ryu_apps.wire import decode, frames
from ryu_apps.wire.encode import WireRule, wire_rule
from topology.fabric import Fabric
from topology.hosts import Expected, HostTable
from topology.records import Binding, FlowRecord, Link, SpoofSeen

FLOW_REMOVED, PACKET_IN, EXPERIMENTER, MULTIPART, BARRIER, ERROR = 11, 10, 4, 19, 21, 1
NEARLY_EXPIRED = 60.0  # seconds: how often intents' ends are looked at


@dataclass(slots=True)
class Lost:
    """What could not be used, counted since the start; shown by ``septum status``."""

    malformed: int = 0
    unreadable_frames: int = 0
    forged_lldp: int = 0


@dataclass(slots=True)
class Core:
    """``files`` and ``digest`` name the policy for the audit."""

    policy: Policy
    secret: bytes
    files: tuple[str, ...] = ()
    digest: str = ""
    hosts: HostTable = field(default_factory=HostTable)
    fabric: Fabric = field(default_factory=Fabric)
    sessions: dict[int, Session] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    book: ConnectionBook = field(default_factory=ConnectionBook)
    lost: Lost = field(default_factory=Lost)
    _membership: Membership | None = None
    _names: Mapping[int, str] = field(default_factory=dict)
    _xids: count[int] = field(default_factory=lambda: count(0x5200_0000))
    _expiry_check: float = 0.0

    # -- starting and policies ------------------------------------------------

    def start(
        self,
        bindings: Iterable[Binding],
        links: Iterable[Link],
        decisions: Iterable[Decision],
    ) -> None:
        """Take back what an earlier run knew."""
        self.decisions = {each.id: each for each in decisions}
        self.fabric = Fabric.of(links)
        self._take(self.policy)
        self.hosts.restore(bindings)
        self._membership = None

    def check_fits(self, now: float) -> None:
        """Raises CompileError when the rule tables cannot hold the policy."""
        self._trial(self.policy, now)

    def greeting(self, now: float) -> list[Message]:
        """What an analysis that just started must hear before anything else."""
        return [
            PolicyApplied(now, self.files, self.digest),
            HostsChanged(self.hosts.bindings()),
        ]

    def apply_policy(
        self, policy: Policy, files: tuple[str, ...], digest: str, now: float
    ) -> list[Effect]:
        """Put another policy in force, as a difference, on every ready switch.

        Raises CompileError, and changes nothing, when it does not fit.
        """
        self._trial(policy, now)
        self.files, self.digest = files, digest
        self._take(policy)
        return [
            Tell(PolicyApplied(now, files, digest)),
            Tell(HostsChanged(self.hosts.bindings())),
            *self._reconcile_all(now),
        ]

    def _take(self, policy: Policy) -> None:
        self.policy = policy
        self._names = intent_numbers(policy)
        complete = declared_bindings(policy)
        placed = {binding.host for binding in complete}
        expected = (
            Expected(
                host.name,
                host.mac,
                tuple(str(address) for address in host.ips),
                host.switch,
                host.port,
            )
            for host in policy.hosts
            if host.name not in placed
        )
        self.hosts.declare(complete, expected)
        self._membership = None

    def _trial(self, policy: Policy, now: float) -> None:
        """Compile for a switch nobody has, to learn whether the policy fits at all."""
        bindings = declared_bindings(policy)
        compile_switch(policy, Membership(policy, bindings), SwitchView(0), bindings, now)

    @property
    def membership(self) -> Membership:
        if self._membership is None:
            self._membership = Membership(self.policy, self.hosts.bindings())
        return self._membership

    # -- switches -------------------------------------------------------------

    def switch_up(self, switch: int, ports: Mapping[int, bytes], now: float) -> list[Effect]:
        """A switch finished its handshake; ``ports`` maps port numbers to their MACs."""
        clash = next(
            (
                other
                for other in self.sessions
                if other != switch and layout.zone_of(other) == layout.zone_of(switch)
            ),
            None,
        )
        session = Session(switch, dict(ports))
        self.sessions[switch] = session
        effects: list[Effect] = [
            Log(logging.INFO, f"switch {switch} connected with {len(ports)} ports"),
            Tell(SwitchChanged(now, switch, "connected", f"{len(ports)} ports")),
        ]
        if clash is not None:
            text = (
                f"switches {switch} and {clash} fold to one connection-tracking zone: "
                "on one Open vSwitch give one of them another datapath id"
            )
            effects.append(Log(logging.WARNING, text))
        return effects + session.read(now)

    def switch_down(self, switch: int, now: float) -> list[Effect]:
        if self.sessions.pop(switch, None) is None:
            return []
        return [
            Log(logging.WARNING, f"switch {switch} disconnected; its rules stay in force"),
            Tell(SwitchChanged(now, switch, "disconnected", "its rules stay in force")),
        ]

    def port_changed(
        self, switch: int, port: int, mac: bytes | None, up: bool, now: float
    ) -> list[Effect]:
        """A port appeared, changed or (``mac`` None) went away."""
        session = self.sessions.get(switch)
        if session is None:
            return []
        known = dict(session.ports)
        if mac is None:
            session.ports.pop(port, None)
        else:
            session.ports[port] = mac
        here = (switch, port)
        if up and mac is not None:
            self.hosts.down.discard(here)
        else:
            self.hosts.down.add(here)
        fabric = self.fabric if up else self.fabric.without_port(switch, port)
        if fabric == self.fabric and session.ports == known:
            return self._announce(session) if up else []
        moved = fabric != self.fabric
        self.fabric = fabric
        remember: list[Effect] = [Remember(links=tuple(fabric.links))] if moved else []
        return [*remember, *self._reconcile_all(now), *self._announce(session)]

    def view(self, switch: int) -> SwitchView:
        trunks = self.fabric.trunks(switch)
        session = self.sessions.get(switch)
        ports = tuple(sorted(session.ports)) if session is not None else ()
        return SwitchView(switch, ports, trunks, self.fabric.next_ports(switch))

    def desired(self, switch: int, now: float) -> tuple[Rule, ...]:
        """The rules that ``switch`` should have now."""
        return compile_switch(
            self.policy,
            self.membership,
            self.view(switch),
            self.hosts.bindings(),
            now,
            [restriction(each) for each in self.decisions.values()],
        )

    def _reconcile_all(self, now: float) -> list[Effect]:
        self._membership = None
        ready = [each for each in self.sessions.values() if each.phase is Phase.READY]
        return [effect for session in ready for effect in self._reconcile(session, now)]

    def _reconcile(self, session: Session, now: float) -> list[Effect]:
        """Bring one switch to the desired rules; what it lacks goes out as one bundle."""
        view = self.view(session.switch)
        first = session.phase is not Phase.READY
        session.phase = Phase.READY
        effects = session.set_meters(meters(view))

        def confirmed(at: float) -> list[Effect]:
            text = session.last_difference
            return [
                Log(logging.INFO, f"switch {session.switch} is as the policy says: {text}"),
                Tell(SwitchChanged(at, session.switch, "reconciled", text)),
            ]

        effects += session.reconcile(
            self.desired(session.switch, now), now, confirmed if first else None
        )
        return effects

    def _announce(self, session: Session) -> list[Effect]:
        """Send a link discovery frame out of every port."""
        data = b"".join(
            discovery.announcement(session.switch, port, mac, self.secret, next(self._xids))
            for port, mac in sorted(session.ports.items())
        )
        return [Send(session.switch, data)] if data else []

    # -- messages -------------------------------------------------------------

    def message(self, switch: int, kind: int, xid: int, buf: bytes, now: float) -> list[Effect]:
        """One OpenFlow message, whole; a malformed one is counted and dropped."""
        session = self.sessions.get(switch)
        if session is None:
            return []
        try:
            return self._message(session, kind, xid, buf, now)
        except decode.Malformed as error:
            self.lost.malformed += 1
            return [Log(logging.WARNING, f"switch {switch} sent a malformed message: {error}")]

    def _message(
        self, session: Session, kind: int, xid: int, buf: bytes, now: float
    ) -> list[Effect]:
        if kind == PACKET_IN:
            return self._packet(session, decode.packet_in(buf), now)
        if kind == FLOW_REMOVED:
            return self._removed(session, decode.flow_removed(buf), now)
        if kind == EXPERIMENTER:
            return session.experimenter(xid, buf, now)
        if kind == ERROR:
            return session.error(xid, buf, now)
        if kind == MULTIPART and session.multipart(xid, buf, now):
            view = self.view(session.switch)
            needed = [
                rule
                for rule in port_rules(view.ports, view.trunks)
                if rule.table == Table.REPORT or rule.priority == 500
            ]
            return [
                *session.set_meters(meters(view)),
                *session.ensure(needed, "link discovery", now),
                *self._announce(session),
            ]
        return []

    def _packet(self, session: Session, copy: decode.PacketIn, now: float) -> list[Effect]:
        reason = bits(copy.fields, layout.REASON)
        port = copy.fields.get("in_port", 0)
        if reason == Reason.LINK:
            return self._link(session, port, copy.frame, now)
        frame = frames.read_frame(copy.frame)
        if frame is None:
            self.lost.unreadable_frames += 1
            return []
        if reason in (Reason.CONNECTION, Reason.DENIED):
            record = self.book.start(copy, frame, session.switch, self._names, now)
            return [] if record is None else [Tell(RecordsSeen((record,)))]
        if reason == Reason.UNKNOWN_TARGET:
            return self._unknown_target(session, port, frame, copy.frame, now)
        if reason == Reason.GUARD:
            return self._stranger(session, port, frame, copy.frame, now)
        return []

    def _removed(self, session: Session, removed: decode.FlowRemoved, now: float) -> list[Effect]:
        if category_of(removed.cookie) == Category.COUNT:
            record = self.book.ended(removed, session.switch, self._names, now)
            return [] if record is None else [Tell(RecordsSeen((record,)))]
        session.flow_removed(removed)
        return []

    def _link(self, session: Session, port: int, frame: bytes, now: float) -> list[Effect]:
        sender = frames.read_lldp(frame, self.secret)
        if sender is None:
            self.lost.forged_lldp += 1
            return []
        link = Link(sender[0], sender[1], session.switch, port)
        declared = {(each.switch, each.port) for each in self.hosts.declared}
        if {sender, (session.switch, port)} & declared:
            self.lost.forged_lldp += 1
            text = f"switch {session.switch} port {port} repeats link discovery of {sender[0]} port"
            return [Log(logging.WARNING, f"{text} {sender[1]}, but a declared host is there")]
        fabric = self.fabric.with_link(link)
        if fabric == self.fabric:
            return []
        self.fabric = fabric
        text = f"link: switch {link.switch} port {link.port} and switch {link.peer_switch} port"
        return [
            Log(logging.INFO, f"{text} {link.peer_port}"),
            Remember(links=tuple(fabric.links)),
            *self._reconcile_all(now),
        ]

    def _unknown_target(
        self, session: Session, port: int, frame: frames.Frame, data: bytes, now: float
    ) -> list[Effect]:
        """Somebody asks for an address that has no owner: a probe, or a host not yet seen."""
        if not frame.query or frame.target is None or frame.src_ip is None:
            return []
        record = FlowRecord(
            ts=now,
            src_ip=frame.src_ip,
            dst_ip=frame.target,
            proto="arp" if frame.eth_type == frames.ETH_ARP else "nd",
            state="unanswered",
            phase="start",
            switch=session.switch,
            in_port=port,
            src_mac=frame.src_mac,
        )
        views = {switch: self.view(switch) for switch in self.sessions}
        asked = discovery.search(views, self.hosts, (session.switch, port), data, self._xids)
        return [Tell(RecordsSeen((record,))), *asked]

    def _stranger(
        self, session: Session, port: int, frame: frames.Frame, data: bytes, now: float
    ) -> list[Effect]:
        """A packet that no binding admits: a host to learn, or a spoof to report."""
        seen = discovery.source(frame)
        if seen is None or port in self.fabric.trunks(session.switch):
            return []
        mac, ip = seen
        sighting = self.hosts.sighting(mac, ip, session.switch, port)
        if sighting.spoof is not None or mac != frame.src_mac:
            reason = sighting.spoof or f"frame from {frame.src_mac} speaks for {mac}"
            spoof = SpoofSeen(now, session.switch, port, frame.src_mac, ip, reason)
            return [Tell(SpoofsSeen((spoof,)))]
        if sighting.learned is None:
            return []
        place = f"switch {session.switch} port {port}"
        found = tuple(self.hosts.discovered.values())
        return [
            Log(logging.INFO, f"host {mac} with {ip} found on {place}"),
            Remember(bindings=found),
            Tell(HostsChanged(self.hosts.bindings())),
            *self._reconcile_all(now),
            *discovery.replay(session.switch, port, data, self._xids),
        ]

    # -- decisions ------------------------------------------------------------

    def command(self, command: Command, now: float) -> list[Effect]:
        """Carry out one decision of the analysis on every ready switch; doing it twice is once."""
        decision = command.decision
        rules = decision_rules(decision, now)
        ready = [each for each in self.sessions.values() if each.phase is Phase.READY]
        if isinstance(command, Enforce):
            self.decisions[decision.id] = decision
        else:
            self.decisions.pop(decision.id, None)
        effects: list[Effect] = []
        for session in ready:
            confirm = _confirmation(session.switch, decision, rules, isinstance(command, Release))
            change = session.add if isinstance(command, Enforce) else session.remove
            effects += change(rules, f"decision {decision.id}", now, confirm)
        return effects

    # -- time -----------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Call a few times a second: settles, retries, and ends what is overdue."""
        effects: list[Effect] = []
        for session in list(self.sessions.values()):
            if session.phase is Phase.SETTLING and now >= session.settled_at:
                effects += self._reconcile(session, now)
            elif session.read_failed(now):
                session.retry_at = 0.0
                effects.append(
                    Log(logging.WARNING, f"switch {session.switch}: reading its rules again")
                )
                effects += session.read(now)
        ended = self.book.overdue(now)
        if ended:
            effects.append(Tell(RecordsSeen(tuple(ended))))
        for decision in [each for each in self.decisions.values() if each.expires <= now]:
            del self.decisions[decision.id]
        if now >= self._expiry_check:
            effects += self._expire_intents(now)
        return effects

    def announce(self) -> list[Effect]:
        """Ask again which links there are; call every few seconds."""
        ready = [each for each in self.sessions.values() if each.phase is Phase.READY]
        return [effect for session in ready for effect in self._announce(session)]

    def _expire_intents(self, now: float) -> list[Effect]:
        """Intents near their end get a timer on the switch, and leave after it."""
        self._expiry_check = now + NEARLY_EXPIRED
        if not any(intent.expires is not None for intent in self.policy.intents):
            return []
        return self._reconcile_all(now)


def restriction(decision: Decision) -> Restriction:
    addresses = tuple(ip_address(each) for each in decision.addresses)
    return Restriction(decision.number, decision.action, addresses, decision.expires)


def decision_rules(decision: Decision, now: float) -> list[WireRule]:
    return [wire_rule(rule) for rule in restriction_rules([restriction(decision)], now)]


def _confirmation(
    switch: int, decision: Decision, rules: list[WireRule], removed: bool
) -> Callable[[float], list[Effect]]:
    placed = tuple(InstalledRule(switch, rule.key[0], rule.cookie) for rule in rules)

    def confirmed(now: float) -> list[Effect]:
        return [Tell(RulesConfirmed(now, decision.id, placed, removed))]

    return confirmed


def digest_of(policy: Policy) -> str:
    """SHA-256 of everything a policy says, for the audit."""
    return hashlib.sha256(repr(policy).encode()).hexdigest()


__all__ = ["CompileError", "Core", "Lost", "decision_rules", "digest_of", "restriction"]
