"""Who may send what from which port, from the policy and the hosts' places alone.

A host sends with its own addresses, a router also for those behind it; what a
server assigns or a router says comes from hosts that are declared to do so.
Nothing here reads a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.model import ADVERTISEMENTS, DHCP, Action, Infrastructure
from policies.semantics.prefix_sets import SIX
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.packets import (
    ADVERTISE,
    ARP,
    IP,
    IPV6,
    SpecialPacket,
    audience_of,
    neighbour_type,
)


class PortSenders:
    """The senders on one switch, with the hosts of the moment."""

    def __init__(
        self, places: AttachmentPoints, switch: int, infrastructure: Infrastructure
    ) -> None:
        self._places, self._switch, self._infra = places, switch, infrastructure

    def allows(self, what: SpecialPacket) -> bool:
        """Whether the policy's infrastructure lets such packets pass."""
        allowed = self._infra.nd if what.word == ADVERTISEMENTS else self._infra.dhcp
        return allowed is Action.ALLOW

    def admits(self, packet: Mapping[str, int]) -> bool:
        """Whether a host may send the packet: it is what it says, and so is what it serves."""
        if packet.get("vlan_vid", 0) != self._places.tags.get(self._sender(packet), 0):
            return False
        special = audience_of(packet)
        if special is None:
            return self.owns(packet)
        source, own = _source_of(packet), self._held(packet)
        if special.offers or not special.asks:
            return own is not None and source in own and self._serves(packet, special, source)
        if source & ~SIX == 0 and special.first == packet["eth_dst"]:
            return own is not None and self.allows(special)
        return self.owns(packet)

    def owns(self, packet: Mapping[str, int]) -> bool:
        """Whether the sender's addresses belong to the edge port the packet comes in on."""
        own = self._held(packet)
        if own is None:
            return False
        kind = packet["eth_type"]
        if kind == ARP:
            return self._admits_arp(packet, own)
        if kind not in (IP, IPV6):
            return False
        neighbour = neighbour_type(packet)
        if neighbour:
            return self._admits_neighbour(packet, neighbour, own)
        source = _source_of(packet)
        return source in own or self._places.forwards(*self._sender(packet), source)

    def _sender(self, packet: Mapping[str, int]) -> tuple[int, int, int]:
        return self._switch, packet["in_port"], packet["eth_src"]

    def _held(self, packet: Mapping[str, int]) -> set[int] | None:
        """The addresses of the MAC that sends, None for one that is not on this port."""
        return self._places.held.get((self._switch, packet["in_port"]), {}).get(packet["eth_src"])

    def _serves(self, packet: Mapping[str, int], what: SpecialPacket, source: int) -> bool:
        """Offers come from servers, advertisements from a router's link-local address."""
        if what.word not in self._places.serves.get(self._sender(packet), ()):
            return False
        link_local = (source & ~SIX) >> 118 == 0x3FA
        return self.allows(what) and (what.word == DHCP or link_local)

    def _admits_neighbour(self, packet: Mapping[str, int], neighbour: int, own: set[int]) -> bool:
        if self._infra.nd is not Action.ALLOW:
            return False
        sender = packet["eth_src"]
        target = packet["nd_target"] | SIX in own
        known = packet["ipv6_src"] | SIX in own
        if neighbour == ADVERTISE:
            return target and known and packet["nd_tll"] in (sender, 0)
        if packet["ipv6_src"] == 0:
            return target
        return known and packet["nd_sll"] in (sender, 0)

    def _admits_arp(self, packet: Mapping[str, int], own: set[int]) -> bool:
        if self._infra.arp is not Action.ALLOW or packet["arp_sha"] != packet["eth_src"]:
            return False
        if packet["arp_spa"] in own:
            return True
        return packet["arp_spa"] == 0 and packet["arp_op"] == 1 and packet["arp_tpa"] in own


def _source_of(packet: Mapping[str, int]) -> int:
    return packet["ip_src"] if packet["eth_type"] == IP else packet["ipv6_src"] | SIX
