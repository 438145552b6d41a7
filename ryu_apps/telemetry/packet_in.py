"""What a copied packet means: a connection, a neighbour switch, a new host, a probe or a spoof."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from policies.compiler import SwitchView
from policies.compiler.targets import SwitchTarget
from policies.rules import layout
from policies.rules.layout import PlainTable, Reason
from response.ipc.messages import HostsChanged, RecordsSeen, SpoofsSeen
from ryu_apps.effects import Effect, Log, Remember, Tell
from ryu_apps.enforcement.desired_state import DesiredState
from ryu_apps.fabric import host_probes as discovery
from ryu_apps.fabric.host_mobility import Moves
from ryu_apps.fabric.link_state import LinkWatch
from ryu_apps.openflow import decode, ethernet
from ryu_apps.openflow.dhcp import read_assignment
from ryu_apps.telemetry.conntrack_exhaustion import Crowding
from ryu_apps.telemetry.flow_tracker import FlowTracker, bits
from topology.hosts import is_bindable
from topology.records import Binding, FlowRecord, SpoofedPacket


@dataclass(slots=True)
class Lost:
    """What could not be used, counted since the start; shown by ``septum status``."""

    malformed: int = 0
    unreadable_frames: int = 0
    forged_lldp: int = 0


@dataclass(frozen=True, slots=True)
class PacketInResult:
    """Effects of one packet. ``rules_changed`` says that hosts are others, ``rerouted`` that links
    are, and ``afterwards`` is for when every switch acts on what follows from it."""

    effects: tuple[Effect, ...] = ()
    rules_changed: bool = False
    rerouted: bool = False
    afterwards: tuple[Effect, ...] = ()


NOTHING = PacketInResult()
_LLDP = ethernet.ETH_LLDP.to_bytes(2, "big")


def plain_reason(copy: decode.PacketIn, target: SwitchTarget) -> Reason:
    """Why a switch without registers sent a packet: told from the table that did."""
    if copy.frame[12:14] == _LLDP:
        return Reason.LINK
    asked = target is SwitchTarget.STATELESS and copy.table in (PlainTable.ARP, PlainTable.ND)
    return Reason.UNKNOWN_TARGET if asked else Reason.GUARD


Views = Callable[[], Mapping[int, SwitchView]]


@dataclass(slots=True)
class PacketInHandler:
    """Reads packet copies against what is known, and takes in what is new."""

    desired: DesiredState
    secret: bytes
    book: FlowTracker = field(default_factory=FlowTracker)
    links: LinkWatch = field(default_factory=LinkWatch)
    moves: Moves = field(default_factory=Moves)
    crowding: Crowding = field(default_factory=Crowding)
    can_ask: Callable[[int], bool] = lambda switch: False  # whether hosts there can be asked
    lost: Lost = field(default_factory=Lost)
    records: list[FlowRecord] = field(default_factory=list)  # not told yet
    xids: Iterator[int] = field(default_factory=lambda: count(0x5200_0000))

    def packet(
        self,
        switch: int,
        copy: decode.PacketIn,
        views: Views,
        now: float,
        target: SwitchTarget = SwitchTarget.STATEFUL,
    ) -> PacketInResult:
        """One packet copy from ``switch``; ``views`` tells which switches are connected, and
        ``target`` what kind of rules sent the copy."""
        reason = bits(copy.fields, layout.REASON)
        if target is not SwitchTarget.STATEFUL:
            reason = plain_reason(copy, target)
        port = copy.fields.get("in_port", 0)
        if reason == Reason.LINK:
            return self._link(switch, port, copy.frame, now)
        frame = ethernet.read_frame(copy.frame)
        if frame is None:
            self.lost.unreadable_frames += 1
            return NOTHING
        if reason in (Reason.CONNECTION, Reason.DENIED):
            record = self.book.start(copy, frame, switch, self.desired.names, now)
            if record is None:
                return NOTHING
            self.records.append(record)
            if frame.proto == "tcp" and frame.opens and record.verdict != "deny":
                self._gather(self.book.segments.opened(record, frame, now))
            return NOTHING
        if reason == Reason.PROGRESS:
            self._gather(self.book.segments.progress(frame, now))
            return NOTHING
        if reason == Reason.UNKNOWN_TARGET:
            return self._unknown_target((switch, port), frame, copy.frame, views, now)
        if reason == Reason.ADDRESSING:
            return self._assigned(switch, port, copy.frame, now)
        if reason == Reason.PROBE:
            return self._answered(switch, port, frame, now)
        if reason == Reason.FULL:
            return PacketInResult(tuple(self.crowding.denied(switch, port, frame, now)))
        if reason == Reason.GUARD:
            return self._stranger(switch, port, frame, copy.frame, now)
        return NOTHING

    def ended(self, switch: int, removed: decode.FlowRemoved, now: float) -> None:
        self._gather(self.book.ended(removed, switch, self.desired.names, now))

    def overdue(self, now: float) -> list[Effect]:
        """What has to be told because time has passed."""
        self.records += self.book.overdue(now)
        return [*self.gathered(), *self.crowding.over(now)]

    def _gather(self, record: FlowRecord | None) -> None:
        if record is not None:
            self.records.append(record)

    def gathered(self) -> list[Effect]:
        """The records since the last call, in one message: they come by the hundred."""
        if not self.records:
            return []
        records, self.records = tuple(self.records), []
        return [Tell(RecordsSeen(records))]

    def _link(self, switch: int, port: int, frame: bytes, now: float) -> PacketInResult:
        sender = ethernet.read_lldp(frame, self.secret)
        if sender is None:
            self.lost.forged_lldp += 1
            return NOTHING
        desired = self.desired
        heard = self.links.heard(desired.fabric, desired.hosts, sender, (switch, port), now)
        self.lost.forged_lldp += heard.forged
        if heard.problem:
            return PacketInResult((Log(logging.WARNING, heard.problem),))
        if heard.fabric is None:
            return NOTHING
        desired.fabric = heard.fabric
        text = f"link: switch {sender[0]} port {sender[1]} to switch {switch} port {port}"
        effects: list[Effect] = [
            Log(logging.INFO, text),
            Remember(links=tuple(heard.fabric.links)),
        ]
        emptied = [desired.hosts.vacate(place) for place in (sender, (switch, port))]
        if not any(emptied):
            return PacketInResult(tuple(effects), rerouted=True)
        desired.hosts_changed()
        bindings = tuple(desired.hosts.discovered.values())
        told = Tell(HostsChanged(desired.hosts.bindings()))
        return PacketInResult((*effects, Remember(bindings=bindings), told), rules_changed=True)

    def _unknown_target(
        self,
        asker: tuple[int, int],
        frame: ethernet.Frame,
        data: bytes,
        views: Views,
        now: float,
    ) -> PacketInResult:
        """Somebody asks for an address that has no owner: a probe, or a host not yet seen."""
        if not frame.query or frame.target is None or frame.src_ip is None:
            return NOTHING
        record = FlowRecord(
            ts=now,
            src_ip=frame.src_ip,
            dst_ip=frame.target,
            proto="arp" if frame.eth_type == ethernet.ETH_ARP else "nd",
            state="unanswered",
            phase="start",
            switch=asker[0],
            in_port=asker[1],
            src_mac=frame.src_mac,
        )
        self.records.append(record)
        asked = discovery.search(views(), self.desired.hosts, asker, data, self.xids)
        return PacketInResult(tuple(asked))

    def _stranger(
        self, switch: int, port: int, frame: ethernet.Frame, data: bytes, now: float
    ) -> PacketInResult:
        """A packet that no binding admits: a host to learn, or a spoof to report."""
        ip = discovery.claimed_address(frame)
        if port in self.desired.fabric.trunks(switch):
            return NOTHING
        if (pretence := discovery.pretence(frame)) is not None:
            return self._spoof(now, switch, port, frame.src_mac, frame.src_ip, pretence)
        if ip is None:
            return NOTHING
        sighting = self.desired.hosts.sighting(frame.src_mac, ip, switch, port)
        if sighting.spoof is None and sighting.learned is None and frame.src_ip != ip:
            # What it announces is its own; who it says it is may not be.
            if is_bindable(frame.src_ip) and frame.src_ip is not None:
                ip = frame.src_ip
                sighting = self.desired.hosts.sighting(frame.src_mac, ip, switch, port)
        if sighting.doubt is not None and self.can_ask(sighting.doubt.switch):
            newcomer = Binding(frame.src_mac, ip, switch, port)
            asked = self.moves.doubt(self.desired.hosts, sighting.doubt, newcomer, now, self.xids)
            if asked is not None:
                return PacketInResult(tuple(asked))
        if sighting.spoof is not None:
            return self._spoof(now, switch, port, frame.src_mac, ip, sighting.spoof)
        if sighting.learned is None:
            return NOTHING
        again = tuple(discovery.replay(switch, port, data, self.xids))
        return self._found(sighting.learned, again)

    def _assigned(self, switch: int, port: int, data: bytes, now: float) -> PacketInResult:
        """A declared server's answer: an address is bound before its host uses it."""
        given = read_assignment(data)
        if given is None:
            return NOTHING
        sighting = self.desired.hosts.assign(given.mac, given.ip)
        if sighting.spoof is not None:
            return self._spoof(now, switch, port, given.mac, given.ip, sighting.spoof)
        return NOTHING if sighting.learned is None else self._found(sighting.learned)

    def _answered(
        self, switch: int, port: int, frame: ethernet.Frame, now: float
    ) -> PacketInResult:
        """A host answers from where it always was: who claims to be it elsewhere is not."""
        question = self.moves.answered(switch, port, frame.src_mac, now)
        if question is None:
            return NOTHING
        known, new = question.known, question.newcomer
        why = f"{known.mac} still answers on switch {known.switch} port {known.port}"
        return self._spoof(now, new.switch, new.port, new.mac, new.ip, why)

    def settle_moves(self, now: float) -> PacketInResult:
        """Ask old ports again; whoever does not answer in time has moved. Call often."""
        asks, unanswered = self.moves.due(now, self.xids)
        effects: list[Effect] = list(asks)
        moved = False
        for question in unanswered:
            known, new = question.known, question.newcomer
            if not self.can_ask(known.switch):
                continue  # it could not answer: its switch has gone meanwhile
            self.desired.hosts.gone(known, new)
            self.desired.hosts.sighting(new.mac, new.ip, new.switch, new.port)
            moved = True
            text = (
                f"host {known.mac} does not answer on switch {known.switch} port {known.port} any "
                f"more: {new.ip} of {new.mac} is on switch {new.switch} port {new.port} now"
            )
            effects.append(Log(logging.INFO, text))
        if not moved:
            return PacketInResult(tuple(effects))
        hosts = self.desired.hosts
        self.desired.hosts_changed()
        effects.append(Remember(bindings=tuple(hosts.discovered.values())))
        effects.append(Tell(HostsChanged(hosts.bindings())))
        return PacketInResult(tuple(effects), rules_changed=True)

    @staticmethod
    def _spoof(
        now: float, switch: int, port: int, mac: str, ip: str | None, why: str
    ) -> PacketInResult:
        return PacketInResult(
            (Tell(SpoofsSeen((SpoofedPacket(now, switch, port, mac, ip, why),))),)
        )

    def _found(self, binding: Binding, afterwards: tuple[Effect, ...] = ()) -> PacketInResult:
        """A host or an address more."""
        self.desired.hosts_changed()
        hosts = self.desired.hosts
        text = (
            f"host {binding.mac} with {binding.ip} found on switch {binding.switch} "
            f"port {binding.port}"
        )
        return PacketInResult(
            (
                Log(logging.INFO, text),
                Remember(bindings=tuple(hosts.discovered.values())),
                Tell(HostsChanged(hosts.bindings())),
            ),
            rules_changed=True,
            afterwards=afterwards,
        )
