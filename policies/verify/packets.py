"""What packets say of themselves: kinds, ends, and the connection that one belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from policies.model import (
    ADVERTISEMENTS,
    DHCP,
    ICMP,
    ICMPV6,
    RELATED_FROM,
    SCTP,
    TCP,
    UDP,
    Connection,
)
from policies.semantics.prefix_sets import SIX, address_at

IP, ARP, IPV6, LLDP = 0x0800, 0x0806, 0x86DD, 0x88CC
NEW, EST, REL, RPL, INV, TRK = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
SOLICIT, ADVERTISE = 135, 136
MULTICAST = 1 << 40
TAG_AT = 32  # an output is a port of so many bits, and above it a tag
BRIDGE_LOCAL = 0x0180C2000000  # and fifteen more: never reach hosts
BRIDGE_MASK = 0xFFFFFFFFFFF0
PORT_NAMES = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
# An ICMP query and its answer are one connection, of the query's type (RFC 792, RFC 4443).
QUERY_OF = {(ICMP, 0): 8, (ICMP, 14): 13, (ICMP, 16): 15, (ICMP, 18): 17, (ICMPV6, 129): 128}


@dataclass(frozen=True, slots=True)
class SpecialPacket:
    """Address assignment (``dhcp``), or what hosts and routers say to each other (``ra``).

    ``asks``: from a host; ``offers``: assigns addresses; ``unicast``: known to one host only;
    ``first`` is where a host without an address sends it.
    """

    word: str
    asks: bool = False
    offers: bool = False
    unicast: bool = False
    first: int = 0


_ROUTING = {
    133: SpecialPacket(ADVERTISEMENTS, asks=True, first=0x3333_0000_0002),
    134: SpecialPacket(ADVERTISEMENTS),
    137: SpecialPacket(ADVERTISEMENTS, unicast=True),
}
_ASSIGNING = {
    (IP, 68, 67): SpecialPacket(DHCP, asks=True, first=0xFFFF_FFFF_FFFF),
    (IP, 67, 68): SpecialPacket(DHCP, offers=True),
    (IPV6, 546, 547): SpecialPacket(DHCP, asks=True, first=-1),
    (IPV6, 547, 546): SpecialPacket(DHCP, offers=True, unicast=True),
}


def leaving(port: int, tag: int = 0) -> int:
    """A frame's way out as one number: the port, and above it the ``vlan_vid`` it has there."""
    return port | tag << TAG_AT


def audience_of(packet: Mapping[str, int]) -> SpecialPacket | None:
    """What a packet is beside an ordinary one."""
    kind = packet["eth_type"]
    if kind == IPV6 and packet["ip_proto"] == ICMPV6:
        return _ROUTING.get(packet["icmpv6_type"])
    if kind in (IP, IPV6) and packet["ip_proto"] == UDP:
        return _ASSIGNING.get((kind, packet["udp_src"], packet["udp_dst"]))
    return None


def asks_a_server(packet: Mapping[str, int]) -> bool:
    """Whether a packet goes to the port of a DHCP server."""
    port = {IP: 67, IPV6: 547}.get(packet["eth_type"])
    return port is not None and packet["ip_proto"] == UDP and packet["udp_dst"] == port


def is_group(packet: Mapping[str, int]) -> bool:
    """Whether frame and address both say multicast, or both broadcast (RFC 1112, RFC 2464)."""
    target = packet["eth_dst"]
    if packet["eth_type"] == IPV6:
        return target >> 32 == 0x3333 and packet["ipv6_dst"] >> 120 == 0xFF
    if packet["eth_type"] != IP:
        return False
    if target == 0xFFFF_FFFF_FFFF:
        return packet["ip_dst"] == 0xFFFF_FFFF
    return target >> 23 == 0x01005E << 1 and packet["ip_dst"] >> 28 == 0xE


def neighbour_type(packet: Mapping[str, int]) -> int:
    """135 or 136 for neighbour discovery, else 0."""
    if packet["eth_type"] != IPV6 or packet["ip_proto"] != ICMPV6:
        return 0
    kind = packet["icmpv6_type"]
    return kind if kind in (SOLICIT, ADVERTISE) else 0


def question_of(packet: Mapping[str, int]) -> tuple[bool, bool, int]:
    """Of ARP or neighbour discovery: whether it asks, whether it answers, and for which address."""
    if neighbour := neighbour_type(packet):
        return neighbour == SOLICIT, neighbour == ADVERTISE, packet["nd_target"] | SIX
    return packet["arp_op"] == 1, packet["arp_op"] == 2, packet["arp_tpa"]


def is_error(packet: Mapping[str, int], ct_state: int) -> bool:
    """Whether a packet is an ICMP error about a tracked connection."""
    return bool(ct_state & REL) and packet["ip_proto"] == (
        ICMP if packet["eth_type"] == IP else ICMPV6
    )


def is_helped(
    packet: Mapping[str, int], ct_state: int, helped: Collection[tuple[int, int]]
) -> bool:
    """Whether a helper of an intent (``helped``: number and protocol) found the connection of a
    packet, on a port that it may find it on."""
    proto = packet["ip_proto"]
    if not ct_state & REL or (packet.get("ct_mark", 0), proto) not in helped:
        return False
    return packet[f"{PORT_NAMES[proto]}_{'src' if ct_state & RPL else 'dst'}"] >= RELATED_FROM


def original(
    packet: Mapping[str, int], ct_state: int, helped: Collection[tuple[int, int]] = ()
) -> Connection:
    """The connection a packet belongs to, as its initiator asked for it."""
    family = "ip" if packet["eth_type"] == IP else "ipv6"
    six = 0 if family == "ip" else SIX
    if is_error(packet, ct_state) or is_helped(packet, ct_state, helped):
        name = "nw" if family == "ip" else "ipv6"
        src, dst = packet[f"ct_{name}_src"], packet[f"ct_{name}_dst"]
        proto = packet["ct_nw_proto"]
        query = proto == (ICMP if family == "ip" else ICMPV6)
        port = packet["ct_tp_src" if query else "ct_tp_dst"]
        return Connection(address_at(src | six), address_at(dst | six), proto, port)
    src, dst = packet[f"{family}_src"], packet[f"{family}_dst"]
    proto, reply = packet["ip_proto"], bool(ct_state & RPL)
    port = 0
    if (name := PORT_NAMES.get(proto, "")) != "":
        port = packet[f"{name}_{'src' if reply else 'dst'}"]
    elif (proto, family) in ((ICMP, "ip"), (ICMPV6, "ipv6")):
        port = packet["icmp_type" if proto == ICMP else "icmpv6_type"]
        if reply:
            port = QUERY_OF.get((proto, port), port)
    if reply:
        src, dst = dst, src
    return Connection(address_at(src | six), address_at(dst | six), proto, port)
