"""A switch that is none: it greets a controller, sends packet-ins, and times what comes of them.

One thread, one socket, no library. Load is open loop (``rate`` a second, each
packet-in timed from the moment it was due, so that a stalled controller cannot
hide its queue) or closed loop (at most ``window`` unanswered ones). An answer
is a packet-out that ends with the tag of its packet-in.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

VERSION = 4
(HELLO, ERROR, ECHO, ECHOED, EXPERIMENTER, FEATURES, FEATURED, CONFIG, CONFIGURED) = range(9)
PACKET_IN, PACKET_OUT, FLOW_MOD, METER_MOD = 10, 13, 14, 29
MULTIPART, MULTIPARTED, BARRIER, BARRED, ROLE, ROLED = 18, 19, 20, 21, 24, 25
DESCRIPTION, FLOWS, AGGREGATE, PORTS = 0, 1, 2, 13
GROUP_FEATURES, METERS, METER_FEATURES = 8, 10, 11
ONF, BUNDLE_CONTROL, BUNDLE_ADD = 0x4F4E4600, 2300, 2301
ADD, DELETE_STRICT = 0, 4
METER_DELETE = 2
ALL = 0xFF
MOST = 60_000  # bytes of one part of a listing
TAG = b"sptm"
NO_BUFFER = 0xFFFF_FFFF
_HEADER = struct.Struct("!BBHI")
_EMPTY = {AGGREGATE: 24, GROUP_FEATURES: 40, METER_FEATURES: 16}


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    return _HEADER.pack(VERSION, kind, 8 + len(body), xid) + body


def packet_in(fields: bytes, frame: bytes, table: int = 0, cookie: int = 0) -> bytes:
    """A PACKET_IN of a whole frame; ``fields`` are the match's, each with its header."""
    match = struct.pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    head = struct.pack("!IHBBQ", NO_BUFFER, len(frame), 1, table, cookie)
    return message(PACKET_IN, 0, head + match + b"\0\0" + frame)


def opening_frame(
    macs: tuple[bytes, bytes], ips: tuple[bytes, bytes], ports: tuple[int, int], number: int
) -> bytes:
    """The first packet of a TCP connection over IPv4, ended by a tag with its number.

    ``macs`` and ``ips`` are source and target. Checksums are left out: controllers read none.
    """
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 48, 0, 0x4000, 64, 6, 0, *ips)
    tcp = struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, 2, 8192, 0, 0)
    tag = TAG + struct.pack("!I", number)
    return macs[1] + macs[0] + b"\x08\x00" + ip + tcp + tag


