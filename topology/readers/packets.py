"""One captured packet down to its ports: link layer, IP, and the head of what it carries.

Only headers are looked at. Packets without IP (ARP, spanning tree, LLDP) and the
upkeep of IPv6 (neighbour and router discovery, multicast listeners) are no traffic
between hosts and give nothing.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

NULL, ETHERNET, LOOP, SLL, IPV4, IPV6, SLL2 = 0, 1, 108, 113, 228, 229, 276
RAW = frozenset({12, 14, 101, IPV4, IPV6})
LINK_TYPES = frozenset({NULL, ETHERNET, LOOP, SLL, SLL2}) | RAW

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, ACK = 1, 2, 4, 16
_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
_MPLS = frozenset({0x8847, 0x8848})
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_NEIGHBOURS = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})
_SHORT = 8  # bytes of a header that carry ports, or type, code and identifier

_unpack_ethernet = struct.Struct("!6s6sH").unpack_from
_unpack_ipv4 = struct.Struct("!BxHHHxBxx4s4s").unpack_from
_unpack_ipv6 = struct.Struct("!IHBx16s16s").unpack_from
_unpack_ports = struct.Struct("!HH").unpack_from
_unpack_tcp = struct.Struct("!HHIxxxxxB").unpack_from
_unpack_icmp = struct.Struct("!BBxxH").unpack_from


class BadPacket(ValueError):
    """A packet that cannot be read; the message says why."""


class CapturedPacket(NamedTuple):
    """Addresses and MACs as bytes; ``size`` in bytes from the IP header on.

    For ICMP ``src_port`` is the type and ``dst_port`` the code; ``number`` is TCP's
    sequence number or the identifier of an ICMP echo; ``inner`` is the head of
    the packet that an ICMP error is about. ``part`` identifies the fragments of a
    packet; ``later`` ones have no ports.
    """

    src: bytes
    dst: bytes
    proto: int
    src_port: int
    dst_port: int
    size: int
    flags: int = 0
    number: int = 0
    src_mac: bytes = b""
    dst_mac: bytes = b""
    inner: bytes = b""
    part: int | None = None
    later: bool = False


def decode(link: int, data: bytes, length: int) -> CapturedPacket | None:
    """The packet in a frame of ``length`` bytes on the wire, of which ``data`` was kept.

    None for what is no traffic between hosts. Raises :class:`BadPacket`.
    """
    try:
        at, kind, macs = _link(link, data)
        if kind == 0x0800:
            return _ipv4(data, at, length, macs)
        if kind == 0x86DD:
            return _ipv6(data, at, length, macs)
        return None
    except (struct.error, IndexError):
        raise BadPacket(
            "cut off within its headers" if len(data) < length else "shorter than its headers"
        ) from None


_NO_MACS = (b"", b"")


def _link(link: int, data: bytes) -> tuple[int, int, tuple[bytes, bytes]]:
    """Where the payload begins, its Ethernet type, and source and target MAC."""
    macs = _NO_MACS
    if link == ETHERNET:
        target, source, kind = _unpack_ethernet(data)
        at, macs = 14, (source, target)
    elif link in RAW:
        return 0, _by_version(data, 0), macs
    elif link == SLL:
        (kind,) = struct.unpack_from("!H", data, 14)
        at = 16
    elif link == SLL2:
        (kind,) = struct.unpack_from("!H", data, 0)
        data[19]  # raises IndexError where the header is cut
        at = 20
    elif link in (NULL, LOOP):
        return 4, _by_version(data, 4), macs
    else:
        raise BadPacket(f"link type {link} cannot be read")
    while kind in _TAGS:
        (kind,) = struct.unpack_from("!H", data, at + 2)
        at += 4
    if kind in _MPLS:
        while not data[at + 2] & 1:  # until the bottom of the stack
            at += 4
        at += 4
        kind = _by_version(data, at)
    return at, kind, macs


def _by_version(data: bytes, at: int) -> int:
    version = data[at] >> 4
    return {4: 0x0800, 6: 0x86DD}.get(version, 0)


def _ipv4(data: bytes, at: int, length: int, macs: tuple[bytes, bytes]) -> CapturedPacket | None:
    first, size, part, fragment, proto, src, dst = _unpack_ipv4(data, at)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20:
        raise BadPacket("not an IPv4 header where one should be")
    if size == 0:  # left to the network card (segmentation offload)
        size = length - at
    if size < header:
        raise BadPacket(f"an IPv4 packet of {size} bytes")
    offset = fragment & 0x1FFF
    more = fragment & 0x2000
    if offset:
        return CapturedPacket(src, dst, proto, 0, 0, size, 0, 0, *macs, b"", part, True)
    ident = part if more else None
    return _transport(data, at + header, at + size, src, dst, proto, size, macs, ident)


def _ipv6(data: bytes, at: int, length: int, macs: tuple[bytes, bytes]) -> CapturedPacket | None:
    word, payload, proto, src, dst = _unpack_ipv6(data, at)
    if word >> 28 != 6:
        raise BadPacket("not an IPv6 header where one should be")
    size = 40 + payload if payload else max(40, length - at)
    end = at + size
    at += 40
    part = None
    for _ in range(8):
        if proto in (_HOP_BY_HOP, _ROUTING, _OPTIONS):
            proto, more = data[at], (data[at + 1] + 1) * 8
        elif proto == _AUTHENTICATION:
            proto, more = data[at], (data[at + 1] + 2) * 4
        elif proto == _FRAGMENT:
            proto, offset, ident = struct.unpack_from("!BxHI", data, at)
            if offset & 0xFFF8:
                return CapturedPacket(src, dst, proto, 0, 0, size, 0, 0, *macs, b"", ident, True)
            part, more = (ident if offset & 1 else None), 8
        else:
            break
        at += more
    return _transport(data, at, end, src, dst, proto, size, macs, part)


def _transport(
    data: bytes, at: int, end: int, src: bytes, dst: bytes, proto: int, size: int,
    macs: tuple[bytes, bytes], part: int | None,
) -> CapturedPacket | None:  # fmt: skip
    if proto == TCP:
        _within(at + 20, end)
        sport, dport, number, flags = _unpack_tcp(data, at)
        return CapturedPacket(src, dst, proto, sport, dport, size, flags, number, *macs, b"", part)
    if proto in (UDP, SCTP):
        _within(at + _SHORT, end)
        sport, dport = _unpack_ports(data, at)
        return CapturedPacket(src, dst, proto, sport, dport, size, 0, 0, *macs, b"", part)
    if proto in (ICMP, ICMPV6):
        _within(at + _SHORT, end)
        kind, code, number = _unpack_icmp(data, at)
        if proto == ICMPV6 and kind in _NEIGHBOURS:
            return None
        inner = data[at + 8 : end] if is_error(proto, kind) else b""
        return CapturedPacket(src, dst, proto, kind, code, size, 0, number, *macs, inner, part)
    return CapturedPacket(src, dst, proto, 0, 0, size, 0, 0, *macs, b"", part)


def _within(wanted: int, end: int) -> None:
    """Other bytes of the frame, such as padding, must not be taken for a header."""
    if wanted > end:
        raise BadPacket("shorter than its headers")


def is_error(proto: int, kind: int) -> bool:
    """Whether an ICMP message is about another packet."""
    return kind in (3, 4, 5, 11, 12) if proto == ICMP else kind < 128


def inner_of(proto: int, data: bytes) -> tuple[bytes, bytes, int, int, int] | None:
    """Whose failure an ICMP error tells: its addresses, protocol and ports (ICMP: 0 and 0)."""
    try:
        if proto == ICMP:
            first, _, _, fragment, inside, src, dst = _unpack_ipv4(data, 0)
            at = (first & 15) * 4
            if first >> 4 != 4 or at < 20 or fragment & 0x1FFF:
                return None
        else:
            word, _, inside, src, dst = _unpack_ipv6(data, 0)
            at = 40
            if word >> 28 != 6:
                return None
        if inside in (TCP, UDP, SCTP):
            return src, dst, inside, *_unpack_ports(data, at)
        if inside in (ICMP, ICMPV6):
            _, _, number = _unpack_icmp(data, at)
            return src, dst, inside, number, number
        return src, dst, inside, 0, 0
    except struct.error:
        return None
