"""By which ports a switch must let packets go: to a host, or along the tree to everybody.

Nothing here reads a rule, and nothing here asks whether a packet may go at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.compiler import SwitchView
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.packets import MULTICAST, is_group, leaving


class Forwarding:
    """The ways out of one switch, with the hosts of the moment; ways are as `leaving` has them."""

    def __init__(self, places: AttachmentPoints, view: SwitchView) -> None:
        self._places, self._view = places, view
        self.edges = frozenset(view.ports) - view.trunks
        self._floods: dict[tuple[int, frozenset[int] | None], frozenset[int]] = {}
        # What goes to everybody leaves a tagged port for each VLAN once more.
        self._again = frozenset(
            (port, leaving(port, tag))
            for (switch, port, _), tag in places.tags.items()
            if switch == view.switch and port in self.edges
        )

    def leads(self, packet: Mapping[str, int]) -> frozenset[int]:
        """The ports that an ordinary packet leaves by if nothing stops it."""
        port, target = packet["in_port"], packet["eth_dst"]
        if not target & MULTICAST:
            return self.sent_to(target, port)
        return self.flooded(port) if is_group(packet) else frozenset()

    def way(self, place: tuple[int, int] | None) -> int | None:
        """The port of this switch that leads to a place."""
        if place is None:
            return None
        switch, port = place
        return port if switch == self._view.switch else self._view.next_ports.get(switch)

    def sent_to(self, mac: int, port: int) -> frozenset[int]:
        """Where a frame to a MAC that comes in on a port leaves, if anywhere."""
        place = self._places.macs.get(mac)
        return self._sent(place, self._places.tags.get((*(place or (0, 0)), mac), 0), port)

    def sent_to_owner(self, number: int, port: int) -> frozenset[int]:
        """The same for what goes to the owner of an address, whatever the frame says."""
        return self._sent(self._places.numbers.get(number), self._places.tag_of(number), port)

    def _sent(self, place: tuple[int, int] | None, tag: int, port: int) -> frozenset[int]:
        """The way to a place, with the tag of its host if it is on this switch."""
        way = self.way(place)
        if place is None or way is None or way == port:
            return frozenset()
        return frozenset((leaving(way, tag if place[0] == self._view.switch else 0),))

    def in_tree(self, port: int) -> bool:
        """Whether what comes in on the port may go to everybody."""
        return port in self.edges or port in self._tree()

    def flooded(self, port: int, only: frozenset[int] | None = None) -> frozenset[int]:
        """From a port along the tree of switches to every edge port, or to some, never back."""
        if not self.in_tree(port):
            return frozenset()
        known = self._floods.get((port, only))
        if known is None:
            known = (self._tree() | (self.edges if only is None else only)) - {port}
            if only is None:
                known |= {out for where, out in self._again if where != port}
            self._floods[port, only] = known
        return known

    def _tree(self) -> frozenset[int]:
        return self._view.trunks if self._view.tree is None else self._view.tree
