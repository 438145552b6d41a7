"""From packet copies and ended counting rules to flow records.

TCP connections are followed by copies of the packets that open, answer and close them
(`ryu_apps.telemetry.tcp_tracker`), all others by the counting rules that the switch learned for
them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from msgspec.structs import replace

from policies.rules import layout
from policies.rules.layout import DecidedBits
from ryu_apps.openflow.decode import FlowRemoved, PacketIn
from ryu_apps.openflow.ethernet import NAMES, Frame
from ryu_apps.telemetry.adaptive_decider import AdaptiveDecider, bits
from ryu_apps.telemetry.tcp_tracker import MAX_OPEN, TcpTracker, Tuple
from topology.records import FlowRecord, State, VerdictWord

MAX_ENDING = 50_000  # ends that wait for the counters of their other direction
MAX_ENDED = 50_000  # connections whose stragglers are recognised
JOIN_WITHIN = 20.0  # seconds that one direction's counters wait for the other's
REASON_IDLE = 0

VERDICTS: Mapping[int, VerdictWord] = {
    DecidedBits.ALLOW: "allow",
    DecidedBits.WOULD_DENY: "would-deny",
    DecidedBits.OBSERVED: "observed",
    DecidedBits.DENY: "deny",
}


@dataclass(slots=True)
class _Half:
    """What is known of a connection's end so far."""

    since: float
    duration: float = 0.0
    out: tuple[int, int] | None = None
    back: tuple[int, int] | None = None
    record: FlowRecord | None = None


@dataclass(slots=True)
class FlowTracker:
    """Remembers connections that have begun, and joins the two directions of those that ended.

    ``forgotten`` beginnings and ends had to make room for others; ``stragglers`` are denied packets
    of connections that the switch has forgotten.
    """

    adaptive: AdaptiveDecider = AdaptiveDecider(tuple, tuple)
    begun: OrderedDict[Tuple, FlowRecord] = field(default_factory=OrderedDict)
    ending: dict[Tuple, _Half] = field(default_factory=dict)
    closed: OrderedDict[Tuple, None] = field(default_factory=OrderedDict)
    tcp_tracker: TcpTracker = field(default_factory=TcpTracker)
    forgotten: int = 0
    stragglers: int = 0

    def start(
        self, copy: PacketIn, frame: Frame, switch: int, names: Mapping[int, str], now: float
    ) -> FlowRecord | None:
        """The record of a connection's first packet.

        None when it is no IP packet, or a denied packet that opens nothing: what
        is left of a connection that the switch has forgotten must not look like
        an attempt.
        """
        if frame.src_ip is None or frame.dst_ip is None or frame.proto is None:
            return None
        if frame.proto == "tcp" and frame.opens and self.tcp_tracker.repeats(frame):
            return None
        verdict = VERDICTS.get(bits(copy.fields, layout.OUTCOME), "allow")
        if verdict != "allow" and (not frame.opens or self._answers(frame)):
            self.stragglers += 1
            return None
        decision, feed = self.adaptive.of(copy.fields)
        record = FlowRecord(
            ts=now,
            src_ip=frame.src_ip,
            dst_ip=frame.dst_ip,
            proto=frame.proto,
            src_port=frame.ports[0],
            dst_port=frame.ports[1],
            state="denied" if verdict == "deny" else None,
            phase="start",
            verdict=verdict,
            intent=names.get(bits(copy.fields, layout.INTENT)),
            switch=switch,
            in_port=copy.fields.get("in_port"),
            src_mac=frame.src_mac,
            dst_mac=frame.dst_mac,
            decision=decision,
            feed=feed,
        )
        if verdict != "deny" and frame.proto != "tcp":
            key = _key(record)
            self.begun[key] = record
            self.begun.move_to_end(key)
            if len(self.begun) > MAX_OPEN:
                self.begun.popitem(last=False)
                self.forgotten += 1
        return record

    def ended(
        self, removed: FlowRemoved, switch: int, names: Mapping[int, str], now: float
    ) -> FlowRecord | None:
        """Take one direction's final counters; the record when both are in."""
        ends = _ends(removed.fields)
        if ends is None:
            return None
        reply = bits(removed.fields, layout.REPLY) == 1
        src, dst, proto, src_port, dst_port = ends
        if reply:
            src, dst = dst, src
            if proto not in ("icmp", "icmpv6"):
                src_port, dst_port = dst_port, src_port
            else:
                src_port = {0: 8, 129: 128}.get(src_port, src_port)
        key = (src, dst, proto, src_port, dst_port)
        half = self.ending.setdefault(key, _Half(now))
        if len(self.ending) > MAX_ENDING:
            del self.ending[next(iter(self.ending))]
            self.forgotten += 1
        idle = removed.idle_timeout if removed.reason == REASON_IDLE else 0
        half.duration = max(half.duration, removed.duration - idle)
        counts = (removed.packets, removed.octets)
        if reply:
            half.back = counts
        else:
            half.out = counts
        if half.record is None:
            half.record = self.begun.pop(key, None) or FlowRecord(
                ts=now - removed.duration,
                src_ip=src,
                dst_ip=dst,
                proto=proto,
                src_port=src_port,
                dst_port=dst_port,
                verdict=VERDICTS.get(bits(removed.fields, layout.OUTCOME), "allow"),
                intent=names.get(bits(removed.fields, layout.INTENT)),
                switch=switch,
            )
        if half.out is None or half.back is None:
            return None
        return self._close(key)

    def _answers(self, frame: Frame) -> bool:
        """Whether a packet goes back along a connection that was here not long ago."""
        if frame.proto == "tcp":
            return self.tcp_tracker.answers(frame)
        back = (frame.dst_ip, frame.src_ip, frame.proto, frame.ports[1], frame.ports[0])
        return back in self.begun or back in self.ending or back in self.closed

    def _close(self, key: Tuple) -> FlowRecord:
        self.closed[key] = None
        if len(self.closed) > MAX_ENDED:
            self.closed.popitem(last=False)
        return _finished(self.ending.pop(key))

    def overdue(self, now: float) -> list[FlowRecord]:
        """Ends whose other direction never came: nobody answered."""
        late = [key for key, half in self.ending.items() if now - half.since > JOIN_WITHIN]
        return [*(self._close(key) for key in late), *self.tcp_tracker.overdue(now)]


