"""Packets between everybody of a network, honest and not, drawn at random.

Of the prover only the packets' numbers are used: what is drawn here it has never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from policies.compiler import SwitchView
from policies.model import ICMP, ICMPV6, PORT_PROTOCOLS, Policy
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.flows import ASKS, STATES, Asked, packet_of
from policies.verify.fragments import fragment_of
from policies.verify.packets import ARP, IP, IPV6, LLDP
from topology.records import Binding

EVERYBODY = 0xFFFF_FFFF_FFFF
STRANGERS = (0x0A000909, 0x01010101, SIX | 5 << 120)
NOWHERE = (0x0000_0000_9999, 1 << 40, EVERYBODY, 0x01005E000009, 0x333300000002, 0x0180C2000003)
FLAGS = (0, 1, 2, 4, 16, 17, 18, 20, 63)


@dataclass(frozen=True, slots=True)
class ProbePacket:
    """One packet, what connection tracking says of it, and whether it is counted already."""

    packet: dict[str, int]
    state: int
    counted: bool = False


class Draw:
    """Packets between everybody of a network, honest and not, as one switch may see them."""

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        view: SwitchView,
        bindings: Sequence[Binding],
        random: Random,
    ) -> None:
        self._random, self._view = random, view
        self._places = AttachmentPoints.of(bindings, policy.hosts)
        self._held = [
            (switch, port, mac, sorted(numbers))
            for (switch, port), macs in self._places.held.items()
            for mac, numbers in macs.items()
        ]
        edges = {each for start, wide in membership.spans for each in _around(start, -wide)}
        self._numbers = [*(each for *_, own in self._held for each in own), *sorted(edges)]
        self._numbers += STRANGERS
        self._services = sorted(_services(policy))
        self._trunk = min(view.trunks, default=7_777)

    def probes(self, count: int) -> list[ProbePacket]:
        """So many packets: connections for the most part, questions and others."""
        found = []
        for _ in range(count):
            kind = self._random.random()
            if kind < 0.75:
                found.append(self._connection())
            elif kind < 0.9:
                found.append(ProbePacket(self._request(), ASKS))
            else:
                found.append(ProbePacket(self._special(), self._random.choice((ASKS, 0x22))))
        return found

    def _sender(self) -> tuple[int, int, int, list[int]]:
        """In port, MAC, an address of the sender and all of them."""
        switch, port, mac, own = self._random.choice(self._held)
        here = switch == self._view.switch and self._random.random() < 0.95
        number = self._random.choice(own)
        return port if here else self._trunk, mac, number, own

    def _connection(self) -> ProbePacket:
        random = self._random
        port, mac, number, _ = self._sender()
        alike = [each for each in self._numbers if each & SIX == number & SIX]
        if random.random() < 0.1:
            number = random.choice(alike)
        if random.random() < 0.05:
            mac = random.choice(self._held)[2]
        other = random.choice(alike)
        owners = [m for _, _, m, own in self._held if other in own]
        if random.random() < 0.2 or not owners:
            owners = [*(each[2] for each in self._held), *NOWHERE]
        target = random.choice(owners)
        if target >> 40 & 1 and random.random() < 0.7:
            other = (
                (SIX | 0xFF02 << 112 | 1)
                if number & SIX
                else random.choice((0xFFFFFFFF, 0xE0000009))
            )
        state = random.choice(STATES)
        ends = (other, number) if state & 8 else (number, other)
        flags = random.choice((None, *FLAGS))
        proto, far = random.choice(self._services)
        if proto == (ICMP if number & SIX else ICMPV6):
            far = 0  # in the other family the number is just a number, without types
        packet = packet_of(Asked(*ends, proto, far), port, mac, target, state, flags)
        packet |= {"ct_mark": 0}
        if random.random() < 0.1:
            packet = fragment_of(packet, random.random() < 0.5)
        return ProbePacket(packet, state, random.random() < 0.1)

    def asking(self, packet: dict[str, int], state: int, proto: int, far: int) -> dict[str, int]:
        """The same ends with another service; the packet itself where it is of no connection."""
        if packet["eth_type"] not in (IP, IPV6) or "ct_mark" not in packet:
            return packet
        family, base = ("ip", 0) if packet["eth_type"] == IP else ("ipv6", SIX)
        tracked = "nw" if family == "ip" else family
        ends = (packet[f"ct_{tracked}_src"] | base, packet[f"ct_{tracked}_dst"] | base)
        if proto == (ICMP if base else ICMPV6):
            far = 0
        if proto in PORT_PROTOCOLS and self._random.random() < 0.3:
            far = far ^ 1 << self._random.randrange(16)
        start = (packet["in_port"], packet["eth_src"], packet["eth_dst"])
        return packet_of(Asked(*ends, proto, far), *start, state) | {"ct_mark": 0}

    def _request(self) -> dict[str, int]:
        """ARP and neighbour discovery, honest and not."""
        random = self._random
        port, mac, _, own = self._sender()
        _, _, other, theirs = random.choice(self._held)
        start = {"in_port": port, "eth_src": mac}
        start["eth_dst"] = random.choice((other, EVERYBODY, 0x3333FF000001))
        claimed = random.choice((mac, mac, mac, other, 0))
        if random.random() < 0.5:
            four = [each for each in own if each < SIX] or [0]
            others = [each for each in theirs if each < SIX] or [0]
            return start | {
                "eth_type": ARP,
                "arp_op": random.choice((1, 1, 2, 2, 3)),
                "arp_sha": claimed,
                "arp_spa": random.choice((*four, *four, *others, 0)),
                "arp_tpa": random.choice((*four, *others, *others, 0x0909_0909)),
            }
        six = [each ^ SIX for each in own if each >= SIX]
        others = [each ^ SIX for each in theirs if each >= SIX]
        kind = random.choice((135, 136))
        return start | {
            "eth_type": IPV6,
            "ip_proto": ICMPV6,
            "icmpv6_type": kind,
            "icmpv6_code": 0,
            "ipv6_src": random.choice((*six, *six, *others, 0)),
            "ipv6_dst": random.choice((*others, 0xFF02 << 112 | 1)),
            "nd_target": random.choice((*six, *others, *others, 9)),
            "nd_sll" if kind == 135 else "nd_tll": claimed,
        }

    def _special(self) -> dict[str, int]:
        """Address assignment, routers' words, and what is neither IP nor a question."""
        random = self._random
        port, mac, number, own = self._sender()
        start = {"in_port": random.choice((port, port, port, 7_777)), "eth_src": mac}
        start["eth_dst"] = random.choice((*NOWHERE, EVERYBODY, random.choice(self._held)[2]))
        what = random.random()
        if what < 0.2:
            return start | {"eth_type": random.choice((LLDP, 0x88B5, 0x8100))}
        six = bool(number & SIX)
        family = "ipv6" if six else "ip"
        group = 0xFF02 << 112 | 2 if six else 0xFFFF_FFFF
        start["eth_type"] = IPV6 if six else IP
        start[f"{family}_src"] = random.choice((number & ~SIX, number & ~SIX, 0))
        start[f"{family}_dst"] = random.choice((group, random.choice(own) & ~SIX))
        if six and what < 0.6:
            kind = {"icmpv6_type": random.choice((133, 134, 137)), "icmpv6_code": 0}
            return start | kind | {"ip_proto": ICMPV6}
        ports = random.choice(((546, 547), (547, 546)) if six else ((68, 67), (67, 68)))
        return start | {"ip_proto": 17, "udp_src": ports[0], "udp_dst": ports[1]}


