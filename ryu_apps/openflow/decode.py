"""Reading what switches send: packet copies, ended rules and rule listings, straight from bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from policies.rules.layout import BY_DECISION, DECISION, FEED, INTENT, OUTCOME, REASON
from ryu_apps.openflow.encode import WireRule
from ryu_apps.openflow.fields import BY_HEADER, BY_NAME

_PACKET_IN = struct.Struct("!IHBBQ")
_FLOW_REMOVED = struct.Struct("!QHBBIIHHQQ")
_FLOW_STATS = struct.Struct("!HBxIIHHHHxxxxQQQ")
_COUNTERS = struct.Struct("!H22xQQQ")
_MATCH = struct.Struct("!HH")
_OXM = struct.Struct("!I")
_TOLD = {
    BY_NAME[name].header: name
    for name in ("in_port", REASON.field, INTENT.field, DECISION.field, FEED.field)
}
# How Open vSwitch begins the fields of a copied packet: nearly every one is read at once.
_USUAL = struct.Struct("!2xHIIIHIIII")
_USUAL_HEADERS = tuple(
    BY_NAME[name].header for name in ("in_port", "eth_type", REASON.field, INTENT.field)
)
assert REASON.field == OUTCOME.field == BY_DECISION.field
_ADAPTIVE = 1 << BY_DECISION.low  # such a copy names a decision or a feed further on
HEADER_SIZE = 8
MULTIPART_SIZE = 16
MORE = 1


class PacketIn(NamedTuple):
    """``fields`` are the port that the copy came with and the registers that give the reason and
    what decided (no others are read); ``frame`` may be cut short."""

    table: int
    cookie: int
    fields: Mapping[str, int]
    frame: bytes


@dataclass(frozen=True, slots=True)
class FlowRemoved:
    """``duration`` in seconds, including the idle time at its end."""

    table: int
    priority: int
    cookie: int
    reason: int
    duration: float
    idle_timeout: int
    packets: int
    octets: int
    fields: Mapping[str, int]
    key: tuple[bytes, ...]

    @property
    def timed_out(self) -> bool:
        """Whether its own idle or hard timeout ended the rule."""
        return self.reason in (0, 1)


class Malformed(ValueError):
    """A message whose lengths do not add up."""


def packet_in(buf: bytes) -> PacketIn:
    """Parse a whole PACKET_IN message."""
    try:
        _, _, _, table, cookie = _PACKET_IN.unpack_from(buf, HEADER_SIZE)
        start = HEADER_SIZE + _PACKET_IN.size
        fields, end = _read_told(buf, start)
    except (struct.error, IndexError) as error:
        raise Malformed(f"packet-in of {len(buf)} bytes: {error}") from error
    return PacketIn(table, cookie, fields, buf[end + 2 :])


def flow_removed(buf: bytes) -> FlowRemoved:
    """Parse a whole FLOW_REMOVED message."""
    try:
        (cookie, priority, reason, table, seconds, nanos, idle, _, packets, octets) = (
            _FLOW_REMOVED.unpack_from(buf, HEADER_SIZE)
        )
        fields, key, _ = _read_match(buf, HEADER_SIZE + _FLOW_REMOVED.size)
    except (struct.error, IndexError) as error:
        raise Malformed(f"flow-removed of {len(buf)} bytes: {error}") from error
    duration = seconds + nanos / 1e9
    return FlowRemoved(
        table, priority, cookie, reason, duration, idle, packets, octets, fields, key
    )


def multipart_more(buf: bytes) -> bool:
    return bool(int.from_bytes(buf[10:12], "big") & MORE)


def flow_stats(
    buf: bytes, known: Mapping[bytes, WireRule] = MappingProxyType({})
) -> Iterator[tuple[bytes, WireRule]]:
    """The rules in one multipart reply, ready to be compared byte by byte.

    Each comes with those of its bytes that do not change while it is in force;
    one whose bytes are ``known`` is not parsed again.
    """
    at = MULTIPART_SIZE
    while at < len(buf):
        length = int.from_bytes(buf[at : at + 2], "big")
        if length < _FLOW_STATS.size or at + length > len(buf):
            raise Malformed(f"flow statistics at byte {at}: length {length}")
        entry = buf[at : at + length]
        raw = entry[2:3] + entry[12:20] + entry[24:32] + entry[48:]
        yield raw, known.get(raw) or _rule(entry, at)
        at += length


def counters(buf: bytes) -> Iterator[tuple[int, int, int]]:
    """Cookie, packets and octets of every rule in one multipart reply; nothing else is read."""
    at, end = MULTIPART_SIZE, len(buf)
    while at < end:
        try:
            length, cookie, packets, octets = _COUNTERS.unpack_from(buf, at)
        except struct.error as error:
            raise Malformed(f"flow statistics at byte {at}: {error}") from error
        if length < _FLOW_STATS.size or at + length > end:
            raise Malformed(f"flow statistics at byte {at}: length {length}")
        yield cookie, packets, octets
        at += length


def _rule(entry: bytes, at: int) -> WireRule:
    try:
        (_, table, _, _, priority, idle, hard, _, cookie, _, _) = _FLOW_STATS.unpack_from(entry)
        _, key, end = _read_match(entry, _FLOW_STATS.size)
    except (struct.error, IndexError) as error:
        raise Malformed(f"flow statistics at byte {at}: {error}") from error
    return WireRule(
        (table, priority, tuple(sorted(key))), cookie, entry[end:], hard > 0, hard, idle
    )


def _read_told(buf: bytes, start: int) -> tuple[dict[str, int], int]:
    """The fields that packet copies are read for, and where what follows the match begins."""
    if len(buf) >= start + _USUAL.size:
        length, a, port, b, _, c, marks, d, intent = _USUAL.unpack_from(buf, start)
        usual = (a, b, c, d) == _USUAL_HEADERS and not marks & _ADAPTIVE
        if usual and _USUAL.size <= length <= len(buf) - start:
            fields = {"in_port": port, REASON.field: marks, INTENT.field: intent}
            return fields, start + (length + 7) // 8 * 8
    _, length = _MATCH.unpack_from(buf, start)
    at, stop = start + 4, start + length
    if stop > len(buf):
        raise IndexError(f"match of {length} bytes runs past the end")
    fields = {}
    while at < stop and len(fields) < len(_TOLD):
        (header,) = _OXM.unpack_from(buf, at)
        at += 4
        after = at + (header & 0xFF)
        name = _TOLD.get(header)
        if name is not None:
            fields[name] = int.from_bytes(buf[at:after], "big")
        at = after
    return fields, start + (length + 7) // 8 * 8


def _read_match(buf: bytes, start: int) -> tuple[dict[str, int], tuple[bytes, ...], int]:
    """Fields by name, the raw fields, and where what follows the padded match begins."""
    _, length = _MATCH.unpack_from(buf, start)
    at, stop = start + 4, start + length
    if stop > len(buf):
        raise IndexError(f"match of {length} bytes runs past the end")
    fields: dict[str, int] = {}
    raw: list[bytes] = []
    while at < stop:
        size = buf[at + 3]
        after = at + 4 + size
        raw.append(buf[at:after])
        header = int.from_bytes(buf[at : at + 4], "big")
        known = BY_HEADER.get(header >> 9)
        if known is not None:
            value_size = size // 2 if header >> 8 & 1 else size
            fields[known.name] = int.from_bytes(buf[at + 4 : at + 4 + value_size], "big")
        at = after
    return fields, tuple(raw), start + (length + 7) // 8 * 8