def _key(record: FlowRecord) -> Tuple:
    return (record.src_ip, record.dst_ip, record.proto, record.src_port, record.dst_port)


def _ends(fields: Mapping[str, int]) -> Tuple | None:
    proto = NAMES.get(fields.get("ip_proto", 0), str(fields.get("ip_proto", 0)))
    if "ip_src" in fields and "ip_dst" in fields:
        src, dst = str(IPv4Address(fields["ip_src"])), str(IPv4Address(fields["ip_dst"]))
    elif "ipv6_src" in fields and "ipv6_dst" in fields:
        src, dst = str(IPv6Address(fields["ipv6_src"])), str(IPv6Address(fields["ipv6_dst"]))
    else:
        return None
    if proto in ("icmp", "icmpv6"):
        return src, dst, proto, fields.get(f"{proto}_type", 0), fields.get(f"{proto}_code", 0)
    return src, dst, proto, fields.get(f"{proto}_src", 0), fields.get(f"{proto}_dst", 0)


def _finished(half: _Half) -> FlowRecord:
    """The packet that makes the switch learn a counting rule is not counted by it, so each
    direction that was seen had one packet more; its bytes are not known.
    """
    assert half.record is not None
    out, back = (
        (0, 0) if seen is None else (seen[0] + 1, seen[1]) for seen in (half.out, half.back)
    )
    state: State = "established" if half.back is not None else "unanswered"
    return replace(
        half.record,
        phase="end",
        duration=max(0.0, half.duration),
        packets_out=out[0],
        bytes_out=out[1],
        packets_in=back[0],
        bytes_in=back[1],
        state=state,
    )