def _around(start: int, size: int) -> set[int]:
    """First and last address of a prefix, and those beside it, of the same family."""
    each = {start - 1, start, start + size - 1, start + size}
    return {number for number in each if 0 <= number < 2 * SIX and number & SIX == start & SIX}


def _services(policy: Policy) -> set[tuple[int, int]]:
    """Every service of the policy with its edges and what is beside them, and some of no intent."""
    found = {
        (6, 7),
        (17, 9),
        (132, 11),
        (1, 8),
        (1, 0),
        (1, 3),
        (58, 128),
        (58, 1),
        (47, 0),
        (89, 0),
    }
    for intent in policy.intents:
        for service in intent.services:
            low, high = service.low or 0, service.high or 0
            if service.proto is None:
                continue
            most = 0xFFFF if service.proto in PORT_PROTOCOLS else 0xFF
            if service.low is None and service.proto in PORT_PROTOCOLS:
                high = most
            found |= {
                (service.proto, min(most, max(0, each))) for each in (low - 1, low, high, high + 1)
            }
    typed = (*PORT_PROTOCOLS, ICMP, ICMPV6)
    neighbours = (133, 134, 135, 136, 137)
    return {
        (proto, far if proto in typed else 0)
        for proto, far in found
        if proto != ICMPV6 or far not in neighbours
    }
