"""From a captured frame to its IP packet: link layers, tags and other headers before IP.

Numbers of link types are those of www.tcpdump.org/linktypes.html; Ethernet types those that IANA
and the vendors named beside them have assigned.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import NamedTuple

NULL, ETHERNET, PPP, PPP_HDLC, PPP_ETHER, C_HDLC, LOOP = 0, 1, 9, 50, 51, 104, 108
SLL, IPV4, IPV6, SLL2 = 113, 228, 229, 276
RAW = frozenset({12, 14, 101, IPV4, IPV6})
LINK_TYPES = frozenset({NULL, ETHERNET, PPP, PPP_HDLC, PPP_ETHER, C_HDLC, LOOP, SLL, SLL2}) | RAW

IP4, IP6 = 0x0800, 0x86DD
TRANSPARENT_ETHERNET = 0x6558
MAX_LAYERS = 8
"""Headers of other frames or packets around one packet; more are a mistake or an attack."""

_TAGS = {
    0x8100: 4, 0x88A8: 4, 0x9100: 4, 0x9200: 4,  # IEEE 802.1Q and its forerunners
    0x8926: 6,  # VN-Tag (Cisco)
    0x893F: 8,  # E-Tag (IEEE 802.1BR)
    0x8909: 8,  # security group tag (Cisco MetaData)
}  # fmt: skip
"""Bytes from a tag's Ethernet type to where the next one ends."""

_INNER_FRAME = {0x8903: 2, 0x88E7: 4, TRANSPARENT_ETHERNET: 0}
"""Bytes before another Ethernet frame: FabricPath (Cisco), IEEE 802.1ah, bridging."""

_NAMES = {0x8926: "VN-Tag", 0x893F: "E-Tag", 0x8909: "Cisco MetaData", 0x8903: "FabricPath",
          0x88E7: "802.1ah", TRANSPARENT_ETHERNET: "Ethernet"}  # fmt: skip
_MPLS = frozenset({0x8847, 0x8848})
_PPPOE = 0x8864
_PPP = {0x0021: IP4, 0x0057: IP6}
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"
_LONGEST_LENGTH = 0x05DC  # above: an Ethernet type, not the length of an 802.3 frame
_UPKEEP = frozenset(
    {
        0x0806, 0x8035,  # ARP, RARP
        0x8809, 0x88CC, 0x888E, 0x88F7, 0x8902,  # LACP, LLDP, 802.1X, PTP, CFM
        0x8863, 0x9000, 0x8912, 0x88E1,  # PPPoE discovery, loopback, power line
        0x2000, 0x2003, 0x2004,  # discovery and trunking protocols (Cisco), behind SNAP
    }
)  # fmt: skip
"""Ethernet types of what switches and hosts say to each other: no traffic between hosts."""

_unpack_ethernet = struct.Struct("!6s6sH").unpack_from
_unpack_type = struct.Struct("!H").unpack_from


class BadPacket(ValueError):
    """A malformed packet; the message gives the reason."""


class UnknownPacket(ValueError):
    """A packet of a kind that is not read; the message names the kind."""


class Start(NamedTuple):
    """Where an IP packet begins in a frame, its Ethernet type (0: none), source and target MAC."""

    at: int
    kind: int
    macs: tuple[bytes, bytes]


_NO_MACS = (b"", b"")


def ip_start(link: int, data: bytes, layers: Counter[str]) -> Start:
    """Find the IP packet in a frame; ``layers`` counts the headers it was found behind.

    The type is 0 for frames that are no traffic between hosts. Raises `BadPacket`, `UnknownPacket`,
    and struct.error or IndexError where the frame ends too early.
    """
    if link == ETHERNET:
        return ethernet_start(data, 0, layers)
    if link in RAW:
        return Start(0, by_version(data, 0), _NO_MACS)
    if link == SLL:
        return _behind(data, 16, _unpack_type(data, 14)[0], _NO_MACS, layers)
    if link == SLL2:
        data[19]  # raises IndexError where the header is cut
        return _behind(data, 20, _unpack_type(data, 0)[0], _NO_MACS, layers)
    if link in (NULL, LOOP):
        return Start(4, by_version(data, 4), _NO_MACS)
    if link in (PPP, PPP_HDLC):
        return ppp_start(data, 2 if data[:2] == b"\xff\x03" else 0, _NO_MACS)
    if link == C_HDLC:
        return _behind(data, 4, _unpack_type(data, 2)[0], _NO_MACS, layers)
    if link == PPP_ETHER:
        return ppp_start(data, 6, _NO_MACS)
    raise UnknownPacket(f"link type {link}")


def ethernet_start(data: bytes, at: int, layers: Counter[str]) -> Start:
    """The same for an Ethernet frame that begins at ``at``."""
    target, source, kind = _unpack_ethernet(data, at)
    if kind == IP4 or kind == IP6:
        return Start(at + 14, kind, (source, target))
    return _behind(data, at + 14, kind, (source, target), layers)


def _behind(
    data: bytes, at: int, kind: int, macs: tuple[bytes, bytes], layers: Counter[str]
) -> Start:
    """What is behind an Ethernet type that was just read, up to ``at``."""
    for _ in range(MAX_LAYERS):
        if kind in (IP4, IP6):
            return Start(at, kind, macs)
        if (size := _TAGS.get(kind)) is not None:
            if kind in _NAMES:
                layers[_NAMES[kind]] += 1
            at += size
            (kind,) = _unpack_type(data, at - 2)
        elif (size := _INNER_FRAME.get(kind)) is not None:
            layers[_NAMES[kind]] += 1
            target, source, kind = _unpack_ethernet(data, at + size)
            at, macs = at + size + 14, (source, target)
        elif kind in _MPLS:
            return _behind_labels(data, at, macs, layers)
        elif kind == _PPPOE:
            layers["PPPoE"] += 1
            return ppp_start(data, at + 6, macs)
        elif kind <= _LONGEST_LENGTH:
            if data[at : at + 6] != _SNAP:
                return Start(at, 0, macs)  # spanning tree, IS-IS, discovery protocols
            layers["SNAP"] += 1
            (kind,) = _unpack_type(data, at + 6)
            at += 8
        elif kind in _UPKEEP:
            return Start(at, 0, macs)
        else:
            raise UnknownPacket(f"Ethernet type {kind:#06x}")
    raise BadPacket(f"more than {MAX_LAYERS} headers around it")


def _behind_labels(data: bytes, at: int, macs: tuple[bytes, bytes], layers: Counter[str]) -> Start:
    """Behind a stack of MPLS labels: IP, or (RFC 4448) a control word and an Ethernet frame."""
    layers["MPLS"] += 1
    while not data[at + 2] & 1:  # until the bottom of the stack
        at += 4
    at += 4
    kind = by_version(data, at)
    if kind == 0 and data[at] >> 4 == 0:
        return ethernet_start(data, at + 4, layers)
    return Start(at, kind, macs)


def ppp_start(data: bytes, at: int, macs: tuple[bytes, bytes]) -> Start:
    """Behind a PPP header, which names its protocol in two bytes; others than IP are upkeep."""
    (kind,) = _unpack_type(data, at)
    return Start(at + 2, _PPP.get(kind, 0), macs)


def by_version(data: bytes, at: int) -> int:
    """The Ethernet type of an IP packet by its first bits; 0 for what is none."""
    return {4: IP4, 6: IP6}.get(data[at] >> 4, 0)
