"""Assembly of packets to connections, both directions together, in bounded memory.

A connection ends when it is closed, or after a time without packets; the timeouts are Zeek's. A
long one is split into records of half an hour. Records are returned in the order in which
connections began, which hop paths depend on.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache

from topology.addresses import address_text, looks_like_group
from topology.initiator import looks_like_reply
from topology.readers.packets import (
    ACK,
    FIN,
    ICMP,
    ICMPV6,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    CapturedPacket,
    inner_of,
)
from topology.records import FlowRecord, State

TCP_IDLE = 300.0  # seconds
OTHER_IDLE = 60.0
LINGER = 5.0  # after a close, for what is still under way
LONGEST = 1800.0
SWEEP = 5.0
MAX_FLOWS = 100_000
MAX_WAITING = 100_000  # finished records that wait for an older connection
MAX_ENDED = 65_536
MAX_FRAGMENTED = 4_096

NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", SCTP: "sctp"}
NUMBERS = {2: "igmp", 47: "gre", 50: "esp", 51: "ah", 89: "ospf", 103: "pim", 112: "vrrp"}
_ANSWERS = {ICMP: {0: 8, 14: 13, 16: 15, 18: 17}, ICMPV6: {129: 128, 140: 139}}
_ASKS = {proto: frozenset(pairs.values()) for proto, pairs in _ANSWERS.items()}
_REFUSED = {ICMP: {2, 3, 9, 10, 13}, ICMPV6: {1, 4, 5, 6}}  # codes of "unreachable"

# Source, target, protocol (for ICMP with the request's type), and a port or identifier each.
Key = tuple[bytes, bytes, int, int, int]


class _Flow:
    """An open connection; ``src`` of its key is the initiator."""

    __slots__ = (
        "key", "start", "last", "out", "out_bytes", "back", "back_bytes", "kind", "code",
        "syn", "answered", "reset", "fins", "closed", "number", "macs", "unreachable", "midway",
    )  # fmt: skip

    def __init__(self, key: Key, now: float) -> None:
        self.key = key
        self.start = self.last = now
        self.out = self.out_bytes = self.back = self.back_bytes = 0
        self.kind, self.code = key[3], key[4]
        self.syn = self.answered = self.reset = self.closed = False
        self.fins = self.number = 0
        self.macs = (b"", b"")
        self.unreachable: State | None = None
        self.midway = False  # its beginning was not seen

    @property
    def idle(self) -> float:
        if self.closed:
            return LINGER
        return TCP_IDLE if self.key[2] == TCP else OTHER_IDLE


class Assembly:
    """Take packets in order and return the records of ended connections."""

    def __init__(self) -> None:
        self._flows: dict[Key, _Flow] = {}
        self._ended: OrderedDict[Key, None] = OrderedDict()
        self._fragmented: OrderedDict[tuple[bytes, bytes, int, int], CapturedPacket] = OrderedDict()
        self._waiting: list[tuple[float, int, FlowRecord]] = []
        self._finished = 0
        self._began: float | None = None
        self._now = self._swept = 0.0

    def take(self, ts: float, packet: CapturedPacket) -> Iterator[FlowRecord]:
        """Add a packet; return the records that it and the passed time complete."""
        if self._began is None:
            self._began = self._swept = ts
        if ts > self._now:
            self._now = ts
        if packet.part is not None:
            whole = self._fragment(packet)
            if whole is None:
                return iter(())
            packet = whole
        if packet.inner and self._failed(packet):
            return iter(())
        key, forward = self._oriented(packet)
        flow = self._flows.get(key)
        if flow is not None and self._is_over(flow, packet, forward):
            self._end(flow)
            key, forward = self._oriented(packet)
            flow = None
        if flow is None:
            flow = self._flows[key] = self._begin(key, packet, forward)
        _count(flow, packet, forward, self._now)
        if self._now - self._swept >= SWEEP or len(self._flows) > MAX_FLOWS:
            return self._sweep()
        return iter(())

    def rest(self) -> Iterator[FlowRecord]:
        """Return all remaining records at the end of the capture."""
        for flow in list(self._flows.values()):
            self._end(flow)
        while self._waiting:
            yield heapq.heappop(self._waiting)[2]

    # Which connection

    def _fragment(self, packet: CapturedPacket) -> CapturedPacket | None:
        """A later fragment with the ports of its first one, if that was seen."""
        assert packet.part is not None
        which = (packet.src, packet.dst, packet.proto, packet.part)
        if not packet.later:
            self._fragmented[which] = packet
            if len(self._fragmented) > MAX_FRAGMENTED:
                self._fragmented.popitem(last=False)
            return packet
        first = self._fragmented.get(which)
        if first is None:
            return None
        return first._replace(size=packet.size, flags=first.flags & ACK, inner=b"")

    def _oriented(self, packet: CapturedPacket) -> tuple[Key, bool]:
        """The connection of a packet, and whether the initiator sent it."""
        there, back, is_answer = _keys(packet)
        if is_answer:
            return back, False
        if there in self._flows:
            return there, True
        if back in self._flows:
            return back, False
        proto = packet.proto
        if proto == TCP and packet.flags & SYN:
            return (back, False) if packet.flags & ACK else (there, True)
        if back in self._ended:
            return back, False
        if there in self._ended or proto not in (TCP, UDP, SCTP):
            return there, True
        if proto == UDP and self._now - (self._began or 0.0) > OTHER_IDLE:
            return there, True  # its beginning is here, whatever the ports look like
        reply = looks_like_reply(packet.src_port, packet.dst_port)
        return (back, False) if reply else (there, True)

    def _failed(self, packet: CapturedPacket) -> bool:
        """Note an ICMP error on the connection it refers to, if known."""
        about = inner_of(packet.proto, packet.inner)
        if about is None:
            return False
        src, dst, proto, one, other = about
        kinds = [proto]
        if proto in _ASKS:
            kinds = [proto << 16 | kind for kind in _ASKS[proto]]
        for kind in kinds:
            flow = self._flows.get((src, dst, kind, one, other))
            if flow is not None:
                unreachable = packet.src_port == (3 if packet.proto == ICMP else 1)
                refused = unreachable and packet.dst_port in _REFUSED[packet.proto]
                flow.unreachable = "rejected" if refused else "unanswered"
                return True
            if (dst, src, kind, other, one) in self._flows:
                return True  # about an answer; the connection itself is well
        return False

    # Its life

    def _is_over(self, flow: _Flow, packet: CapturedPacket, forward: bool) -> bool:
        """Whether the packet begins another connection with the same ports."""
        if self._now - flow.last > flow.idle or self._now - flow.start > LONGEST:
            return True
        if packet.proto != TCP or packet.flags & (SYN | ACK) != SYN:
            return False
        if flow.closed:
            return True
        return forward and flow.answered and packet.number != flow.number

    def _begin(self, key: Key, packet: CapturedPacket, forward: bool) -> _Flow:
        flow = _Flow(key, self._now)
        flow.macs = (packet.src_mac, packet.dst_mac)
        if not forward:
            flow.macs = flow.macs[::-1]
        flow.midway = not forward
        if packet.proto == TCP:
            flow.midway = not packet.flags & SYN
            flow.number = packet.number
        elif packet.proto in _ASKS:
            flow.kind, flow.code = packet.src_port, packet.dst_port
            if not forward:
                flow.kind = _ANSWERS[packet.proto][packet.src_port]
        return flow

    def _end(self, flow: _Flow) -> None:
        del self._flows[flow.key]
        if not flow.closed:
            self._ended[flow.key] = None
            if len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)
        self._finished += 1
        heapq.heappush(self._waiting, (flow.start, self._finished, _record(flow)))

    def _sweep(self) -> Iterator[FlowRecord]:
        self._swept = now = self._now
        for flow in list(self._flows.values()):
            if now - flow.last > flow.idle or now - flow.start > LONGEST:
                self._end(flow)
        if len(self._flows) > MAX_FLOWS:
            quiet = sorted(self._flows.values(), key=lambda flow: flow.last)
            for flow in quiet[: MAX_FLOWS // 10]:
                self._end(flow)
        oldest = min((flow.start for flow in self._flows.values()), default=now)
        waiting = self._waiting
        while waiting and (waiting[0][0] <= oldest or len(waiting) > MAX_WAITING):
            yield heapq.heappop(waiting)[2]


def _keys(packet: CapturedPacket) -> tuple[Key, Key, bool]:
    """The connection that the packet's sender began, the one that its target began, and
    whether the packet can only be an answer."""
    src, dst, proto = packet.src, packet.dst, packet.proto
    if proto not in _ASKS:
        one, other = packet.src_port, packet.dst_port
        return (src, dst, proto, one, other), (dst, src, proto, other, one), False
    kind, number = packet.src_port, packet.number
    asked = _ANSWERS[proto].get(kind)
    if asked is None and kind not in _ASKS[proto]:
        return (src, dst, proto, kind, packet.dst_port), (b"", b"", proto, 0, 0), False
    told = proto << 16 | (kind if asked is None else asked)
    return (src, dst, told, number, number), (dst, src, told, number, number), asked is not None


def _count(flow: _Flow, packet: CapturedPacket, forward: bool, now: float) -> None:
    flow.last = now
    if forward:
        flow.out += 1
        flow.out_bytes += packet.size
    else:
        flow.back += 1
        flow.back_bytes += packet.size
    if packet.proto != TCP:
        return
    flags = packet.flags
    if flags & RST:
        flow.closed = True
        if not forward and not flow.answered:
            flow.reset = True
        return
    if flags & SYN and forward:
        flow.syn = True
    if not forward:
        flow.answered = True
    if flags & FIN:
        flow.fins |= 1 if forward else 2
        if flow.fins == 3:
            flow.closed = True


def _record(flow: _Flow) -> FlowRecord:
    src, dst, told, one, other = flow.key
    proto = told >> 16 or told
    if proto in _ASKS:
        one, other = flow.kind, flow.code
    target = address_text(dst)
    one_mac, other_mac = flow.macs
    return FlowRecord(
        flow.start, address_text(src), target, _protocol(proto), one, other,
        flow.last - flow.start, flow.out, flow.out_bytes, flow.back, flow.back_bytes,
        state=_state(flow, proto, target),
        src_mac=_mac_text(one_mac), dst_mac=_mac_text(other_mac),
    )  # fmt: skip


def _state(flow: _Flow, proto: int, target: str) -> State | None:
    if proto == TCP:
        if flow.reset:
            return None if flow.midway else "rejected"
        if flow.answered and (flow.out or not flow.midway):
            return "established"
    elif flow.back:
        return "established"
    if flow.unreachable is not None:
        return flow.unreachable
    if flow.midway or looks_like_group(target):
        return None
    if proto in _ASKS and flow.kind not in _ASKS[proto] or proto not in NAMES:
        return None  # nobody has to answer
    return "unanswered"


@lru_cache(maxsize=65_536)
def _mac_text(packed: bytes) -> str | None:
    return packed.hex(":") if packed else None


def _protocol(number: int) -> str:
    return NAMES.get(number) or NUMBERS.get(number) or str(number)
