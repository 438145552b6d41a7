"""Packet captures: pcap (microseconds or nanoseconds, either byte order) and pcapng.

A capture that ends in the middle of a packet (its writer was stopped) counts one bad packet. An
impossible length stops the reading, since the rest cannot be parsed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from topology.readers.assembly import Assembly
from topology.readers.link_layers import LINK_TYPES, BadPacket, UnknownPacket
from topology.readers.packets import FrameDecoder
from topology.readers.row_count import RowCount, TrafficError
from topology.readers.rows import LATEST
from topology.records import FlowRecord

PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
PCAPNG = b"\x0a\x0d\x0d\x0a"
LONGEST_PACKET = 1 << 20  # bytes
LONGEST_BLOCK = 1 << 24
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_RESOLUTION, _OFFSET = 9, 14  # options of an interface


class CapturedFrame(NamedTuple):
    """A packet as captured: seconds since the epoch, where known; bytes; bytes on the wire."""

    ts: float | None
    link: int
    data: bytes
    length: int


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    units: float  # per second
    offset: int  # seconds


def is_capture(head: bytes) -> bool:
    return head[:4] in PCAP or head[:4] == PCAPNG


def read_capture(
    stream: IO[bytes], tally: RowCount, decapsulate: bool = True
) -> Iterator[FlowRecord]:
    """The flows in a capture, in the order in which they began.

    With ``decapsulate``, those inside tunnels and mirrored traffic, not those between its ends.
    Raises `TrafficError` for a damaged capture, and for one of which no packet is understood.
    """
    assembly = Assembly()
    decoder = FrameDecoder(decapsulate, tally.layers)
    number = 0
    for frame in _frames(stream, tally):
        number += 1
        tally.packets = number
        try:
            if frame.ts is None or not 0 <= frame.ts < LATEST:
                raise BadPacket("the packet has no time")
            packet = decoder.decode(frame.link, frame.data, frame.length)
        except UnknownPacket as problem:
            tally.unknown[str(problem)] += 1
            continue
        except BadPacket as problem:
            tally.rows += 1
            tally.note(number, str(problem))
            continue
        if packet is not None:
            for record in assembly.take(frame.ts, packet):
                tally.rows += 1
                yield record
    for record in assembly.rest():
        tally.rows += 1
        yield record
    if number and tally.unknown.total() == number:
        kinds = ", ".join(f"{times} of {kind}" for kind, times in tally.unknown.most_common(5))
        raise TrafficError(f"{tally.name}: none of its packets is of a kind that is read: {kinds}")


def _frames(stream: IO[bytes], tally: RowCount) -> Iterator[CapturedFrame]:
    magic = _exactly(stream, 4)
    if magic in PCAP:
        return _pcap(stream, *PCAP[magic], tally)
    if magic == PCAPNG:
        return _Pcapng(stream, tally).frames()
    raise TrafficError(f"{tally.name}: neither pcap nor pcapng")


def _pcap(stream: IO[bytes], order: str, unit: float, tally: RowCount) -> Iterator[CapturedFrame]:
    header = _exactly(stream, 20)
    if len(header) < 20:
        raise TrafficError(f"{tally.name}: the capture ends within its header")
    link, check = _link_of(struct.unpack(order + "I", header[16:])[0])
    if link not in LINK_TYPES:
        raise TrafficError(
            f"{tally.name}: packets of link type {link} cannot be read; capture on Ethernet, "
            "or with `tcpdump -i any`"
        )
    unpack = struct.Struct(order + "IIII").unpack
    while head := _exactly(stream, 16):
        if len(head) < 16:
            _cut(tally)
            return
        seconds, fraction, kept, length = unpack(head)
        if kept > LONGEST_PACKET:
            raise TrafficError(_damaged(tally, f"{kept} bytes of one packet"))
        data = stream.read(kept)
        if len(data) < kept:
            _cut(tally)
            return
        yield CapturedFrame(seconds + fraction * unit, link, data, max(0, length - check))


def _link_of(field: int) -> tuple[int, int]:
    """The link type and the bytes of the frame check sequence that each frame ends with."""
    return field & 0xFFFF, (field >> 28) * 2 if field & 0x0400_0000 else 0


class _Pcapng:
    """Blocks of pcapng (draft-ietf-opsawg-pcapng); kinds without packets are passed over."""

    def __init__(self, stream: IO[bytes], tally: RowCount) -> None:
        self._stream = stream
        self._tally = tally
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._last: float | None = None

    def frames(self) -> Iterator[CapturedFrame]:
        kind, body = _SECTION, self._section()
        while body is not None:
            frame = None
            try:
                frame = self._frame(kind, body)
            except struct.error:
                raise TrafficError(
                    _damaged(self._tally, "a block too short for its kind")
                ) from None
            if frame is not None:
                yield frame
            head = _exactly(self._stream, 8)
            if len(head) < 8:
                if head:
                    _cut(self._tally)
                return
            if head[:4] == PCAPNG:
                kind, body = _SECTION, self._section(head[4:])
            else:
                kind, length = struct.unpack(self._order + "II", head)
                body = self._body(length - 8)

    def _section(self, length: bytes = b"") -> bytes | None:
        """Read a section header: it sets the byte order of what follows and resets interfaces."""
        head = length + _exactly(self._stream, 8 - len(length))
        if len(head) < 8:
            _cut(self._tally)
            return None
        if head[4:] == b"\x4d\x3c\x2b\x1a":
            self._order = "<"
        elif head[4:] == b"\x1a\x2b\x3c\x4d":
            self._order = ">"
        else:
            raise TrafficError(_damaged(self._tally, "a section without its byte order"))
        self._interfaces = []
        return self._body(struct.unpack(self._order + "I", head[:4])[0] - 12)

    def _body(self, length: int) -> bytes | None:
        """The rest of a block of ``length`` bytes; its end repeats the length."""
        if length < 4 or length > LONGEST_BLOCK:
            raise TrafficError(_damaged(self._tally, f"a block of {length + 8} bytes"))
        length += -length % 4
        body = self._stream.read(length)
        if len(body) < length:
            _cut(self._tally)
            return None
        return body[:-4]

    def _frame(self, kind: int, body: bytes) -> CapturedFrame | None:
        """Raises struct.error for a block that is too short for its kind."""
        order = self._order
        if kind == _PACKET:
            which, high, low, kept, length = struct.unpack_from(order + "IIIII", body)
            return self._timed(which, high << 32 | low, body[20 : 20 + kept], kept, length)
        if kind == _OLD_PACKET:
            which, _, high, low, kept, length = struct.unpack_from(order + "HHIIII", body)
            return self._timed(which, high << 32 | low, body[20 : 20 + kept], kept, length)
        if kind == _SIMPLE:
            (length,) = struct.unpack_from(order + "I", body)
            return CapturedFrame(self._last, self._interface(0).link, body[4 : 4 + length], length)
        if kind == _INTERFACE:
            self._interfaces.append(self._described(body))
        return None

    def _timed(self, which: int, stamp: int, data: bytes, kept: int, length: int) -> CapturedFrame:
        if len(data) < kept:
            raise struct.error
        interface = self._interface(which)
        self._last = stamp / interface.units + interface.offset
        return CapturedFrame(self._last, interface.link, data, length)

    def _interface(self, which: int) -> _Interface:
        if which >= len(self._interfaces):
            raise TrafficError(_damaged(self._tally, f"a packet of the unknown interface {which}"))
        return self._interfaces[which]

    def _described(self, body: bytes) -> _Interface:
        link, _, _ = struct.unpack_from(self._order + "HHI", body)
        units, offset, at = 1e6, 0, 8
        while at + 4 <= len(body):
            option, length = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            if option == 0:
                break
            if option == _RESOLUTION and value:
                power = value[0] & 0x7F
                units = float((2 if value[0] & 0x80 else 10) ** power)
            elif option == _OFFSET and len(value) == 8:
                (offset,) = struct.unpack(self._order + "q", value)
            at += 4 + length + -length % 4
        return _Interface(link, units, offset)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    return stream.read(size)


def _cut(tally: RowCount) -> None:
    """The capture ends in the middle of a packet; earlier packets are valid."""
    tally.packets = (tally.packets or 0) + 1
    tally.rows += 1
    tally.note(tally.packets, "the capture ends in the middle of this packet")


def _damaged(tally: RowCount, what: str) -> str:
    return (
        f"{tally.name}: the capture is damaged after packet {tally.packets or 0}: {what}; "
        "what comes after cannot be found"
    )
