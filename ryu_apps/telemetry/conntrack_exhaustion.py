"""Full connection tables: switches that deny new connections because they can track no more.

Such a switch sends metered copies of what it denied. They are counted, and reported
once, and once more when the table has had room for a while.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.openflow.ethernet import Frame
from topology.hosts import Place

MOST_SWITCHES = 4_096  # whose denials are kept apart
OVER_AFTER = 60.0  # seconds without another denied connection


@dataclass(slots=True)
class DeniedByFullTable:
    """What one switch denied: packets of new connections of which copies came, in all (``total``)
    and since the table became full (``count``). ``full`` until it has been over for `OVER_AFTER`;
    ``latest`` in seconds since the epoch."""

    total: int = 0
    count: int = 0
    latest: float = 0.0
    full: bool = False


@dataclass(slots=True)
class ConntrackExhaustion:
    """All switches' connection tables, by switch; ``earlier`` are denials of those forgotten."""

    denials: dict[int, DeniedByFullTable] = field(default_factory=dict)
    earlier: int = 0

    @property
    def total(self) -> int:
        """Packets of new connections of which copies came, of all switches since the start."""
        return self.earlier + sum(each.total for each in self.denials.values())

    def denied(self, place: Place, frame: Frame, now: float) -> list[Effect]:
        """A switch had no room for the connection that ``frame`` begins; ``place`` is the switch
        and the port that it came in on."""
        switch, port = place
        denials = self.denials.setdefault(switch, DeniedByFullTable())
        if len(self.denials) > MOST_SWITCHES:
            self.earlier += self.denials.pop(next(iter(self.denials))).total
        denials.total += 1
        denials.count += 1
        denials.latest = now
        if denials.full:
            return []
        denials.full, denials.count = True, 1
        ends = f"{frame.src_ip} (port {port}) to {frame.dst_ip}"
        text = (
            f"its connection table is full: new connections are denied, first {ends}, "
            f"{frame.proto}; look for who opens many (`septum flows`), or let it track more"
        )
        return _report(switch, "full", text, logging.ERROR, now)

    def over(self, now: float) -> list[Effect]:
        """Report switches whose tables have had room for a while; call now and then."""
        effects: list[Effect] = []
        for switch, denials in self.denials.items():
            if denials.full and now - denials.latest > OVER_AFTER:
                denials.full = False
                text = (
                    f"its connection table has room again; packets of denied connections that "
                    f"were seen: {denials.count}"
                )
                effects += _report(switch, "room", text, logging.INFO, now)
        return effects


def _report(switch: int, what: str, text: str, level: int, now: float) -> list[Effect]:
    return [Log(level, f"switch {switch}: {text}"), Report(SwitchChanged(now, switch, what, text))]
