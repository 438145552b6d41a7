"""What a DHCP client asks of a server (RFC 2131, RFC 8415), read from its whole frame.

Anything that two readers could understand in two ways is not read at all: options given twice,
lengths that do not add up, a frame that was cut.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ryu_apps.openflow.dhcp import IA_ADDRESS, IA_NA, MAGIC, MESSAGE_TYPE
from ryu_apps.openflow.ethernet import ETH_IP, ETH_IPV6

UDP = 17
IA_TEMPORARY = 4
REQUESTED, OVERLOAD, CLIENT_ID, RELAY_INFORMATION = 50, 52, 61, 82
DISCOVER, REQUEST, DECLINE, RELEASE, INFORM = 1, 3, 4, 7, 8
RELEASE_SIX, DECLINE_SIX = 8, 9
ASKING_SIX = (3, 5, 6)  # request, renew, rebind
RELAYED_SIX = (12, 13)


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """``names`` are the MACs that it gives as the client's, ``gives_up`` and ``takes`` the
    addresses that it releases or declines, and asks for. ``relayed``: it passed a relay agent, or
    says so; ``answer``: a server's to a relay agent. ``client`` is the address that the client says
    it has, None for none."""

    names: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    gives_up: tuple[str, ...] = ()
    relayed: bool = False
    answer: bool = False
    client: str | None = None


def read_client_message(frame: bytes) -> ClientMessage | None:
    """The message in an untagged frame to a DHCP server's port; None for anything else."""
    try:
        (eth_type,) = struct.unpack_from("!H", frame, 12)
        if eth_type == ETH_IP:
            return _read_four(_datagram(frame, 14 + (frame[14] & 15) * 4, frame[23]))
        if eth_type == ETH_IPV6:
            return _read_six(_datagram(frame, 54, frame[20]))
    except (struct.error, IndexError, ValueError):
        pass
    return None


def _datagram(frame: bytes, at: int, proto: int) -> bytes:
    """What a UDP header at ``at`` carries. Raises ValueError where that is not all there."""
    (length,) = struct.unpack_from("!H", frame, at + 4)
    if proto != UDP or length < 8 or at + length > len(frame):
        raise ValueError("not a whole datagram")
    return frame[at + 8 : at + length]


def _read_four(message: bytes) -> ClientMessage | None:
    op, hardware, size = message[0], message[1], message[2]
    if op not in (1, 2) or message[236:240] != MAGIC:
        return None
    client, relay = IPv4Address(message[12:16]), IPv4Address(message[24:28])
    relayed = not relay.is_unspecified
    own = None if client.is_unspecified else str(client)
    if op == 2:
        return ClientMessage(relayed=relayed, answer=True)
    if (hardware, size) != (1, 6):
        return None
    options = _all_options(message)
    (kind,) = options[MESSAGE_TYPE] if MESSAGE_TYPE in options else b"\0"
    names = [message[28:34].hex(":")]
    identity = options.get(CLIENT_ID, b"")
    if len(identity) == 7 and identity[0] == 1:
        names.append(identity[1:].hex(":"))
    addresses = [] if own is None else [own]
    if REQUESTED in options:
        addresses.append(str(IPv4Address(options[REQUESTED])))
    return ClientMessage(
        tuple(names),
        tuple(addresses) if kind in (0, REQUEST) else (),
        tuple(addresses) if kind in (DECLINE, RELEASE) else (),
        relayed or RELAY_INFORMATION in options,
        client=own,
    )


def _all_options(message: bytes) -> dict[int, bytes]:
    """Options by number, those in the fields for names too. Raises ValueError for one twice."""
    found: dict[int, bytes] = {}
    _options_four(message[240:], found)
    overload = found.get(OVERLOAD, b"\0")[0]
    for bit, part in ((1, message[108:236]), (2, message[44:108])):
        if overload & bit:
            _options_four(part, found)
    return found


def _options_four(data: bytes, found: dict[int, bytes]) -> None:
    at = 0
    while at < len(data) and data[at] != 255:
        number = data[at]
        if number == 0:
            at += 1
            continue
        value = data[at + 2 : at + 2 + data[at + 1]]
        if number in found or len(value) != data[at + 1]:
            raise ValueError(f"option {number} twice, or cut")
        found[number] = value
        at += 2 + len(value)


def _read_six(message: bytes) -> ClientMessage:
    kind = message[0]
    if kind in RELAYED_SIX:
        return ClientMessage(relayed=True)
    addresses = []
    for number, body in _options_six(message[4:]):
        if number in (IA_NA, IA_TEMPORARY):
            for inner, value in _options_six(body[12 if number == IA_NA else 4 :]):
                if inner == IA_ADDRESS:
                    addresses.append(str(IPv6Address(value[:16])))
    return ClientMessage(
        takes=tuple(addresses) if kind in ASKING_SIX else (),
        gives_up=tuple(addresses) if kind in (RELEASE_SIX, DECLINE_SIX) else (),
    )


def _options_six(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        number, length = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + length]
        if len(value) != length:
            raise ValueError(f"option {number} is cut")
        found.append((number, value))
        at += 4 + length
    return found
