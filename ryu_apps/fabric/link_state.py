"""Which links there are: signed frames that arrived fresh, in both directions, and when.

A frame counts once, and only for a moment after it was sent, so that nothing is gained by sending
it again. A port is a trunk only while such frames come and go there, and never where a host is
known: a host that passes on such a frame must not turn its port into one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ryu_apps.openflow.discovery_frames import DiscoveryFrame
from topology.fabric import Cable, Fabric, cable_of, reversed_link
from topology.hosts import HostTable, Place
from topology.records import Binding, Link

FRESH = 1.0  # seconds that a frame may take, the controller's own delay included
PAIRED = 4.0  # seconds from one direction's frame to the other's
REPEATED = 5.0  # seconds after which a frame that is not fresh was sent again by somebody
MOST_OUTSTANDING = 200_000  # frames on their way: one of each port there can be, and more
MOST_REPORTED = 10_000  # pairs of ports whose problem is reported; those beyond are counted
LINK_TIMEOUT = 10.0  # seconds without a frame, three of which should have come


@dataclass(frozen=True, slots=True)
class LinkFrameResult:
    """What a signed frame means: another ``fabric``, or a ``problem`` (reported once per pair of
    ports).

    ``stale``: it was not sent a moment ago, or it has arrived before. ``accused`` is why the frame
    must come from a host, which is on the port ``culprit``. ``in_doubt`` are the discovered hosts
    that may have left; ``ask_back``: the other direction is still to be heard.
    """

    fabric: Fabric | None = None
    problem: str = ""
    forged: bool = False
    stale: bool = False
    accused: str = ""
    culprit: Place = (0, 0)
    in_doubt: tuple[Binding, ...] = ()
    ask_back: bool = False


@dataclass(slots=True)
class LinkWatch:
    """When each direction of a link was last ``heard``, in seconds, and how fast at best
    (``latency``); ``pinned`` are the only cables there can be, if any are named. ``outstanding``
    are the nonces of frames on their way, and ``reported`` the pairs of ports whose problem has
    been."""

    pinned: frozenset[Cable] = frozenset()
    outstanding: dict[bytes, float] = field(default_factory=dict)
    heard: dict[Link, float] = field(default_factory=dict)
    latency: dict[Link, float] = field(default_factory=dict)
    reported: set[tuple[Place, Place]] = field(default_factory=set)

    def leaves(self, frame: DiscoveryFrame, now: float) -> None:
        """Note a frame that is about to be sent."""
        while self.outstanding:
            oldest = next(iter(self.outstanding))
            late = now - self.outstanding[oldest] > FRESH
            if not late and len(self.outstanding) < MOST_OUTSTANDING:
                break  # the others were sent later
            del self.outstanding[oldest]
        self.outstanding[frame.nonce] = now

    def received(
        self, fabric: Fabric, hosts: HostTable, frame: DiscoveryFrame, here: Place, now: float
    ) -> LinkFrameResult:
        """A frame that we signed arrived at ``here``."""
        sender = (frame.switch, frame.port)
        left = self.outstanding.pop(frame.nonce, None)
        if left is None or now - left > FRESH:
            if now - frame.sent <= REPEATED:
                return LinkFrameResult(stale=True)
            what = f"repeats old link discovery frames of switch {sender[0]} port {sender[1]}"
            return LinkFrameResult(stale=True, accused=what, culprit=here)
        if sender == here:
            return LinkFrameResult(forged=True)  # our own frame, sent back
        if sender[0] == here[0]:
            text = f"switch {here[0]}: ports {sender[1]} and {here[1]} are cabled to each other"
            return self._once(sender, here, text + "; nothing is sent over it")
        link = Link(*sender, *here)
        refused = self._refused(fabric, hosts, link)
        if refused is not None:
            return refused
        self.heard[link] = now
        self.latency[link] = min(now - left, self.latency.get(link, FRESH))
        back = reversed_link(link)
        if now - self.heard.get(back, now - 2 * PAIRED) > PAIRED:
            return LinkFrameResult(ask_back=link not in fabric.links)
        after = fabric.with_link(link).with_link(back)
        return LinkFrameResult(None if after == fabric else after)

    def _refused(self, fabric: Fabric, hosts: HostTable, link: Link) -> LinkFrameResult | None:
        """Why a link cannot be, or None."""
        sender, here = (link.switch, link.port), (link.peer_switch, link.peer_port)
        ends = f"switch {here[0]} port {here[1]} and switch {sender[0]} port {sender[1]}"
        pinned = cable_of(link) in self.pinned
        if self.pinned and not pinned:
            text = f"{ends} seem cabled, but the switches file names no such cable"
            return self._once(sender, here, text)
        for place in (here, sender):
            found = () if pinned else hosts.found_on(place)
            name = hosts.owner_of(place) or next((each.mac for each in found), None)
            if name is None:
                continue
            text = (
                f"switch {here[0]} port {here[1]} repeats link discovery of switch "
                f"{sender[0]} port {sender[1]}, but host {name} is on switch {place[0]} "
                f"port {place[1]}: not taken for a link"
            )
            return self._once(sender, here, text, forged=True, culprit=place, in_doubt=found)
        for known in sorted(fabric.links, key=cable_of):
            near, far = (known.switch, known.port), (known.peer_switch, known.peer_port)
            if {near, far} & {sender, here} and cable_of(known) != cable_of(link):
                text = f"{ends} seem cabled, but the link of switch {near[0]} port {near[1]} to "
                text += f"switch {far[0]} port {far[1]} is there still"
                return self._once(sender, here, text)
        return None

    def _once(
        self,
        sender: Place,
        here: Place,
        text: str,
        forged: bool = False,
        culprit: Place = (0, 0),
        in_doubt: tuple[Binding, ...] = (),
    ) -> LinkFrameResult:
        accused = (
            f"repeats link discovery frames from {sender[0]}:{sender[1]} to {here[0]}:{here[1]}"
        )
        said = (sender, here) in self.reported or len(self.reported) >= MOST_REPORTED
        if not said:
            self.reported.add((sender, here))
        return LinkFrameResult(
            problem="" if said else text,
            forged=forged,
            accused=accused if forged else "",
            culprit=culprit,
            in_doubt=in_doubt,
        )

    def overdue(self, fabric: Fabric, connected: Collection[int], now: float) -> list[Link]:
        """Links of which a direction was not heard for too long although both their switches are
        connected.

        What a switch without its controller forwards is not known: its links stay.
        """
        heard = {k: at for k, at in self.heard.items() if now - at <= PAIRED}
        silent = []
        for link in fabric.links:
            if link.switch in connected and link.peer_switch in connected:
                since = heard[link] = self.heard.get(link, now)
                if now - since > LINK_TIMEOUT:
                    silent.append(link)
        self.heard = heard
        self.latency = {k: at for k, at in self.latency.items() if k in heard}
        return silent
