"""A port that keeps sending spoofed packets: an alert about the port, for no address is its own.

The usual ARP spoofer repeats its answers every second or two; a flood invents a source for each
packet. A host that moves, or has a wrong address for a moment, is over after a few packets.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from detection.alert import Alert, Contribution
from topology.records import SpoofedPacket

WINDOW = 60.0  # seconds that are looked at
SLOT = 10.0  # seconds; a port is at it when it spoofed in `SLOTS` of those in the window
SLOTS = 3
FEWEST = 6  # spoofed packets in the window
FLOOD = 1_000  # spoofed packets in the window that need no slots
AGAIN = 900.0  # seconds until a port that goes on is an alert again
MAX_PORTS, MAX_SOURCES = 10_000, 1_000
KIND, ATTACK, MODEL = "spoofing", "T1557", "port-spoofing 1"  # T1557: adversary in the middle


@dataclass(slots=True)
class _Port:
    """Spoofed packets of one port, by the start of their slot, with their sources."""

    slots: deque[tuple[float, int]] = field(default_factory=deque)
    sources: set[tuple[str, str | None]] = field(default_factory=set)
    reported: float | None = None

    def add(self, seen: SpoofedPacket) -> None:
        start = seen.ts - seen.ts % SLOT
        count = self.slots.pop()[1] if self.slots and self.slots[-1][0] == start else 0
        self.slots.append((start, count + 1))
        while self.slots[0][0] <= seen.ts - WINDOW:
            self.slots.popleft()
        if len(self.slots) == 1 and count == 0:
            self.sources.clear()
        if len(self.sources) < MAX_SOURCES:
            self.sources.add((seen.mac, seen.ip))

    @property
    def packets(self) -> int:
        return sum(count for _, count in self.slots)

    @property
    def sustained(self) -> bool:
        packets = self.packets
        return packets >= FLOOD or (packets >= FEWEST and len(self.slots) >= SLOTS)


@dataclass(slots=True)
class SpoofingPorts:
    """The ports that spoofed packets came from lately, the newest last."""

    _ports: dict[tuple[int, int], _Port] = field(default_factory=dict)

    def step(self, seen: SpoofedPacket) -> Alert | None:
        """Count one spoofed packet; the alert that it raises."""
        place = (seen.switch, seen.port)
        port = self._ports.pop(place, None) or _Port()
        self._ports[place] = port
        if len(self._ports) > MAX_PORTS:
            del self._ports[next(iter(self._ports))]
        port.add(seen)
        again = port.reported is None or seen.ts - port.reported >= AGAIN
        if not (again and port.sustained):
            return None
        port.reported = seen.ts
        packets, sources = float(port.packets), float(len(port.sources))
        features = (
            Contribution("spoofed_packets", packets, 0.0, FEWEST - 1.0, packets),
            Contribution("spoofed_sources", sources, 0.0, 1.0, 0.0),
        )
        return Alert(
            id=f"port-{seen.switch}-{seen.port}-{seen.ts:.0f}",
            ts=seen.ts,
            host=f"switch {seen.switch} port {seen.port}",
            kind=KIND,
            attack=ATTACK,
            score=1.0,
            threshold=1.0,
            raw=packets,
            features=features,
            path=(),
            records=(),
            model=MODEL,
        )