@dataclass(slots=True)
class LoadSwitch:
    """One connection to a controller. Times are of `time.monotonic`, in seconds.

    It remembers the rules and meters that it is given and lists them when asked, as a switch does.
    """

    address: tuple[str, int]
    dpid: int = 1
    ports: int = 8
    heard: float = 0.0
    answered: dict[int, float] = field(default_factory=dict)
    errors: int = 0
    _rules: dict[bytes, bytes] = field(default_factory=dict)  # by table, priority and match
    _meters: dict[bytes, bytes] = field(default_factory=dict)
    _socket: socket.socket = field(default_factory=socket.socket)
    _in: bytearray = field(default_factory=bytearray)
    _out: bytearray = field(default_factory=bytearray)

    def connect(self, patience: float = 20.0) -> None:
        """Connect as soon as somebody listens. Raises OSError when nobody does in time."""
        until = time.monotonic() + patience
        while True:
            try:
                self._socket = socket.create_connection(self.address, timeout=5)
                break
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._out += message(HELLO, 1, struct.pack("!HHI", 1, 8, 1 << VERSION))
        self.heard = time.monotonic()

    def settle(self, quiet: float = 1.0, patience: float = 30.0) -> None:
        """Answer until the controller has been silent for ``quiet`` seconds."""
        until = time.monotonic() + patience
        while time.monotonic() - self.heard < quiet:
            if time.monotonic() > until:
                raise TimeoutError(f"the controller did not settle in {patience:g} s")
            self._turn(quiet / 4)

    def close(self) -> None:
        self._socket.close()

    def offer(self, packets: Sequence[bytes], rate: float) -> list[float]:
        """Send open loop; when each was due."""
        start = time.monotonic()
        due = [start + number / rate for number in range(len(packets))]
        sent = 0
        while sent < len(packets) or self._out:
            ripe = min(len(packets), int((time.monotonic() - start) * rate) + 1)
            if ripe > sent:
                self._out += b"".join(packets[sent:ripe])
                sent = ripe
            wait = 0.05
            if sent < len(packets):
                wait = max(0.0, due[sent] - time.monotonic() - 0.0005)
            self._turn(0.0 if wait < 0.001 else wait)
        return due

    def race(self, packets: Sequence[bytes], window: int, seconds: float) -> float:
        """Send closed loop; answers a second."""
        start = time.monotonic()
        sent = 0
        while time.monotonic() - start < seconds and len(self.answered) < len(packets):
            room = min(window - (sent - len(self.answered)), len(packets) - sent)
            if room > 0:
                self._out += b"".join(packets[sent : sent + room])
                sent += room
            self._turn(0.02)
        return len(self.answered) / (time.monotonic() - start)

    def wait(self, done: Callable[[], bool], patience: float) -> None:
        """Go on answering until ``done`` or out of patience (seconds)."""
        until = time.monotonic() + patience
        while not done() and time.monotonic() < until:
            self._turn(0.02)

    # -- the protocol ----------------------------------------------------------

    def _turn(self, wait: float) -> None:
        writing = [self._socket] if self._out else []
        readable, writable, _ = select.select([self._socket], writing, [], wait)
        if readable:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                data = None
            if data == b"":
                raise ConnectionError("the controller closed the connection")
            if data:
                self._in += data
                self._read()
        if writable or self._out:
            try:
                del self._out[: self._socket.send(self._out)]
            except BlockingIOError:
                pass

    def _read(self) -> None:
        buf, at = bytes(self._in), 0
        while len(buf) - at >= 8:
            _, kind, length, xid = _HEADER.unpack_from(buf, at)
            if len(buf) - at < length:
                break
            self._hear(kind, xid, buf[at + 8 : at + length])
            at += length
        del self._in[:at]

    def _hear(self, kind: int, xid: int, body: bytes) -> None:
        if kind == PACKET_OUT:
            if body[-8:-4] == TAG:
                number = int.from_bytes(body[-4:], "big")
                self.answered.setdefault(number, time.monotonic())
            return
        if kind != ECHO:
            self.heard = time.monotonic()
        if kind == ECHO:
            self._out += message(ECHOED, xid, body)
        elif kind == FEATURES:
            features = struct.pack("!QIBB2xII", self.dpid, 0, 254, 0, 0x4F, 0)
            self._out += message(FEATURED, xid, features)
        elif kind == CONFIG:
            self._out += message(CONFIGURED, xid, struct.pack("!HH", 0, 0xFFFF))
        elif kind == BARRIER:
            self._out += message(BARRED, xid)
        elif kind == ROLE:
            self._out += message(ROLED, xid, body)
        elif kind == MULTIPART:
            self._list(xid, body)
        elif kind == FLOW_MOD:
            self._change_rule(body)
        elif kind == METER_MOD:
            self._change_meter(body)
        elif kind == EXPERIMENTER:
            self._bundle(xid, body)
        elif kind == ERROR:
            self.errors += 1

    def _change_rule(self, body: bytes) -> None:
        """A FLOW_MOD that adds one rule or deletes one; kept as flow statistics list it."""
        cookie, table, command, idle, hard, priority, flags = struct.unpack_from(
            "!Q8xBBHHH12xH", body
        )
        match_size = int.from_bytes(body[42:44], "big")
        key = bytes((table,)) + body[22:24] + body[40 : 40 + match_size]
        if command == DELETE_STRICT:
            self._rules.pop(key, None)
        elif command == ADD:
            rest = body[40:]
            head = struct.pack(
                "!HBxIIHHHH4xQQQ", 48 + len(rest), table, 0, 0, priority, idle, hard, flags,
                cookie, 0, 0,
            )  # fmt: skip
            self._rules[key] = head + rest

    def _change_meter(self, body: bytes) -> None:
        command, flags = struct.unpack_from("!HH", body)
        number, bands = body[4:8], body[8:]
        if command == METER_DELETE:
            self._meters.pop(number, None)
        else:
            self._meters[number] = struct.pack("!HH", 8 + len(bands), flags) + number + bands

    def _list(self, xid: int, body: bytes) -> None:
        """Answer a multipart request, in as many parts as it takes."""
        what = int.from_bytes(body[:2], "big")
        parts = [b""]
        for entry in self._entries(what, body[8:]):
            if len(parts[-1]) + len(entry) > MOST:
                parts.append(b"")
            parts[-1] += entry
        for number, listed in enumerate(parts, 1):
            more = number < len(parts)
            self._out += message(MULTIPARTED, xid, struct.pack("!HH4x", what, more) + listed)

    def _entries(self, what: int, asked: bytes) -> Iterable[bytes]:
        if what == DESCRIPTION:
            texts = (b"none", b"Open vSwitch", b"none", b"0", b"none")
            return [struct.pack("!256s256s256s32s256s", *texts)]
        if what == PORTS:
            return map(_port, range(1, self.ports + 1))
        if what == METERS:
            return self._meters.values()
        if what == FLOWS:
            table, cookie, mask = struct.unpack_from("!B15xQQ", asked)
            return (
                rule for rule in self._rules.values()
                if table in (ALL, rule[2])
                and int.from_bytes(rule[24:32], "big") & mask == cookie & mask
            )  # fmt: skip
        return [bytes(_EMPTY.get(what, 0))]

    def _bundle(self, xid: int, body: bytes) -> None:
        vendor, kind = struct.unpack_from("!II", body)
        if (vendor, kind) == (ONF, BUNDLE_ADD) and body[17] == FLOW_MOD:
            self._change_rule(body[24:])
        elif (vendor, kind) == (ONF, BUNDLE_CONTROL):
            number, step, flags = struct.unpack_from("!IHH", body, 8)
            answer = struct.pack("!IIIHH", ONF, kind, number, step + 1, flags)
            self._out += message(EXPERIMENTER, xid, answer)


def _port(number: int) -> bytes:
    speed = 10**7
    rest = (0, 4, 0x840, 0x840, 0x840, 0, speed, speed)
    mac = bytes((6, 0, 0, 0, 0, number))
    return struct.pack("!I4x6s2x16sIIIIIIII", number, mac, b"p%d" % number, *rest)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
