"""Which links there are: signed frames that arrived, and when each link's last one did.

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
class LinkFrameResult:
    """What a signed frame means: another fabric, or a ``problem`` (reported once per pair of
    ports)."""

    fabric: Fabric | None = None
    problem: str = ""
    forged: bool = False


@dataclass(slots=True)
class LinkWatch:
    """When each link's last frame arrived (``latest``, seconds), and the pairs of ports whose
    problem has been ``reported``."""

    latest: dict[Cable, float] = field(default_factory=dict)
    reported: set[tuple[Place, Place]] = field(default_factory=set)

    def received(
        self, fabric: Fabric, hosts: HostTable, sender: Place, here: Place, now: float
    ) -> LinkFrameResult:
        """A frame that ``sender`` signed arrived at ``here``."""
        if sender == here:
            return LinkFrameResult(forged=True)  # our own frame, sent back
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
        self.latest[cable_of(link)] = now
        after = fabric.with_link(link)
        return LinkFrameResult(None if after == fabric else after)

    def _once(self, sender: Place, here: Place, text: str, forged: bool = False) -> LinkFrameResult:
        if (sender, here) in self.reported:
            return LinkFrameResult(forged=forged)
        self.reported.add((sender, here))
        return LinkFrameResult(problem=text, forged=forged)

    def overdue(self, fabric: Fabric, connected: Collection[int], now: float) -> list[Link]:
        """Links without a frame for too long although both their switches are connected.

        What a switch without its controller forwards is not known: its links stay.
        """
        latest: dict[Cable, float] = {}
        silent = []
        for link in fabric.links:
            cable = cable_of(link)
            if link.switch in connected and link.peer_switch in connected:
                since = latest[cable] = self.latest.get(cable, now)
                if now - since > LINK_TIMEOUT:
                    silent.append(link)
        self.latest = latest
        return silent
