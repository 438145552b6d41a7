"""A switch in software: it keeps rules as bytes, and answers as OpenFlow 1.3 asks."""

import struct
from collections.abc import Iterable

from ryu_apps.effects import Effect, Send
from ryu_apps.openflow import messages
from ryu_apps.openflow.fields import BY_NAME, OXM
from ryu_apps.switch import capabilities as features
from ryu_apps.switch.roles import ROLE_REPLY, ROLE_REQUEST

Answer = tuple[int, int, bytes]
MASKED = {"metadata", "eth_src", "eth_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst"}
FIXED = struct.Struct("!HBxIIHHHHxxxxQQQ")


class FakeSwitch:
    """``refuse`` makes the next bundle fail as a whole; kinds of multipart questions that are
    ``unanswered`` get no answer, ``unreadable`` ones an error. Without ``vendor`` it refuses every
    vendor's messages; a table that holds ``table_size`` rules is full."""

    def __init__(
        self, number: int, *, tables: int = 32, table_size: int = 10**6, vendor: bool = True
    ) -> None:
        self.number = number
        self.tables, self.table_size, self.vendor = tables, table_size, vendor
        self.hardware = b"Open vSwitch" if vendor else b"plain"
        self.barriers = 0
        self.shut = 0
        self.rules: dict[tuple[int, int, bytes], tuple[int, int, bytes]] = {}
        self.flow_mods = 0
        self.refuse = False
        self.packet_outs: list[bytes] = []
        self.meters: dict[int, tuple[int, int]] = {}
        self.idle: dict[tuple[int, int, bytes], int] = {}
        self.unanswered: set[int] = set()
        self.unreadable: set[int] = set()
        self.carried: dict[int, tuple[int, int]] = {}  # packets and bytes of each rule of a cookie
        self.fragments = 0  # how it was told to treat them
        self._bundle: list[bytes] = []

    def take(self, effects: Iterable[Effect]) -> list[Answer]:
        """Feed everything sent to this switch; its answers as (type, xid, whole message)."""
        answers: list[Answer] = []
        for effect in effects:
            if isinstance(effect, Send) and effect.switch == self.number:
                data = effect.data
                while data:
                    length = int.from_bytes(data[2:4], "big")
                    answers += self._one(data[:length])
                    data = data[length:]
        return answers

    def _one(self, data: bytes) -> list[Answer]:
        kind, xid = data[1], int.from_bytes(data[4:8], "big")
        if kind == messages.MULTIPART_REQUEST:
            kind = int.from_bytes(data[8:10], "big")
            if kind in self.unanswered:
                return []
            if kind in self.unreadable:
                return [(1, xid, messages.message(1, xid, struct.pack("!HH", 1, 2)))]
            return [self._multipart(kind, xid, data[16:])]
        if kind == messages.BARRIER_REQUEST:
            self.barriers += 1
            return [(21, xid, messages.message(21, xid, b""))]
        if kind == messages.FLOW_MOD:
            refused = self._flow_mod(data[8:])
            return [] if refused is None else [_error(xid, *refused, data)]
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

    def _flow_mod(self, body: bytes) -> tuple[int, int] | None:
        self.flow_mods += 1
        cookie, _, table, command, idle, hard, priority = struct.unpack_from("!QQBBHHH", body)
        length = struct.unpack_from("!H", body, 42)[0]
        padded = (length + 7) // 8 * 8
        key = (table, priority, body[40 : 40 + padded])
        if command == 0:
            filled = sum(1 for each in self.rules if each[0] == table)
            if key not in self.rules and filled >= self.table_size:
                return (5, 1)
            self.shut += priority == 0xFFFF
            self.rules[key] = (cookie, hard, body[40 + padded :])
            self.idle[key] = idle
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

    def _multipart(self, kind: int, xid: int, asked: bytes) -> Answer:
        body = b""
        if kind == features.DESCRIPTION:
            body = struct.pack("!256s256s256s32s256s", b"", self.hardware, b"", b"", b"")
        if kind == features.GROUP_FEATURES:
            body = bytes(40)
        if kind == features.METER_FEATURES:
            body = struct.pack("!IIIBBxx", 1000, 0, 0, 1, 0)
        if kind == features.TABLE_FEATURES:
            body = b"".join(self._table(number) for number in range(self.tables))
        if kind == messages.MULTIPART_METER_CONFIG:
            for number, (rate, burst) in self.meters.items():
                body += struct.pack("!HHIHHIIxxxx", 24, 5, number, 1, 16, rate, burst)
        if kind == messages.MULTIPART_FLOW:
            wanted_table, wanted, mask = struct.unpack_from("!B15xQQ", asked)
            for (table, priority, found), (cookie, hard, rest) in self.rules.items():
                if cookie & mask != wanted or wanted_table not in (table, messages.ALL_TABLES):
                    continue
                size = FIXED.size + len(found) + len(rest)
                fixed = FIXED.pack(
                    size,
                    table,
                    1,
                    0,
                    priority,
                    self.idle.get((table, priority, found), 0),
                    hard,
                    0,
                    cookie,
                    *self.carried.get(cookie, (0, 0)),
                )
                body += fixed + found + rest
        reply = messages.message(19, xid, struct.pack("!HHxxxx", kind, 0) + body)
        return (19, xid, reply)


def _error(xid: int, kind: int, code: int, data: bytes) -> Answer:
    return (1, xid, messages.message(1, xid, struct.pack("!HH", kind, code) + data[:64]))
