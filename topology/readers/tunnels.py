"""Decapsulation of mirrored and tunnelled traffic down to the packets that hosts sent.

GRE (RFC 2784, 2890, and 2637 for PPTP), ERSPAN types I to III (draft-foschiano-erspan), VXLAN
(RFC 7348), Geneve (RFC 8926), and IP in IP (RFC 2003, 4213).
"""

from __future__ import annotations

import struct
from collections import Counter

from topology.readers.link_layers import (
    IP4,
    IP6,
    TRANSPARENT_ETHERNET,
    Start,
    by_version,
    ethernet_start,
    ppp_start,
)

GRE, IP_IN_IP, IPV6_IN_IP = 47, 4, 41
ENVELOPES = frozenset({GRE, IP_IN_IP, IPV6_IN_IP})
UDP_ENVELOPES = frozenset({4789, 8472, 6081})
"""Ports of VXLAN (IANA's, and the one that Linux began with) and of Geneve."""

_ERSPAN, _ERSPAN_3, _PPP = 0x88BE, 0x22EB, 0x880B
_MPLS = frozenset({0x8847, 0x8848})
_CHECKSUM, _KEY, _SEQUENCE, _ACKNOWLEDGED = 0x8000, 0x2000, 0x1000, 0x0080
_NO_MACS = (b"", b"")
_unpack_pair = struct.Struct("!HH").unpack_from


def inside(data: bytes, at: int, proto: int, layers: Counter[str]) -> Start | None:
    """What an IP packet carries at ``at``, where that is another packet; None where it is not.

    Counts the kind in ``layers``. Raises struct.error or IndexError where it ends too early.
    """
    if proto == GRE:
        return _behind_gre(data, at, layers)
    layers["IP in IP"] += 1
    return Start(at, by_version(data, at), _NO_MACS)


def inside_datagram(data: bytes, at: int, port: int, layers: Counter[str]) -> Start | None:
    """The same for a UDP datagram to one of `UDP_ENVELOPES` whose payload begins at ``at``."""
    flags, options = data[at], data[at + 1]
    if port == 6081:
        (kind,) = struct.unpack_from("!H", data, at + 2)
        if flags >> 6:  # another version
            return None
        layers["Geneve"] += 1
        return _typed(data, at + 8 + (flags & 0x3F) * 4, kind, layers)
    if flags != 0x08 or options or data[at + 7]:
        return None  # some other program's port
    layers["VXLAN"] += 1
    return ethernet_start(data, at + 8, layers)


def _behind_gre(data: bytes, at: int, layers: Counter[str]) -> Start | None:
    flags, kind = _unpack_pair(data, at)
    version = flags & 7
    at += 4
    if version > 1 or flags & 0x4000:  # routing is obsolete, and has a length of its own
        return None
    for flag in (_CHECKSUM, _KEY, _SEQUENCE, _ACKNOWLEDGED if version else 0):
        at += 4 if flags & flag else 0
    if kind == _ERSPAN:
        layers["ERSPAN"] += 1
        return ethernet_start(data, at + (8 if flags & _SEQUENCE else 0), layers)
    if kind == _ERSPAN_3:
        layers["ERSPAN"] += 1
        word = struct.unpack_from("!H", data, at + 10)[0]
        at += 20 if word & 1 else 12
        frame = word >> 10 & 0x1F
        return (
            Start(at, by_version(data, at), _NO_MACS)
            if frame == 2
            else (ethernet_start(data, at, layers))
        )
    layers["GRE"] += 1
    if kind == _PPP:
        return ppp_start(data, at + (2 if data[at : at + 2] == b"\xff\x03" else 0), _NO_MACS)
    return _typed(data, at, kind, layers)


def _typed(data: bytes, at: int, kind: int, layers: Counter[str]) -> Start | None:
    if kind in (IP4, IP6):
        return Start(at, kind, _NO_MACS)
    if kind == TRANSPARENT_ETHERNET:
        return ethernet_start(data, at, layers)
    return None
