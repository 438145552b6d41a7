"""Which cables there are: signed frames that arrived, and what became of them since.

A port is a trunk only while signed frames of another switch arrive there, and
never where a host is known: a host that repeats such a frame must not turn its
port into one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from topology.fabric import Cable, Fabric, cable_of
from topology.hosts import HostTable, Place
from topology.records import Link

LINK_TIMEOUT = 10.0  # seconds without a frame, three of which should have come


@dataclass(frozen=True, slots=True)
class Heard:
    """What a signed frame means: another fabric, or a ``problem`` (told once per pair of ports)."""

    fabric: Fabric | None = None
    problem: str = ""
    forged: bool = False


@dataclass(slots=True)
class LinkWatch:
    """When each cable was last heard of, and which switches are to be gone around."""

    silent_since: dict[Cable, float] = field(default_factory=dict)
    away: set[int] = field(default_factory=set)
    told: set[tuple[Place, Place]] = field(default_factory=set)

    def heard(
        self, fabric: Fabric, hosts: HostTable, sender: Place, here: Place, now: float
    ) -> Heard:
        """A frame that ``sender`` signed came in at ``here``."""
        if sender == here:
            return Heard(forged=True)  # our own frame, sent back
        if sender[0] == here[0]:
            text = f"switch {here[0]}: ports {sender[1]} and {here[1]} are cabled to each other"
            return self._once(sender, here, text + "; nothing is sent over it")
        for place in (here, sender):
            if (name := hosts.occupant(place)) is not None:
                text = (
                    f"switch {here[0]} port {here[1]} repeats link discovery of switch "
                    f"{sender[0]} port {sender[1]}, but host {name} is on switch {place[0]} "
                    f"port {place[1]}: not taken for a link"
                )
                return self._once(sender, here, text, forged=True)
        link = Link(*sender, *here)
        self.silent_since[cable_of(link)] = now
        after = fabric.with_link(link)
        return Heard(None if after == fabric else after)

    def _once(self, sender: Place, here: Place, text: str, forged: bool = False) -> Heard:
        if (sender, here) in self.told:
            return Heard(forged=forged)
        self.told.add((sender, here))
        return Heard(problem=text, forged=forged)

    def overdue(self, fabric: Fabric, connected: Collection[int], now: float) -> list[Link]:
        """Links that fell silent although both their switches are there to speak and hear.

        What a switch without its controller forwards cannot be told: its cables stay.
        """
        there: dict[Cable, float] = {}
        silent = []
        for link in fabric.links:
            cable = cable_of(link)
            if link.switch in connected and link.peer_switch in connected:
                since = there[cable] = self.silent_since.get(cable, now)
                if now - since > LINK_TIMEOUT:
                    silent.append(link)
        self.silent_since = there
        return silent

    def lost(self, switch: int) -> None:
        """A switch lost its controller: it may be forwarding or dead, so paths go around it."""
        self.away.add(switch)

    def back(self, switch: int) -> None:
        self.away.discard(switch)
