"""Recorded packets, read from pcap files: what the attacker sent, and what of it arrived.

Only what these questions need is decoded: Ethernet, ARP, IPv4, IPv6, TCP and UDP.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_MAGIC = {  # first four bytes: byte order, parts of a second
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
TCP, UDP = 6, 17


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame; ``proto`` is ``arp``, ``tcp``, ``udp`` or an IP protocol number as text.

    ``payload`` counts the bytes of application data by the IP length, so it is
    right for truncated recordings too.
    """

    ts: float
    src_mac: str
    src: str
    dst: str
    proto: str
    sport: int = 0
    dport: int = 0
    payload: int = 0


def read_pcap(data: bytes) -> Iterator[RecordedFrame]:
    """The frames of a classic pcap file of Ethernet, in order; stops where the file is cut off.

    Raises `ValueError` if it is no such file. Frames of other kinds are passed over.
    """
    if len(data) < 24 or data[:4] not in _MAGIC:
        raise ValueError("not a pcap file")
    order, fraction = _MAGIC[data[:4]]
    if struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF != 1:
        raise ValueError("not a recording of Ethernet")
    at = 24
    while at + 16 <= len(data):
        seconds, part, kept, _ = struct.unpack_from(order + "IIII", data, at)
        at += 16
        if at + kept > len(data):
            return
        packet = parse_frame(data[at : at + kept], seconds + part * fraction)
        if packet is not None:
            yield packet
        at += kept


def parse_frame(frame: bytes, ts: float) -> RecordedFrame | None:
    """What an Ethernet frame says, or None if it is cut short or of another kind."""
    if len(frame) < 14:
        return None
    mac = frame[6:12].hex(":")
    kind = int.from_bytes(frame[12:14], "big")
    body = frame[14:]
    if kind == 0x0806 and len(body) >= 28:
        return RecordedFrame(
            ts, mac, str(IPv4Address(body[14:18])), str(IPv4Address(body[24:28])), "arp"
        )
    if kind == 0x0800 and len(body) >= 20:
        head = (body[0] & 15) * 4
        size = int.from_bytes(body[2:4], "big") - head
        src, dst = str(IPv4Address(body[12:16])), str(IPv4Address(body[16:20]))
        later_fragment = int.from_bytes(body[6:8], "big") & 0x1FFF
        return _transport(ts, mac, src, dst, body[9], b"" if later_fragment else body[head:], size)
    if kind == 0x86DD and len(body) >= 40:
        size = int.from_bytes(body[4:6], "big")
        src, dst = str(IPv6Address(body[8:24])), str(IPv6Address(body[24:40]))
        return _transport(ts, mac, src, dst, body[6], body[40:], size)
    return None


def _transport(
    ts: float, mac: str, src: str, dst: str, number: int, segment: bytes, size: int
) -> RecordedFrame:
    if number == TCP and len(segment) >= 14:
        sport, dport = struct.unpack_from("!HH", segment)
        data = max(0, size - (segment[12] >> 4) * 4)
        return RecordedFrame(ts, mac, src, dst, "tcp", sport, dport, data)
    if number == UDP and len(segment) >= 8:
        sport, dport = struct.unpack_from("!HH", segment)
        return RecordedFrame(ts, mac, src, dst, "udp", sport, dport, max(0, size - 8))
    return RecordedFrame(ts, mac, src, dst, str(number))


@dataclass(frozen=True, slots=True)
class Hostile:
    """What tells the attacker's packets from the benign traffic of the same machines.

    ``since`` is when the attack began. ``ports`` holds, for every address in
    the attacker's hands, the TCP ports that only the attacker asks for there;
    anything they send to ``unused`` addresses (ARP included) is hostile too.
    """

    since: float
    ports: Mapping[str, frozenset[int]]
    unused: frozenset[str] = frozenset()

    def sent(self, packet: RecordedFrame) -> bool:
        if packet.ts < self.since or packet.src not in self.ports:
            return False
        asked = packet.proto == "tcp" and packet.dport in self.ports[packet.src]
        return asked or packet.dst in self.unused

    def answered(self, packet: RecordedFrame) -> bool:
        if packet.ts < self.since or packet.dst not in self.ports:
            return False
        return packet.proto == "tcp" and packet.sport in self.ports[packet.dst]


def hostile_sent(hostile: Hostile, own: Iterable[RecordedFrame]) -> list[RecordedFrame]:
    """The hostile packets in recordings made where they are sent, by time."""
    return sorted((p for p in own if hostile.sent(p)), key=lambda packet: packet.ts)


def hostile_arrived(
    hostile: Hostile, recordings: Mapping[str, Iterable[RecordedFrame]]
) -> list[tuple[str, RecordedFrame]]:
    """The hostile packets that other hosts received, with the receiver's name, by time.

    ``recordings`` holds what each host saw, by its name. Broadcasts (ARP
    requests) arrive everywhere and say nothing about who was reached: left out.
    """
    found = [
        (name, packet)
        for name, packets in recordings.items()
        for packet in packets
        if packet.proto != "arp" and hostile.sent(packet)
    ]
    return sorted(found, key=lambda entry: entry[1].ts)


def reached(
    hostile: Hostile, recordings: Mapping[str, Iterable[RecordedFrame]]
) -> dict[str, float]:
    """The hosts that exchanged application payload with the attacker, and since when.

    A host counts from the moment when payload has gone both ways on hostile
    connections, as seen at that host.
    """
    since: dict[str, float] = {}
    for name, packets in recordings.items():
        heard: dict[tuple[str, int], float] = {}
        spoke: dict[tuple[str, int], float] = {}
        for packet in packets:
            if packet.payload and hostile.sent(packet):
                heard.setdefault((packet.src, packet.sport), packet.ts)
            elif packet.payload and hostile.answered(packet):
                spoke.setdefault((packet.dst, packet.dport), packet.ts)
        both = [max(heard[peer], spoke[peer]) for peer in heard.keys() & spoke.keys()]
        if both:
            since[name] = min(both)
    return since
