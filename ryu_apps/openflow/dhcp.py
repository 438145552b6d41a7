"""What a DHCP server assigns (RFC 2131, RFC 8415): read from its answer's bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ryu_apps.openflow.ethernet import ETH_IP, ETH_IPV6, ETH_VLAN

ACK, REPLY = 5, 7
MESSAGE_TYPE, IA_NA, IA_ADDRESS = 53, 3, 5
MAGIC = b"\x63\x82\x53\x63"


@dataclass(frozen=True, slots=True)
class Assigned:
    """The host with this MAC may use this address from now on."""

    mac: str
    ip: str


def read_assignment(frame: bytes) -> Assigned | None:
    """The address that an acknowledgement gives out; None for anything else, damaged ones too."""
    try:
        (eth_type,) = struct.unpack_from("!H", frame, 12)
        at = 14
        if eth_type == ETH_VLAN:
            (eth_type,) = struct.unpack_from("!H", frame, 16)
            at = 18
        if eth_type == ETH_IP:
            return _acknowledged(frame[at + (frame[at] & 15) * 4 + 8 :])
        if eth_type == ETH_IPV6:
            return _replied(frame[at + 48 :], frame[0:6].hex(":"))
    except (struct.error, IndexError, ValueError):
        pass
    return None


def _acknowledged(message: bytes) -> Assigned | None:
    op, hardware, size = message[0], message[1], message[2]
    if (op, hardware, size) != (2, 1, 6) or message[236:240] != MAGIC:
        return None
    address = IPv4Address(message[16:20])
    at = 240
    while message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        if message[at] == MESSAGE_TYPE:
            given = message[at + 2] == ACK and not address.is_unspecified
            return Assigned(message[28:34].hex(":"), str(address)) if given else None
        at += 2 + message[at + 1]
    return None


def _replied(message: bytes, mac: str) -> Assigned | None:
    if message[0] != REPLY:
        return None
    for kind, body in _options(message[4:]):
        if kind != IA_NA:
            continue
        for inner, address in _options(body[12:]):
            if inner == IA_ADDRESS:
                (valid,) = struct.unpack_from("!I", address, 20)
                return Assigned(mac, str(IPv6Address(address[:16]))) if valid else None
    return None


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        found.append((kind, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found
