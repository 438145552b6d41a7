"""Fragments: how a switch reads them, and what must become of those that nobody can judge.

A packet's first fragment says the service and is judged as the packet would be.
Later ones wait for it and go the same way (`policies.compiler.stateful.fragments` has why).
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.model import ICMP, ICMPV6
from policies.rules.layout import Reason
from policies.verify.expected import ExpectedPassage
from policies.verify.machine import FULL_TABLE
from policies.verify.packets import IP, IPV6, NEW, PORT_NAMES

FIRST, LATER = 0x1, 0x3  # what ``ip_frag`` is in a packet's fragments
UNTOLD = 44  # what Open vSwitch takes a later IPv6 fragment's protocol for


def fragment_of(packet: Mapping[str, int], later: bool) -> dict[str, int]:
    """A fragment of a packet, as a switch reads it: a later one has no header of its protocol."""
    if not later:
        return {**packet, "ip_frag": FIRST}
    piece = {**packet, "ip_frag": LATER}
    own = ("tcp_", "udp_", "sctp_", "icmp_", "icmpv6_")
    for name in [each for each in piece if each.startswith(own)]:
        if packet["eth_type"] == IP:
            piece[name] = 0
        else:
            del piece[name]
    if packet["eth_type"] == IPV6:
        piece["ip_proto"] = UNTOLD
    return piece


def is_fragment(packet: Mapping[str, int]) -> bool:
    return packet.get("ip_frag", 0) != 0


def is_later(packet: Mapping[str, int]) -> bool:
    """Whether it is a fragment that does not say its service."""
    return packet.get("ip_frag", 0) == LATER


def hides_its_port(packet: Mapping[str, int]) -> bool:
    """Whether IPv6 extension headers push the port out of a first fragment."""
    name = PORT_NAMES.get(packet["ip_proto"])
    first = packet["eth_type"] == IPV6 and packet.get("ip_frag", 0) == FIRST
    return first and name is not None and packet[f"{name}_dst"] == 0


def spoils_the_others(packet: Mapping[str, int]) -> bool:
    """Whether a denied packet lets go what waits for it: it is a fragment that has a port or
    type, of which some are impossible."""
    query = ICMP if packet["eth_type"] == IP else ICMPV6
    return is_fragment(packet) and packet["ip_proto"] in (*PORT_NAMES, query)


def carried(ct_state: int, leads: frozenset[int]) -> ExpectedPassage:
    """What must become of a later fragment whose packet ``leads`` there: it waits for the first
    one, which is judged, and then goes the same way."""
    if not ct_state & NEW:
        return ExpectedPassage(leads, waits=True)
    if ct_state & FULL_TABLE:
        return ExpectedPassage(copies=(Reason.FULL,), commit=0, waits=True)
    return ExpectedPassage(leads, commit=0, waits=True)
