"""A switch in software that greets a controller, sends packet-ins, and times what follows.

One thread, one socket, no OpenFlow library. Load is open loop (``rate`` a second, each
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

from tests.support.fake_switch import ECHO_REQUEST, FakeSwitch

VERSION = 4
HELLO, ERROR, PACKET_IN, PACKET_OUT = 0, 1, 10, 13
TAG = b"sptm"
NO_BUFFER = 0xFFFF_FFFF
_HEADER = struct.Struct("!BBHI")


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
    """One connection of a `FakeSwitch` to a controller. Times are of `time.monotonic`, in seconds;
    ``heard`` is when the controller last sent anything but an echo request."""

    address: tuple[str, int]
    dpid: int = 1
    ports: int = 8
    heard: float = 0.0
    answered: dict[int, float] = field(default_factory=dict)
    errors: int = 0
    switch: FakeSwitch = field(init=False)
    _socket: socket.socket = field(default_factory=socket.socket)
    _in: bytearray = field(default_factory=bytearray)
    _out: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.switch = FakeSwitch(self.dpid, ports=self.ports)

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
            _, kind, length, _ = _HEADER.unpack_from(buf, at)
            if len(buf) - at < length:
                break
            self._take(kind, buf[at : at + length])
            at += length
        del self._in[:at]

    def _take(self, kind: int, data: bytes) -> None:
        """One whole message from the controller."""
        if kind == PACKET_OUT:
            if data[-8:-4] == TAG:
                number = int.from_bytes(data[-4:], "big")
                self.answered.setdefault(number, time.monotonic())
            return
        if kind != ECHO_REQUEST:
            self.heard = time.monotonic()
        self.errors += kind == ERROR
        for _, _, answer in self.switch.answer(data):
            self._out += answer


def percentile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
