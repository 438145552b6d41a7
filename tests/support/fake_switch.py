"""A switch in software: it keeps rules and meters as bytes, and answers as OpenFlow 1.3 asks.

Tests hand it effects; `benchmarks.openflow_load` puts it behind a socket.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from ryu_apps.effects import Effect, Send
from ryu_apps.openflow import flow_monitor, messages
from ryu_apps.openflow.fields import BY_NAME, OXM
from ryu_apps.switch import capabilities as features
from ryu_apps.switch.roles import ROLE_REPLY, ROLE_REQUEST

Answer = tuple[int, int, bytes]
"""Type, transaction id and the whole message."""

FEATURES_REQUEST, FEATURES_REPLY, CONFIG_REQUEST, CONFIG_REPLY = 5, 6, 7, 8
ECHO_REQUEST, ECHO_REPLY, PORTS = 2, 3, 13
MOST = 60_000  # bytes of one part of a listing
MASKED = {"metadata", "eth_src", "eth_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst"}
BAD_ACTION, UNKNOWN_ACTION, BAD_ARGUMENT = 2, 0, 5
LOAD_ACTION = re.compile(rb"\xff\xff\x00\x18\x00\x00\x23\x20\x00\x07", re.DOTALL)
LOAD = struct.Struct("!10xHIQ")
DELETE = 3  # of all rules with a cookie
FIXED = struct.Struct("!HBxIIHHHHxxxxQQQ")


class FakeSwitch:
    """``refuse`` makes the next bundle fail as a whole, ``refused_bytes`` each rule that contains
    them; kinds of multipart questions that are ``unanswered`` get no answer, ``unreadable`` ones an
    error. Without ``vendor`` it refuses every vendor's messages; a table that holds ``table_size``
    rules is full. It has ``ports`` ports.

    Like Open vSwitch it refuses a single rule when that is added to a bundle, and commits the rest.
    """

    def __init__(
        self,
        number: int,
        *,
        tables: int = 32,
        table_size: int = 10**6,
        vendor: bool = True,
        ports: int = 8,
    ) -> None:
        self.number, self.ports = number, ports
        self.tables, self.table_size, self.vendor = tables, table_size, vendor
        self.hardware = b"Open vSwitch" if vendor else b"plain"
        self.barriers = 0
        self.shut = 0
        self.rules: dict[tuple[int, int, bytes], tuple[int, int, bytes]] = {}
        self.flow_mods = 0
        self.refuse = False
        self.refused_bytes: bytes | None = None
        self.refuses_drops = True  # those of them that have no actions, too
        self.packet_outs: list[bytes] = []
        self.meters: dict[int, tuple[int, int]] = {}
        self.idle: dict[tuple[int, int, bytes], int] = {}
        self.unanswered: set[int] = set()
        self.unreadable: set[int] = set()
        self.carried: dict[int, tuple[int, int]] = {}  # packets and bytes of each rule of a cookie
        self.fragments = 0  # how it was told to treat them
        self._bundle: list[bytes] = []
        self.watched: set[int] = set()  # tables whose changes it was asked to report

    def take(self, effects: Iterable[Effect]) -> list[Answer]:
        """Feed everything sent to this switch; its answers as (type, xid, whole message)."""
        answers: list[Answer] = []
        for effect in effects:
            if isinstance(effect, Send) and effect.switch == self.number:
                data = effect.data
                while data:
                    length = int.from_bytes(data[2:4], "big")
                    answers += self.answer(data[:length])
                    data = data[length:]
        return answers

    def answer(self, data: bytes) -> list[Answer]:
        """Take one whole message; the answers to it."""
        kind, xid = data[1], int.from_bytes(data[4:8], "big")
        if kind == messages.MULTIPART_REQUEST:
            kind = int.from_bytes(data[8:10], "big")
            if kind in self.unanswered:
                return []
            if kind in self.unreadable:
                return [(1, xid, messages.message(1, xid, struct.pack("!HH", 1, 2)))]
            if kind == flow_monitor.EXPERIMENTER_PART:
                return [self._monitor(xid, data)]
            return list(self._multipart(kind, xid, data[16:]))
        if kind == messages.BARRIER_REQUEST:
            self.barriers += 1
            return [(21, xid, messages.message(21, xid, b""))]
        if kind == messages.FLOW_MOD:
            refused = self._refused(data[8:]) or self._flow_mod(data[8:])
            return [] if refused is None else [_error(xid, *refused, data)]
        if kind == FEATURES_REQUEST:
            features_reply = struct.pack("!QIBB2xII", self.number, 0, self.tables, 0, 0x4F, 0)
            return [_whole(FEATURES_REPLY, xid, features_reply)]
        if kind == CONFIG_REQUEST:
            return [_whole(CONFIG_REPLY, xid, struct.pack("!HH", self.fragments, 0xFFFF))]
        if kind == ECHO_REQUEST:
            return [_whole(ECHO_REPLY, xid, data[8:])]
        if kind == ROLE_REQUEST:
            return [(ROLE_REPLY, xid, data[:1] + bytes([ROLE_REPLY]) + data[2:])]
        if kind == messages.SET_CONFIG:
            (self.fragments,) = struct.unpack_from("!H", data, 8)
        if kind == messages.PACKET_OUT:
            self.packet_outs.append(data)
        if kind == messages.METER_MOD:
            command, _, number = struct.unpack_from("!HHI", data, 8)
            if command == messages.METER_DELETE:
                del self.meters[number]
                used = struct.pack("!HHI", 6, 8, number)  # rules go with the meter they use
                self.rules = {k: v for k, v in self.rules.items() if not v[2].startswith(used)}
            else:
                self.meters[number] = struct.unpack_from("!II", data, 20)
        if kind != messages.EXPERIMENTER:
            return []
        if not self.vendor:
            return [_error(xid, 1, 3, data)]
        exp = struct.unpack_from("!I", data, 12)[0]
        if exp == messages.BUNDLE_ADD:
            if (refused := self._refused(data[32:])) is not None:
                return [_error(xid, *refused, data)]
            self._bundle.append(data[24:])
            return []
        step = struct.unpack_from("!H", data, 20)[0]
        if step == messages.BUNDLE_OPEN:
            self._bundle = []
            return []
        if step == messages.BUNDLE_DISCARD:
            return []
        if self.refuse:
            self.refuse = False
            return [(1, xid, messages.message(1, xid, struct.pack("!HH", 5, 1)))]
        before = dict(self.rules)
        for inner in self._bundle:
            if (refused := self._flow_mod(inner[8:])) is not None:
                self.rules = before
                return [_error(xid, *refused, inner)]
        reply = data[:20] + struct.pack("!HH", messages.BUNDLE_COMMITTED, 3)
        return [(messages.EXPERIMENTER, xid, reply)]

    def _monitor(self, xid: int, data: bytes) -> Answer:
        if not self.vendor:
            return _error(xid, 1, 3, data)
        self.watched = {data[at + 12] for at in range(24, len(data), 24)}
        return _whole(19, xid, data[8:24])

    def changed(self, table: int, event: int, reason: int = 0) -> Answer:
        """The report that a rule of the table was changed by others."""
        head = struct.pack("!HH4xII", 0xFFFF, 0, messages.ONF, flow_monitor.MONITOR)
        update = struct.pack("!HHHHHHHBxQ", 32, event, reason, 5, 0, 0, 4, table, 7)
        return _whole(19, 0, head + update + struct.pack("!HHxxxx", 1, 4))

    def _refused(self, body: bytes) -> tuple[int, int] | None:
        """Type and code of the error where a rule cannot be, whatever else is on the switch."""
        drops = len(body) == 40 + (struct.unpack_from("!H", body, 42)[0] + 7) // 8 * 8
        if drops and not self.refuses_drops:
            return None
        if body[17] == 0 and self.refused_bytes is not None and self.refused_bytes in body:
            return (BAD_ACTION, UNKNOWN_ACTION)
        loads = (LOAD.unpack_from(body, found.start()) for found in LOAD_ACTION.finditer(body))
        if any(value >> (place & 0x3F) + 1 for place, _, value in loads):
            return (BAD_ACTION, BAD_ARGUMENT)
        return None

    def _flow_mod(self, body: bytes) -> tuple[int, int] | None:
        self.flow_mods += 1
        cookie, mask, table, command, idle, hard, priority = struct.unpack_from("!QQBBHHH", body)
        length = struct.unpack_from("!H", body, 42)[0]
        padded = (length + 7) // 8 * 8
        key = (table, priority, body[40 : 40 + padded])
        if command == 0:
            if key not in self.rules and len(self.rules) >= self.table_size:
                if sum(each[0] == table for each in self.rules) >= self.table_size:
                    return (5, 1)
            self.shut += priority == 0xFFFF
            self.rules[key] = (cookie, hard, body[40 + padded :])
            self.idle[key] = idle
        elif command == DELETE:
            self.rules = {
                key: rule for key, rule in self.rules.items() if rule[0] & mask != cookie & mask
            }
        else:
            self.rules.pop(key, None)
        return None

    def _table(self, number: int) -> bytes:
        headers = b""
        for wire in BY_NAME.values():
            if wire.oxm_class == OXM or self.vendor:
                headers += wire.prefix(wire.name in MASKED or self.vendor)
        matched = struct.pack("!HH", 8, 4 + len(headers)) + headers
        matched += bytes(-len(matched) % 8)
        everything = (1 << 64) - 1
        return (
            struct.pack(
                "!HB5x32sQQII",
                64 + len(matched),
                number,
                b"",
                everything,
                everything,
                0,
                self.table_size,
            )
            + matched
        )

    def _multipart(self, kind: int, xid: int, asked: bytes) -> Iterator[Answer]:
        """A listing in as many parts as it takes."""
        parts = [b""]
        for entry in self._entries(kind, asked):
            if len(parts[-1]) + len(entry) > MOST:
                parts.append(b"")
            parts[-1] += entry
        for number, listed in enumerate(parts, 1):
            head = struct.pack("!HHxxxx", kind, number < len(parts))
            yield _whole(19, xid, head + listed)

    def _entries(self, kind: int, asked: bytes) -> Iterator[bytes]:
        if kind == features.DESCRIPTION:
            yield struct.pack("!256s256s256s32s256s", b"", self.hardware, b"", b"", b"")
        elif kind == features.GROUP_FEATURES:
            yield bytes(40)
        elif kind == features.METER_FEATURES:
            yield struct.pack("!IIIBBxx", 1000, 0, 0, 1, 0)
        elif kind == features.TABLE_FEATURES:
            yield from (self._table(number) for number in range(self.tables))
        elif kind == PORTS:
            yield from map(_port, range(1, self.ports + 1))
        elif kind == messages.MULTIPART_METER_CONFIG:
            for number, (rate, burst) in self.meters.items():
                yield struct.pack("!HHIHHIIxxxx", 24, 5, number, 1, 16, rate, burst)
        elif kind == messages.MULTIPART_FLOW:
            wanted_table, wanted, mask = struct.unpack_from("!B15xQQ", asked)
            for (table, priority, found), (cookie, hard, rest) in self.rules.items():
                if cookie & mask != wanted or wanted_table not in (table, messages.ALL_TABLES):
                    continue
                size = FIXED.size + len(found) + len(rest)
                idle = self.idle.get((table, priority, found), 0)
                counters = self.carried.get(cookie, (0, 0))
                yield (
                    FIXED.pack(size, table, 1, 0, priority, idle, hard, 0, cookie, *counters)
                    + found
                    + rest
                )


def _port(number: int) -> bytes:
    speed = 10**7
    rest = (0, 4, 0x840, 0x840, 0x840, 0, speed, speed)
    mac = bytes((6, 0, 0, 0, 0, number))
    return struct.pack("!I4x6s2x16sIIIIIIII", number, mac, b"p%d" % number, *rest)


def _whole(kind: int, xid: int, body: bytes) -> Answer:
    return (kind, xid, messages.message(kind, xid, body))


def _error(xid: int, kind: int, code: int, data: bytes) -> Answer:
    return _whole(1, xid, struct.pack("!HH", kind, code) + data[:64])
