"""The few header bytes that matter of an Ethernet frame."""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv6Address
from socket import inet_ntoa
from typing import NamedTuple

ETH_IP, ETH_ARP, ETH_IPV6, ETH_LLDP, ETH_VLAN = 0x0800, 0x0806, 0x86DD, 0x88CC, 0x8100
NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
TCP_FIN, TCP_SYN, TCP_RST, TCP_ACK = 0x01, 0x02, 0x04, 0x10
IPV6_FRAGMENT = 44
IPV6_EXTENSIONS = frozenset({0, 43, IPV6_FRAGMENT, 60})
MOST_TAGS = 2  # of a frame that is read
KNOWN = 1 << 16  # addresses whose text is kept
_TYPE = struct.Struct("!H")
_IPV4 = struct.Struct("!BxH2xHxB2x4s4s")
_PORTS = struct.Struct("!HH")
_TCP = struct.Struct("!4xIIBB")


class Frame(NamedTuple):
    """The fields of a frame: ``ports`` are source and destination, or ICMP type and code; zeros in
    a fragment after the first.

    For ARP and neighbour discovery ``src_ip`` is the sender and ``target`` the
    address requested or announced. ``src_ip`` is None where there is none.
    ``hardware`` is the sender's MAC as ARP gives it, ``vlan`` the tag.
    ``opens`` is False for a TCP packet that cannot be a connection's first. Of TCP also the
    ``flags``, the sequence and acknowledgment numbers, and the ``length`` of what the packet
    carries, in bytes.
    """

    eth_type: int
    src_mac: str
    dst_mac: str
    src_ip: str | None = None
    dst_ip: str | None = None
    proto: str | None = None
    ports: tuple[int, int] = (0, 0)
    target: str | None = None
    query: bool = False
    opens: bool = True
    flags: int = 0
    seq: int = 0
    ack: int = 0
    length: int = 0
    hardware: str | None = None
    vlan: int | None = None


# The same hosts talk again and again: their addresses' text is made once.
ipv4_text = lru_cache(KNOWN)(inet_ntoa)


@lru_cache(KNOWN)
def ipv6_text(address: bytes) -> str:
    return str(IPv6Address(address))


@lru_cache(KNOWN)
def mac_text(mac: bytes) -> str:
    return mac.hex(":")


def read_frame(data: bytes) -> Frame | None:
    """Parse the start of a frame; None when it is too short, or has more than two VLAN tags."""
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError):
        return None


def _read(data: bytes, tags: int = 0) -> Frame:
    dst_mac, src_mac = mac_text(data[0:6]), mac_text(data[6:12])
    (eth_type,) = _TYPE.unpack_from(data, 12)
    at = 14
    if eth_type == ETH_VLAN:
        if tags == MOST_TAGS:
            raise ValueError("too many tags")
        (tag,) = struct.unpack_from("!H", data, 14)
        return _read(data[:12] + data[16:], tags + 1)._replace(vlan=tag & 0xFFF)
    if eth_type == ETH_IP:
        return _read_ipv4(data, at, src_mac, dst_mac)
    if eth_type == ETH_IPV6:
        return _read_ipv6(data, at, src_mac, dst_mac)
    if eth_type == ETH_ARP:
        op, sha, spa, tpa = struct.unpack_from("!H6s4s6x4s", data, at + 6)
        sender, target = inet_ntoa(spa), inet_ntoa(tpa)
        return Frame(
            eth_type,
            src_mac,
            dst_mac,
            sender,
            target,
            "arp",
            target=target,
            query=op == 1,
            hardware=sha.hex(":"),
        )
    return Frame(eth_type, src_mac, dst_mac)


def _read_ipv4(data: bytes, at: int, src_mac: str, dst_mac: str) -> Frame:
    first, whole, part, proto, src, dst = _IPV4.unpack_from(data, at)
    end = at + whole
    at += (first & 15) * 4
    later = part & 0x1FFF
    ports = (0, 0) if later else _ports(data, at, proto)
    tcp = proto == 6 and not later and len(data) >= at + 14
    tcp_fields = _tcp_fields(data, at, end) if tcp else NO_TCP
    return Frame(
        ETH_IP,
        src_mac,
        dst_mac,
        ipv4_text(src),
        ipv4_text(dst),
        NAMES.get(proto) or str(proto),
        ports,
        None,
        False,
        *tcp_fields,
    )


def _read_ipv6(data: bytes, at: int, src_mac: str, dst_mac: str) -> Frame:
    whole, proto, src, dst = struct.unpack_from("!4xHBx16s16s", data, at)
    at += 40
    end = at + whole
    later = 0
    while proto in IPV6_EXTENSIONS and not later:
        header = proto
        proto, units, part = struct.unpack_from("!BBH", data, at)
        if header == IPV6_FRAGMENT:
            units, later = 0, part >> 3
        at += 8 + units * 8
    ports = (0, 0) if later else _ports(data, at, proto)
    tcp = proto == 6 and not later and len(data) >= at + 14
    target = None
    neighbour = proto == 58 and ports[0] in (NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)
    if neighbour and len(data) >= at + 24:
        target = str(IPv6Address(data[at + 8 : at + 24]))
    return Frame(
        ETH_IPV6,
        src_mac,
        dst_mac,
        ipv6_text(src),
        ipv6_text(dst),
        NAMES.get(proto) or str(proto),
        ports,
        target,
        neighbour and ports[0] == NEIGHBOUR_SOLICITATION,
        *(_tcp_fields(data, at, end) if tcp else NO_TCP),
    )


NO_TCP = (True, 0, 0, 0, 0)


def _tcp_fields(data: bytes, at: int, end: int) -> tuple[bool, int, int, int, int]:
    """Whether a TCP packet may open a connection, its flags, numbers and length.

    Only a SYN without ACK opens one; scans with other flags count too.
    """
    seq, ack, offset, flags = _TCP.unpack_from(data, at)
    length = max(0, end - at - (offset >> 4) * 4)
    return not flags & (TCP_ACK | TCP_RST), flags, seq, ack, length


def _ports(data: bytes, at: int, proto: int) -> tuple[int, int]:
    if proto in (6, 17, 132):
        source, target = _PORTS.unpack_from(data, at)
        return source, target
    if proto in (1, 58):
        return data[at], data[at + 1]
    return 0, 0
