"""A switch in software: it keeps rules as bytes, and answers as OpenFlow 1.3 asks."""

import struct
from collections.abc import Iterable

from ryu_apps.effects import Effect, Send
from ryu_apps.wire import messages

Answer = tuple[int, int, bytes]
FIXED = struct.Struct("!HBxIIHHHHxxxxQQQ")


class FakeSwitch:
    """``refuse`` makes the next bundle fail as a whole; kinds of multipart questions that are
    ``unanswered`` get no answer, ``unreadable`` ones an error."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rules: dict[tuple[int, int, bytes], tuple[int, int, bytes]] = {}
        self.flow_mods = 0
        self.refuse = False
        self.packet_outs: list[bytes] = []
        self.meters: dict[int, tuple[int, int]] = {}
        self.unanswered: set[int] = set()
        self.unreadable: set[int] = set()
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
            return [(21, xid, messages.message(21, xid, b""))]
        if kind == messages.PACKET_OUT:
            self.packet_outs.append(data)
        if kind == messages.METER_MOD:
            number, rate, burst = struct.unpack_from("!I4xII", data, 12)
            self.meters[number] = (rate, burst)
        if kind != messages.EXPERIMENTER:
            return []
        exp = struct.unpack_from("!I", data, 12)[0]
        if exp == messages.BUNDLE_ADD:
            self._bundle.append(data[24:])
            return []
        step = struct.unpack_from("!H", data, 20)[0]
        if step == messages.BUNDLE_OPEN:
            self._bundle = []
            return []
        if self.refuse:
            self.refuse = False
            return [(1, xid, messages.message(1, xid, struct.pack("!HH", 5, 1)))]
        for inner in self._bundle:
            self._flow_mod(inner[8:])
        reply = data[:20] + struct.pack("!HH", messages.BUNDLE_COMMITTED, 3)
        return [(messages.EXPERIMENTER, xid, reply)]

    def _flow_mod(self, body: bytes) -> None:
        self.flow_mods += 1
        cookie, _, table, command, _, hard, priority = struct.unpack_from("!QQBBHHH", body)
        length = struct.unpack_from("!H", body, 42)[0]
        padded = (length + 7) // 8 * 8
        key = (table, priority, body[40 : 40 + padded])
        if command == 0:
            self.rules[key] = (cookie, hard, body[40 + padded :])
        else:
            self.rules.pop(key, None)

    def _multipart(self, kind: int, xid: int, asked: bytes) -> Answer:
        body = b""
        if kind == messages.MULTIPART_METER_CONFIG:
            for number, (rate, burst) in self.meters.items():
                body += struct.pack("!HHIHHIIxxxx", 24, 5, number, 1, 16, rate, burst)
        if kind == messages.MULTIPART_FLOW:
            wanted_table, wanted, mask = struct.unpack_from("!B15xQQ", asked)
            for (table, priority, found), (cookie, hard, rest) in self.rules.items():
                if cookie & mask != wanted or wanted_table not in (table, messages.ALL_TABLES):
                    continue
                size = FIXED.size + len(found) + len(rest)
                fixed = FIXED.pack(size, table, 1, 0, priority, 0, hard, 0, cookie, 0, 0)
                body += fixed + found + rest
        reply = messages.message(19, xid, struct.pack("!HHxxxx", kind, 0) + body)
        return (19, xid, reply)
