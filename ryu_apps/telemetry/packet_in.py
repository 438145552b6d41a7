"""What a copied packet means: a connection, a link, a new host, a probe's answer or a spoof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from policies.compiler.targets import SwitchTarget
from policies.rules import layout
from policies.rules.layout import Reason, StatelessTable
from response.ipc.messages import RecordsSeen
from ryu_apps.effects import Effect, Report
from ryu_apps.fabric.dhcp_snooping import DhcpSnooping
from ryu_apps.fabric.host_discovery import HostDiscovery
from ryu_apps.fabric.link_discovery import LinkDiscovery
from ryu_apps.fabric.network_state import NO_CHANGE, NetworkChange
from ryu_apps.openflow import decode, ethernet
from ryu_apps.switch.session import Session
from ryu_apps.telemetry.adaptive_decider import bits
from ryu_apps.telemetry.conntrack_exhaustion import ConntrackExhaustion
from ryu_apps.telemetry.flow_tracker import FlowTracker
from topology.hosts import Place
from topology.records import FlowRecord

_LLDP = ethernet.ETH_LLDP.to_bytes(2, "big")


def stateless_reason(copy: decode.PacketIn, target: SwitchTarget) -> Reason:
    """Why a switch without registers sent a packet: inferred from the table that sent it."""
    if copy.frame[12:14] == _LLDP:
        return Reason.LINK
    request = target is SwitchTarget.STATELESS and copy.table in (
        StatelessTable.ARP,
        StatelessTable.ND,
    )
    return Reason.UNKNOWN_TARGET if request else Reason.GUARD


@dataclass(slots=True)
class PacketInHandler:
    """Sorts packet copies by their reason, and collects the flow records that follow from them.

    ``intent_names`` gives the intents' names by their number. ``unreadable_frames`` counts copies
    that could not be used.
    """

    links: LinkDiscovery
    hosts: HostDiscovery
    clients: DhcpSnooping
    intent_names: Callable[[], Mapping[int, str]]
    flow_tracker: FlowTracker = field(default_factory=FlowTracker)
    conntrack_exhaustion: ConntrackExhaustion = field(default_factory=ConntrackExhaustion)
    unreadable_frames: int = 0
    _records: list[FlowRecord] = field(default_factory=list)  # not sent to the analysis yet

    def packet(self, session: Session, copy: decode.PacketIn, now: float) -> NetworkChange:
        """One packet copy that a switch sent."""
        port = copy.fields.get("in_port")
        if port is None or port not in session.ports:
            self.unreadable_frames += 1
            return NO_CHANGE
        target, place = session.profile.target, (session.switch, port)
        if target is SwitchTarget.STATEFUL:
            reason = bits(copy.fields, layout.REASON)
        else:
            reason = stateless_reason(copy, target)
        if reason == Reason.LINK:
            return self.links.frame_received(session, port, copy.frame, now)
        frame = ethernet.read_frame(copy.frame)
        if frame is None:
            self.unreadable_frames += 1
            return NO_CHANGE
        if reason in (Reason.CONNECTION, Reason.DENIED):
            self._connection(session.switch, copy, frame, now)
        elif reason == Reason.PROGRESS:
            self._collect(self.flow_tracker.tcp_tracker.progress(frame, now))
        elif reason == Reason.UNKNOWN_TARGET:
            return self._unknown_target(place, frame, copy.frame, now)
        elif reason == Reason.ADDRESSING:
            return self.hosts.address_assigned(place, copy.frame, now)
        elif reason == Reason.CLIENT:
            return self.clients.client_message(place, frame, copy.frame, now)
        elif reason == Reason.PROBE:
            return self.hosts.probe_answered(place, frame, now)
        elif reason == Reason.FULL:
            return NetworkChange(tuple(self.conntrack_exhaustion.denied(place, frame, now)))
        elif reason == Reason.GUARD:
            return self.hosts.unbound_source(place, frame, copy.frame, now)
        return NO_CHANGE

    def flow_ended(self, switch: int, removed: decode.FlowRemoved, now: float) -> None:
        """A counting rule of a switch ended."""
        self._collect(self.flow_tracker.ended(removed, switch, self.intent_names(), now))

    def expire(self, now: float) -> list[Effect]:
        """End connections whose time has run out; call often."""
        self._records += self.flow_tracker.overdue(now)
        return [*self.collected(), *self.conntrack_exhaustion.over(now)]

    def collected(self) -> list[Effect]:
        """The records since the last call, in one message: they come by the hundred."""
        if not self._records:
            return []
        records, self._records = tuple(self._records), []
        return [Report(RecordsSeen(records))]

    def _collect(self, record: FlowRecord | None) -> None:
        if record is not None:
            self._records.append(record)

    def _connection(
        self, switch: int, copy: decode.PacketIn, frame: ethernet.Frame, now: float
    ) -> None:
        """A connection's first packet."""
        record = self.flow_tracker.start(copy, frame, switch, self.intent_names(), now)
        if record is None:
            return
        self._records.append(record)
        if frame.proto == "tcp" and frame.opens and record.verdict != "deny":
            self._collect(self.flow_tracker.tcp_tracker.opened(record, frame, now))

    def _unknown_target(
        self, asker: Place, frame: ethernet.Frame, data: bytes, now: float
    ) -> NetworkChange:
        """A request for an address that has no owner: a scan, or a host not yet discovered."""
        if not frame.query or frame.target is None or frame.src_ip is None:
            return NO_CHANGE
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
        self._records.append(record)
        return self.hosts.search(asker, data)
