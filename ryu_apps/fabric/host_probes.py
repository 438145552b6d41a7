"""Frames that find links and hosts, and what a received frame claims about its sender."""

from __future__ import annotations

from collections.abc import Mapping

from policies.compiler import SwitchView
from ryu_apps.effects import Send
from ryu_apps.openflow import messages
from ryu_apps.openflow.ethernet import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    NEIGHBOUR_ADVERTISEMENT,
    Frame,
)
from topology.addresses import is_bindable, is_host_mac, link_local
from topology.hosts import HostTable

TABLE_PORT = 0xFFFF_FFF9  # OFPP_TABLE: run a packet through the rules
LOCAL_PORT = 0xFFFF_FFFE
NOBODY, NOBODY6 = "0.0.0.0", "::"
WHOLE_FRAME = 128  # copies are cut at this length; shorter ones are complete


SERVING = {
    ("udp", (67, 68)): "offers addresses, but the policy declares no DHCP server there",
    ("udp", (547, 546)): "offers addresses, but the policy declares no DHCP server there",
    ("icmpv6", (134, 0)): "advertises itself as a router, but the policy declares none there",
    ("icmpv6", (137, 0)): "redirects others, but the policy declares no router there",
}


def claimed_address(frame: Frame) -> str | None:
    """The address that a frame claims as its sender's own; None when it claims none.

    Hosts without an address use the link-local address of their MAC.
    """
    if frame.eth_type not in (ETH_IP, ETH_ARP, ETH_IPV6):
        return None
    ip = frame.src_ip
    advertised = frame.proto == "icmpv6" and frame.ports[0] == NEIGHBOUR_ADVERTISEMENT
    if advertised and frame.target is not None:
        ip = frame.target
    if ip in (NOBODY, NOBODY6) and is_host_mac(frame.src_mac):
        return str(link_local(frame.src_mac))
    return ip if is_bindable(ip) else None


def pretence(frame: Frame) -> str | None:
    """What else a frame that no rule admits falsely claims to be, as a reason; None for nothing."""
    if frame.vlan is not None:
        return f"a tag of VLAN {frame.vlan}, which the host has not on this port"
    if (served := SERVING.get((frame.proto or "", frame.ports))) is not None:
        return served
    if frame.hardware not in (None, frame.src_mac):
        return f"ARP in the name of {frame.hardware}"
    return None


def search(
    views: Mapping[int, SwitchView],
    hosts: HostTable,
    asker: tuple[int, int],
    data: bytes,
) -> list[Send]:
    """Pass a request for an unknown address on to ports where undeclared hosts may be."""
    if len(data) >= WHOLE_FRAME:
        return []
    declared = {(each.switch, each.port) for each in hosts.declared}
    sends = []
    for switch, view in sorted(views.items()):
        ports = [
            port
            for port in view.ports
            if port not in view.trunks
            and (switch, port) not in declared
            and (switch, port) != asker
        ]
        if ports:
            sends.append(Send(switch, messages.packet_out(data, ports)))
    return sends


def replay(switch: int, port: int, data: bytes) -> list[Send]:
    """Run a newly found host's first packet through the rules that now admit it."""
    if len(data) >= WHOLE_FRAME:
        return []
    return [Send(switch, messages.packet_out(data, (TABLE_PORT,), in_port=port))]
