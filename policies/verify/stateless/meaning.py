"""What a switch without connection tracking must do with one packet, read from the policy alone.

A packet passes when the policy allows it as the first of a connection, or when
it answers a connection that the policy allows: ports swapped, an ICMP answer for
its question. What plainly asks is no answer. Nothing here reads a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.compiler import SwitchView
from policies.model import SCTP, TCP, Action, Connection, Policy
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX, address_at
from policies.semantics.verdict import Judge
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.differing import label_of
from policies.verify.forwarding import Forwarding
from policies.verify.guard import PortSenders
from policies.verify.packets import (
    ARP,
    BRIDGE_LOCAL,
    BRIDGE_MASK,
    IP,
    IPV6,
    LLDP,
    MULTICAST,
    PORT_NAMES,
    QUERY_OF,
    neighbour_type,
    question_of,
)
from topology.initiator import PRIVILEGED

ASKING = {(proto, question) for (proto, _), question in QUERY_OF.items()}
STREAMS = (TCP, SCTP)


@dataclass(frozen=True, slots=True)
class Fate:
    """``report``: to the controller; None where it does not matter. ``first`` and ``reply`` are
    the cookies of the rules that decide the packet as each of the two, if it is judged."""

    output: int | None = None
    report: bool | None = False
    first: int | None = None
    reply: int | None = None
    judged: bool = False


DROPPED, REPORTED = Fate(), Fate(report=True)


class Meaning:
    """One switch with several tables; ``masks``: whether it matches ports under a mask."""

    attributes = True  # the rules that decide carry the intent's cookie

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        view: SwitchView,
        places: AttachmentPoints,
        now: float,
        masks: bool = True,
    ) -> None:
        self.policy, self.membership, self.view = policy, membership, view
        self.places, self.now, self.masks = places, now, masks
        self.infrastructure = policy.defaults.infrastructure
        self.judge = Judge(policy, membership)
        self._guard = PortSenders(places, view.switch, self.infrastructure)
        self._forwarding = Forwarding(places, view)

    def way(self, place: tuple[int, int] | None) -> int | None:
        """The port that leads to a place."""
        return self._forwarding.way(place)

    def fate(self, packet: Mapping[str, int]) -> Fate:
        """What must happen; a packet never leaves where it came in."""
        found = self._fate(packet)
        if found.output == packet["in_port"]:
            return Fate(None, found.report, found.first, found.reply, found.judged)
        return found

    def _fate(self, packet: Mapping[str, int]) -> Fate:
        kind, target = packet["eth_type"], packet["eth_dst"]
        if kind == LLDP:
            return REPORTED
        if target & BRIDGE_MASK == BRIDGE_LOCAL:
            return DROPPED
        edge = packet["in_port"] not in self.view.trunks
        if edge and not self._guard.owns(packet):
            return REPORTED
        if kind == ARP or neighbour_type(packet):
            return self._question(packet, edge)
        if target & MULTICAST:
            return DROPPED
        place = self.places.macs.get(target)
        local = place is not None and place[0] == self.view.switch
        if kind in (IP, IPV6) and (edge or local):
            passes, first, reply = self.decided(packet)
            return Fate(self.way(place) if passes else None, False, first, reply, True)
        return DROPPED if edge else Fate(self.way(place))

    def _question(self, packet: Mapping[str, int], edge: bool) -> Fate:
        """A request goes to the owner of the address alone, an answer to whom it is for."""
        arp = packet["eth_type"] == ARP
        allowed = self.infrastructure.arp if arp else self.infrastructure.nd
        if allowed is not Action.ALLOW:
            return DROPPED
        asks, answers, asked = question_of(packet)
        way = self.way(self.places.numbers.get(asked))
        if asks and way is not None:
            return Fate(way)
        if answers and not packet["eth_dst"] & MULTICAST:
            return Fate(self.way(self.places.macs.get(packet["eth_dst"])))
        return REPORTED if edge else DROPPED

    def decided(self, packet: Mapping[str, int]) -> tuple[bool, int, int | None]:
        """Whether a packet passes, and the cookies for it as a first one and as an answer."""
        six = packet["eth_type"] == IPV6
        family, mark = ("ipv6", SIX) if six else ("ip", 0)
        src, dst = (address_at(packet[f"{family}_{end}"] | mark) for end in ("src", "dst"))
        proto, port, back = packet["ip_proto"], 0, 0
        answers = True
        if (name := PORT_NAMES.get(proto)) is not None:
            port, back = packet[f"{name}_dst"], packet[f"{name}_src"]
            answers = not (self.masks and proto in STREAMS and port < PRIVILEGED)
        elif (proto, six) in ((1, False), (58, True)):
            port = packet["icmpv6_type" if six else "icmp_type"]
            back, answers = QUERY_OF.get((proto, port), port), (proto, port) not in ASKING
        first = self.judge.verdict(Connection(src, dst, proto, port), self.now)
        label = label_of(first)[1]
        if not answers:
            return first.forwarded, label, None
        reply = self.judge.verdict(Connection(dst, src, proto, back), self.now)
        return first.forwarded or reply.forwarded, label, label_of(reply)[1]


class SmallMeaning(Meaning):
    """One small table: an address's owner is where its packets go, whatever the target MAC;
    only addresses that hosts have take part, and what is not forwarded may be reported."""

    attributes = False

    def _fate(self, packet: Mapping[str, int]) -> Fate:
        kind, port = packet["eth_type"], packet["in_port"]
        if kind == LLDP:
            return REPORTED
        if packet["eth_dst"] & BRIDGE_MASK == BRIDGE_LOCAL:
            return DROPPED
        trunk = port in self.view.trunks
        if kind == ARP or neighbour_type(packet):
            return self._small_question(packet, trunk)
        if kind not in (IP, IPV6):
            return REPORTED
        family, mark = ("ipv6", SIX) if kind == IPV6 else ("ip", 0)
        source, target = (
            self.places.numbers.get(packet[f"{family}_{end}"] | mark) for end in ("src", "dst")
        )
        way = self.way(target)
        if way is None or target is None:
            return Fate(report=None)
        if trunk and target[0] != self.view.switch:
            return Fate(way, None)  # between two other switches, which judge it
        if trunk:
            inside = source is not None and source[0] != self.view.switch
            known = inside and self.way(source) is not None
        else:
            known = self._guard.owns(packet)
        if not known:
            return Fate(report=None)
        passes, first, reply = self.decided(packet)
        return Fate(way if passes else None, None, first, reply, True)

    def _small_question(self, packet: Mapping[str, int], trunk: bool) -> Fate:
        """Questions of hosts go everywhere; those from other switches to the owner."""
        if not trunk:
            return Fate(FLOOD) if self._guard.owns(packet) else REPORTED
        found = self._question(packet, True)
        return Fate(found.output, None)


FLOOD = -1  # out of every other port
