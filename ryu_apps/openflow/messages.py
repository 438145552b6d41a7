"""The OpenFlow 1.3 messages Septum sends, built whole."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

from policies.rules.rule import Meter

VERSION = 4
SET_CONFIG = 9
(EXPERIMENTER, PACKET_OUT, FLOW_MOD, MULTIPART_REQUEST, BARRIER_REQUEST, METER_MOD) = (
    4,
    13,
    14,
    18,
    20,
    29,
)
MULTIPART_FLOW, MULTIPART_METER_CONFIG = 1, 10
ONF = 0x4F4E4600
BUNDLE_CONTROL, BUNDLE_ADD = 2300, 2301
BUNDLE_OPEN, BUNDLE_COMMIT, BUNDLE_COMMITTED, BUNDLE_DISCARD = 0, 4, 5, 6
ATOMIC_ORDERED = 3
CONTROLLER_PORT, ANY = 0xFFFF_FFFD, 0xFFFF_FFFF
ALL_TABLES = 0xFF
METER_ADD, METER_MODIFY, METER_DELETE = 0, 1, 2
METER_PACKETS, METER_BURST = 2, 4

NO_REPLY = 0
"""Transaction id of messages whose replies, errors included, nobody waits for."""

_HEADER = struct.Struct("!BBHI")


def message(kind: int, xid: int, body: bytes) -> bytes:
    return _HEADER.pack(VERSION, kind, 8 + len(body), xid) + body


def barrier(xid: int = NO_REPLY) -> bytes:
    return message(BARRIER_REQUEST, xid, b"")


def multipart(xid: int, kind: int, body: bytes = b"") -> bytes:
    """A multipart request."""
    return message(MULTIPART_REQUEST, xid, struct.pack("!HHxxxx", kind, 0) + body)


def read_flows(xid: int, table: int = ALL_TABLES, cookie: int = 0, mask: int = 0) -> bytes:
    """Ask for every rule of a table, or of all, whose cookie is the given one under ``mask``."""
    body = struct.pack("!BxxxIIxxxxQQHHxxxx", table, ANY, ANY, cookie, mask, 1, 4)
    return message(MULTIPART_REQUEST, xid, struct.pack("!HHxxxx", MULTIPART_FLOW, 0) + body)


def read_meters(xid: int) -> bytes:
    """Ask for every meter's rate."""
    body = struct.pack("!HHxxxxIxxxx", MULTIPART_METER_CONFIG, 0, ANY)
    return message(MULTIPART_REQUEST, xid, body)


def meter_entries(buf: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Number, rate and burst of the meters in one multipart reply."""
    at = 16
    while at + 24 <= len(buf):
        length, _, number, _, _, rate, burst = struct.unpack_from("!HHIHHII", buf, at)
        yield number, (rate, burst)
        at += max(length, 8)


def bundle(xid: int, number: int, flow_mods: Iterable[bytes]) -> bytes:
    """Open, fill and commit one atomic, ordered bundle (ONF extension 230) of flow-mod bodies.

    A switch that refuses it answers with an error of the same ``xid`` and has changed nothing;
    but Open vSwitch commits the others where it refuses to add single ones.
    """
    parts = [_bundle_control(xid, number, BUNDLE_OPEN)]
    parts += (_bundle_add(xid, number, body) for body in flow_mods)
    parts.append(_bundle_control(xid, number, BUNDLE_COMMIT))
    return b"".join(parts)


def empty_bundle(xid: int) -> bytes:
    """A bundle opened and thrown away: changes nothing, and is refused where there are none."""
    return discarded_bundle(xid, {})


def discarded_bundle(xid: int, flow_mods: Mapping[int, bytes]) -> bytes:
    """A bundle of flow-mod bodies, each with its own transaction id, that is thrown away: changes
    nothing, and an error shows which of them cannot be."""
    number = xid & 0x00FF_FFFF
    parts = [_bundle_control(xid, number, BUNDLE_OPEN)]
    parts += (_bundle_add(each, number, body) for each, body in flow_mods.items())
    return b"".join(parts) + _bundle_control(xid, number, BUNDLE_DISCARD)


def _bundle_add(xid: int, number: int, body: bytes) -> bytes:
    head = struct.pack("!IIIxxH", ONF, BUNDLE_ADD, number, ATOMIC_ORDERED)
    return message(EXPERIMENTER, xid, head + message(FLOW_MOD, xid, body))


def _bundle_control(xid: int, number: int, kind: int) -> bytes:
    body = struct.pack("!IIIHH", ONF, BUNDLE_CONTROL, number, kind, ATOMIC_ORDERED)
    return message(EXPERIMENTER, xid, body)


def set_fragments(*, drop: bool) -> bytes:
    """Whether the switch drops IP fragments, or matches first ones by their ports as Open vSwitch
    can (``OFPC_FRAG_NX_MATCH``). Packets for the controller are cut at 128 bytes."""
    return message(SET_CONFIG, NO_REPLY, struct.pack("!HH", 1 if drop else 3, 128))


def default_fragments() -> bytes:
    """Treat fragments as a switch does that nobody has told otherwise."""
    return message(SET_CONFIG, NO_REPLY, struct.pack("!HH", 0, 128))


def meter_mod(meter: Meter, command: int) -> bytes:
    band = struct.pack("!HHIIxxxx", 1, 16, meter.rate, meter.burst)
    body = struct.pack("!HHI", command, METER_PACKETS | METER_BURST, meter.number)
    return message(METER_MOD, NO_REPLY, body + band)


def meter_delete(number: int) -> bytes:
    """Rules that use the meter go with it."""
    return message(METER_MOD, NO_REPLY, struct.pack("!HHI", METER_DELETE, 0, number))


def packet_out(frame: bytes, ports: Iterable[int], in_port: int = CONTROLLER_PORT) -> bytes:
    """Send a whole frame out of ports, as if it had come in on ``in_port``. No reply follows."""
    actions = b"".join(struct.pack("!HHIHxxxxxx", 0, 16, port, 0) for port in ports)
    return packet_out_by(frame, actions, in_port)


def packet_out_by(frame: bytes, actions: bytes, in_port: int) -> bytes:
    """Have actions done to a whole frame, as if it had come in on ``in_port``."""
    body = struct.pack("!IIHxxxxxx", 0xFFFF_FFFF, in_port, len(actions))
    return message(PACKET_OUT, NO_REPLY, body + actions + frame)
