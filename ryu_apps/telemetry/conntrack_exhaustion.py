"""Full connection tables: switches that deny new connections because they can track no more.

Such a switch sends metered copies of what it denied. They are counted, and told
once, and once more when it has been over for a while.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Tell
from ryu_apps.openflow.ethernet import Frame

OVER_AFTER = 60.0  # seconds without another denied connection


@dataclass(slots=True)
class Crowd:
    """What one switch denied: packets of new connections of which copies came, in all (``total``)
    and since the table became full (``count``). ``full`` until it has been over for `OVER_AFTER`;
    ``latest`` in seconds since the epoch."""

    total: int = 0
    count: int = 0
    latest: float = 0.0
    full: bool = False


@dataclass(slots=True)
class Crowding:
    """All switches' tables."""

    crowds: dict[int, Crowd] = field(default_factory=dict)

    def denied(self, switch: int, port: int, frame: Frame, now: float) -> list[Effect]:
        """A switch had no room for the connection that ``frame`` begins."""
        crowd = self.crowds.setdefault(switch, Crowd())
        crowd.total += 1
        crowd.count += 1
        crowd.latest = now
        if crowd.full:
            return []
        crowd.full, crowd.count = True, 1
        ends = f"{frame.src_ip} (port {port}) to {frame.dst_ip}"
        text = (
            f"its connection table is full: new connections are denied, first {ends}, "
            f"{frame.proto}; look for who opens many (`septum flows`), or let it track more"
        )
        return _told(switch, "full", text, logging.ERROR, now)

    def over(self, now: float) -> list[Effect]:
        """Tell of switches that have had room for a while; call now and then."""
        effects: list[Effect] = []
        for switch, crowd in self.crowds.items():
            if crowd.full and now - crowd.latest > OVER_AFTER:
                crowd.full = False
                text = (
                    f"its connection table has room again; packets of denied connections that "
                    f"were seen: {crowd.count}"
                )
                effects += _told(switch, "room", text, logging.INFO, now)
        return effects


def _told(switch: int, what: str, text: str, level: int, now: float) -> list[Effect]:
    return [Log(level, f"switch {switch}: {text}"), Tell(SwitchChanged(now, switch, what, text))]
