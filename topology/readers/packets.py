"""One captured packet down to its ports: link layer, IP, and the head of what it carries.

Only headers are read. Packets without IP (ARP, spanning tree, LLDP) and IPv6 neighbour discovery,
router discovery and multicast listener reports are no traffic between hosts and are skipped.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from topology.readers.link_layers import (
    IP4,
    IP6,
    MAX_LAYERS,
    BadPacket,
    Start,
    ip_start,
)
from topology.readers.tunnels import ENVELOPES, UDP_ENVELOPES, inside, inside_datagram

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, ACK = 1, 2, 4, 16
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_NEIGHBOURS = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})
_SHORT = 8  # bytes of a header that carry ports, or type, code and identifier

_unpack_ipv4 = struct.Struct("!BxHHHxBxx4s4s").unpack_from
_unpack_ipv6 = struct.Struct("!IHBx16s16s").unpack_from
_unpack_ports = struct.Struct("!HH").unpack_from
_unpack_tcp = struct.Struct("!HHIxxxxxB").unpack_from
_unpack_icmp = struct.Struct("!BBxxH").unpack_from


class CapturedPacket(NamedTuple):
    """Addresses and MACs as bytes; ``size`` in bytes from the IP header on.

    For ICMP ``src_port`` is the type and ``dst_port`` the code; ``number`` is TCP's
    sequence number or the identifier of an ICMP echo; ``inner`` is the head of
    the packet that an ICMP error is about. ``part`` identifies the fragments of a
    packet; ``later`` ones have no ports. ``payload`` is where in the frame what the packet
    carries begins.
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
    payload: int = 0


@dataclass(slots=True)
class FrameDecoder:
    """Reads captured frames; ``layers`` counts the headers that packets were found behind.

    Without ``decapsulate`` a tunnel's packets are traffic between its ends.
    """

    decapsulate: bool = True
    layers: Counter[str] = field(default_factory=Counter)

    def decode(self, link: int, data: bytes, length: int) -> CapturedPacket | None:
        """The packet in a frame of ``length`` bytes on the wire, of which ``data`` was kept.

        None for frames that are no traffic between hosts. Raises `BadPacket` for malformed ones,
        and `UnknownPacket` for unsupported kinds.
        """
        try:
            start = ip_start(link, data, self.layers)
            for _ in range(MAX_LAYERS):
                packet = _packet(data, start, length)
                if packet is None or not self.decapsulate:
                    return packet
                further = self._inside(data, packet)
                if further is None:
                    return packet
                start = further
        except (struct.error, IndexError):
            raise BadPacket(
                "cut off within its headers" if len(data) < length else "shorter than its headers"
            ) from None
        raise BadPacket(f"more than {MAX_LAYERS} packets around it")

    def _inside(self, data: bytes, packet: CapturedPacket) -> Start | None:
        if packet.later:
            return None
        if packet.proto in ENVELOPES:
            return inside(data, packet.payload, packet.proto, self.layers)
        if packet.proto == UDP and packet.dst_port in UDP_ENVELOPES:
            return inside_datagram(data, packet.payload + 8, packet.dst_port, self.layers)
        return None


def _packet(data: bytes, start: Start, length: int) -> CapturedPacket | None:
    if start.kind == IP4:
        return _ipv4(data, start.at, length, start.macs)
    if start.kind == IP6:
        return _ipv6(data, start.at, length, start.macs)
    return None


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
        return CapturedPacket(
            src, dst, proto, sport, dport, size, flags, number, *macs, b"", part, False, at
        )  # fmt: skip
    if proto in (UDP, SCTP):
        _within(at + _SHORT, end)
        sport, dport = _unpack_ports(data, at)
        return CapturedPacket(
            src, dst, proto, sport, dport, size, 0, 0, *macs, b"", part, False, at
        )  # fmt: skip
    if proto in (ICMP, ICMPV6):
        _within(at + _SHORT, end)
        kind, code, number = _unpack_icmp(data, at)
        if proto == ICMPV6 and kind in _NEIGHBOURS:
            return None
        inner = data[at + 8 : end] if is_error(proto, kind) else b""
        return CapturedPacket(src, dst, proto, kind, code, size, 0, number, *macs, inner, part)
    return CapturedPacket(src, dst, proto, 0, 0, size, 0, 0, *macs, b"", part, False, at)


def _within(wanted: int, end: int) -> None:
    """Check that a header lies within the packet, not in padding."""
    if wanted > end:
        raise BadPacket("shorter than its headers")


def is_error(proto: int, kind: int) -> bool:
    """Whether an ICMP message is about another packet."""
    return kind in (3, 4, 5, 11, 12) if proto == ICMP else kind < 128


def inner_of(proto: int, data: bytes) -> tuple[bytes, bytes, int, int, int] | None:
    """The packet that an ICMP error is about: addresses, protocol and ports (ICMP: 0 and 0)."""
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
