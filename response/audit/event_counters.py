"""Events that come in floods, counted and written down once in a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from topology.records import Binding, SpoofedPacket

MAX_KINDS = 1_000
"""Different spoofs told apart between two entries; the rest are only counted."""

MAX_LISTED = 20

MAX_HOSTS = 500
"""Undeclared hosts named in one entry; the rest are only counted."""

EventKind = Literal["lost", "host", "spoof"]


class EventCounters:
    """What happened since the last entry: lost records, undeclared hosts and spoofed packets."""

    def __init__(self, now: float) -> None:
        self.lost = 0
        self._spoofs: Counter[tuple[int, int, str, str, str]] = Counter()
        self._others = 0
        self._hosts: list[dict[str, Any]] = []
        self._host_events = 0
        self._since = now

    def add_spoofs(self, spoofs: Iterable[SpoofedPacket]) -> None:
        for seen in spoofs:
            key = (seen.switch, seen.port, seen.mac, seen.ip or "", seen.reason)
            if key in self._spoofs or len(self._spoofs) < MAX_KINDS:
                self._spoofs[key] += 1
            else:
                self._others += 1

    def add_host(self, ts: float, what: str, place: Binding) -> None:
        """An undeclared host was ``found``, has ``moved`` to a place, or is ``gone`` from it."""
        self._host_events += 1
        if len(self._hosts) < MAX_HOSTS:
            where = {"mac": place.mac, "ip": place.ip, "switch": place.switch, "port": place.port}
            self._hosts.append({"ts": ts, "what": what, **where})

    def due(self, now: float, every: float) -> bool:
        """Whether something was counted, and ``every`` seconds have passed since `take`."""
        return bool(self.lost or self._spoofs or self._hosts) and now - self._since >= every

    def take(self, now: float) -> list[tuple[EventKind, dict[str, Any]]]:
        """What to write down, most frequent first; counting starts anew."""
        entries: list[tuple[EventKind, dict[str, Any]]] = []
        if self.lost:
            entries.append(("lost", {"records": self.lost, "since": self._since}))
        if self._hosts:
            entries.append(("host", {"count": self._host_events, "events": self._hosts}))
        if self._spoofs:
            listed = [
                dict(zip(("switch", "port", "mac", "ip", "reason"), key, strict=True), count=count)
                for key, count in self._spoofs.most_common(MAX_LISTED)
            ]
            total = self._spoofs.total() + self._others
            entries.append(("spoof", {"packets": total, "since": self._since, "most": listed}))
        self.lost, self._others, self._since = 0, 0, now
        self._spoofs.clear()
        self._hosts, self._host_events = [], 0
        return entries
