"""Flow records and the other values that pass between rooms.

Addresses are text in canonical form (``str(ipaddress.ip_address(x))``), MACs
are lower-case ``aa:bb:cc:dd:ee:ff``, datapath ids and ports are integers, times
are seconds since the epoch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Struct

State = Literal["established", "rejected", "unanswered", "denied"]
Phase = Literal["whole", "start", "end"]
# ``observed``: policy denies it, but its mode only watches.
VerdictWord = Literal["allow", "observed", "would-deny", "deny"]
DeciderKind = Literal["intent", "default", "decision", "feed", "spoof"]

_NUMBERED = frozenset({"tcp", "udp", "sctp", "icmp", "icmpv6"})


class FlowRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """One connection, or an update of one, with its two directions kept apart.

    ``phase`` is the part of the connection that the record covers: ``start`` is its first packet
    (no counters yet), ``end`` repeats the same tuple and ``ts`` with final counters, ``whole`` is a
    recorded connection complete in itself. For ICMP ``src_port`` is the type and ``dst_port`` the
    code. Where the adaptive tier gave the verdict, ``decision`` is the machine decision's id or
    ``feed`` the threat feed's name; ``intent`` None beside a verdict is the default then.
    ``exporter`` is the address whose flow export, which nothing authenticates, is all that is known
    of the connection; None for what our switches copied and for recordings.
    """

    ts: float
    src_ip: str
    dst_ip: str
    proto: str
    src_port: int = 0
    dst_port: int = 0
    duration: float = 0.0
    packets_out: int | None = None
    bytes_out: int | None = None
    packets_in: int | None = None
    bytes_in: int | None = None
    packets: int | None = None
    bytes: int | None = None
    state: State | None = None
    phase: Phase = "whole"
    verdict: VerdictWord | None = None
    intent: str | None = None
    switch: int | None = None
    in_port: int | None = None
    src_mac: str | None = None
    dst_mac: str | None = None
    decision: str | None = None
    feed: str | None = None
    exporter: str | None = None

    def known(self) -> dict[str, Any]:
        """The fields that are not None, by name."""
        fields = msgspec.structs.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def decided_by(self) -> tuple[DeciderKind, str] | None:
        """What the verdict rests on: kind and name (empty for the default); None without one."""
        if self.verdict is None:
            return None
        if self.decision is not None:
            return "decision", self.decision
        if self.feed is not None:
            return "feed", self.feed
        return ("default", "") if self.intent is None else ("intent", self.intent)

    @property
    def service(self) -> str:
        """What the responder offers: ``tcp/22``, ``icmp/8``, or a bare protocol."""
        if self.proto in ("icmp", "icmpv6"):
            return _service(self.proto, self.src_port)
        return _service(self.proto, self.dst_port)


@lru_cache(1 << 16)
def _service(proto: str, number: int) -> str:
    """Intern a service's name: there are few, and each text keeps its hash."""
    return f"{proto}/{number}" if proto in _NUMBERED else proto


class Binding(Struct, frozen=True, gc=False):
    """An address that may be used on one port only.

    ``host`` is the declared name, or None for a host found by discovery.
    """

    mac: str
    ip: str
    switch: int
    port: int
    host: str | None = None

    @property
    def declared(self) -> bool:
        return self.host is not None


class Link(Struct, frozen=True, gc=False):
    """One direction of a cable between two switches."""

    switch: int
    port: int
    peer_switch: int
    peer_port: int


class SpoofedPacket(Struct, frozen=True, gc=False):
    """A packet whose source address is not bound to its ingress port."""

    ts: float
    switch: int
    port: int
    mac: str
    ip: str | None
    reason: str


class DroppedSource(Struct, frozen=True, gc=False):
    """What one sender had dropped at a port since its source address is not bound there, summed
    up; ``ts`` is the latest."""

    ts: float
    switch: int
    port: int
    mac: str
    ip: str | None
    reason: str
    packets: int
