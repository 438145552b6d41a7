"""DHCP snooping: a client speaks for itself alone, and its message is passed on after that check.

Switches send what their hosts say to DHCP servers here, metered by port, and forward nothing of it
themselves: Open vSwitch cannot match what a message says. While the controller is away no lease is
given, renewed or ended; those that hold go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from policies.model import DHCP, Host
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Load, Resubmit
from ryu_apps.effects import Send
from ryu_apps.fabric.host_discovery import HostDiscovery
from ryu_apps.fabric.network_state import NetworkChange
from ryu_apps.openflow import messages
from ryu_apps.openflow.dhcp_clients import ClientMessage, read_client_message
from ryu_apps.openflow.encode import action_bytes
from ryu_apps.openflow.ethernet import Frame
from topology.hosts import Place
from topology.records import Binding

NO_MESSAGE = "sends what is no DHCP message of a client to a DHCP server's port"
_CHECKED = b"".join(
    map(action_bytes, (Load(layout.FROM_EDGE, 1), Load(layout.CHECKED, 1)))
) + action_bytes(Resubmit(RuleTable.LOCALITY))


@dataclass(slots=True)
class DhcpSnooping:
    """``declared`` gives the policy's hosts, whose routers and servers may speak for others."""

    discovery: HostDiscovery
    declared: Callable[[], Sequence[Host]]
    dropped: int = 0
    _hosts: Sequence[Host] = ()
    _special: dict[str, Host] = field(default_factory=dict)

    def client_message(self, place: Place, frame: Frame, data: bytes, now: float) -> NetworkChange:
        """A message to a DHCP server's port: pass it on, or drop and report it."""
        message = read_client_message(data)
        why = NO_MESSAGE if message is None else self._objection(message, place, frame)
        if message is not None and why is None:
            for address in message.takes:
                holder = self._other(address, place, frame)
                if holder is None:
                    continue
                claimant = Binding(frame.src_mac, address, *place)
                if (probes := self.discovery.ask_whether_gone(holder, claimant, now)) is not None:
                    return NetworkChange(tuple(probes))
                why = f"asks for {address}, which belongs to {holder.host or holder.mac}"
        if why is not None:
            self.dropped += 1
            return self.discovery.spoof(now, place, frame.src_mac, frame.src_ip, why)
        switch, port = place
        return NetworkChange((Send(switch, messages.packet_out_by(data, _CHECKED, port)),))

    def _objection(self, message: ClientMessage, place: Place, frame: Frame) -> str | None:
        """Why a host may not say this, or None."""
        sender = self._sender(place, frame)
        router = sender is not None and bool(sender.routes)
        if message.answer:
            serves = router or (sender is not None and DHCP in sender.serves)
            return (
                None if serves else "answers as a DHCP server, but the policy declares none there"
            )
        if router and (message.relayed or self._is_behind(message, frame)):
            return None
        if message.relayed:
            return "gives itself out as a DHCP relay, but the policy declares no router there"
        for name in message.names:
            if name != frame.src_mac:
                return f"DHCP in the name of {name}"
        for address in message.gives_up:
            holder = self.discovery.network.hosts.holder(address)
            if holder is None or self._other(address, place, frame) is not None:
                whose = "nobody known" if holder is None else holder.host or holder.mac
                return f"gives up {address}, which belongs to {whose}"
        return None

    def _is_behind(self, message: ClientMessage, frame: Frame) -> bool:
        """Whether a client behind a router speaks of its own address."""
        holder = self.discovery.network.hosts.holder(frame.src_ip or "")
        return holder is None and message.client is not None and message.client == frame.src_ip

    def _other(self, address: str, place: Place, frame: Frame) -> Binding | None:
        """The host that has an address, if it is not the sender."""
        holder = self.discovery.network.hosts.holder(address)
        if holder is None or (holder.mac, holder.switch, holder.port) == (frame.src_mac, *place):
            return None
        return holder

    def _sender(self, place: Place, frame: Frame) -> Host | None:
        """The router or server that sends, where it is one."""
        hosts = self.declared()
        if hosts is not self._hosts:
            self._hosts = hosts
            self._special = {each.name: each for each in hosts if each.routes or each.serves}
        if not self._special:
            return None
        own = self.discovery.network.hosts.on(frame.src_mac, place)
        return self._special.get(own.host or "") if own is not None else None
