"""Packets that were dropped because of their source, summed up by port and sender."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from msgspec.structs import replace

from topology.records import DroppedSource, SpoofedPacket

MOST = 1_000  # senders; the one that was silent longest is forgotten first


@dataclass(slots=True)
class DroppedSources:
    """The senders since the start, by switch, port, MAC and address."""

    _by_sender: OrderedDict[tuple[int, int, str, str | None], DroppedSource] = field(
        default_factory=OrderedDict
    )

    def add(self, seen: SpoofedPacket) -> None:
        key = (seen.switch, seen.port, seen.mac, seen.ip)
        known = self._by_sender.pop(key, None)
        if known is None:
            known = DroppedSource(seen.ts, *key, seen.reason, 0)
        self._by_sender[key] = replace(
            known, ts=seen.ts, reason=seen.reason, packets=known.packets + 1
        )
        if len(self._by_sender) > MOST:
            self._by_sender.popitem(last=False)

    def latest(self) -> tuple[DroppedSource, ...]:
        """All of them, the one seen last first."""
        return tuple(reversed(self._by_sender.values()))
