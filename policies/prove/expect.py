"""What a switch must do with one packet, from the policy and the hosts' places alone.

Nothing here reads a rule. Beside the verdict it states what surrounds it: who
may send what from which port, where targets are, whose connections a switch
judges, and what it reports and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from policies import layout
from policies.compiler import SwitchView
from policies.compiler.parts import TCP_FIN, TCP_RST, TCP_SYN
from policies.layout import Outcome, Reason, name_number
from policies.membership import Membership
from policies.model import (
    ADVERTISEMENTS,
    DHCP,
    TCP,
    Action,
    Connection,
    Infrastructure,
    Mode,
    Policy,
    Restriction,
    Tier,
    Verdict,
)
from policies.prove.machine import FULL_TABLE
from policies.prove.packets import (
    ADVERTISE,
    ARP,
    BRIDGE_LOCAL,
    BRIDGE_MASK,
    INV,
    IP,
    IPV6,
    LATER,
    LLDP,
    MULTICAST,
    NEW,
    REL,
    RPL,
    SOLICIT,
    Special,
    audience_of,
    can_be_spoilt,
    hides_its_port,
    is_group,
    leaving,
    neighbour_type,
    original,
)
from policies.prove.places import Places
from policies.regions import SIX
from policies.verdict import Judge

PASSING = {Mode.OBSERVE: Outcome.OBSERVED, Mode.AUDIT: Outcome.WOULD_DENY}


@dataclass(frozen=True, slots=True)
class Expected:
    """``outcome`` None: not judged here; ``outputs`` are as `leaving` has them, ``copies`` the
    reasons of copies to the controller. ``waits``: for the other fragments of its packet, or has
    what waits for it let go."""

    outputs: frozenset[int] = frozenset()
    copies: tuple[int, ...] = ()
    commit: int | None = None
    learns: bool = False
    outcome: int | None = None
    verdict: Verdict | None = None
    asked: Connection | None = None
    waits: bool = False


NOTHING = Expected()


class Expectation:
    """What one switch must do, under one policy, with the hosts of the moment."""

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        judge: Callable[[], Judge],
        places: Places,
        view: SwitchView,
        now: float,
        restrictions: Sequence[Restriction] = (),
    ) -> None:
        self.view, self.places, self.now = view, places, now
        self._judge, self._membership = judge, membership
        self._restrictions = tuple(restrictions)
        self._infra: Infrastructure = policy.defaults.infrastructure
        self.edges = frozenset(view.ports) - view.trunks
        self._floods: dict[tuple[int, frozenset[int], bool], frozenset[int]] = {}
        # What goes to everybody leaves a tagged port for each VLAN once more.
        self._again = frozenset(
            (port, leaving(port, tag))
            for (switch, port, _), tag in places.tags.items()
            if switch == view.switch and port in self.edges
        )
        self.zone = layout.zone_of(view.switch)

    def expect(self, packet: Mapping[str, int], ct_state: int, counted: bool = False) -> Expected:
        """``ct_state`` is what connection tracking would say; ``counted`` whether the switch has
        a counting rule for the connection already."""
        expected = self._expected(packet, ct_state, counted)
        special = audience_of(packet) if packet["in_port"] in self.edges else None
        barred = packet["eth_dst"] & BRIDGE_MASK == BRIDGE_LOCAL
        if special is None or not special.offers or barred or not self.admits(packet):
            return expected
        # What a server assigns is read on its way in.
        return replace(expected, copies=(Reason.ADDRESSING, *expected.copies))

    def _expected(self, packet: Mapping[str, int], ct_state: int, counted: bool) -> Expected:
        port, target = packet["in_port"], packet["eth_dst"]
        kind = packet["eth_type"]
        known = port in self.edges or port in self.view.trunks
        if kind == LLDP:
            return Expected(copies=(Reason.LINK,) if known else ())
        if target & BRIDGE_MASK == BRIDGE_LOCAL or not known:
            return NOTHING
        edge = port in self.edges
        if edge and not self.admits(packet):
            return Expected(copies=(Reason.GUARD,))
        if edge and target == layout.PROBE_MAC:
            return Expected(copies=(Reason.PROBE,))
        neighbour = neighbour_type(packet)
        if kind == ARP or neighbour:
            return self._requests(packet, neighbour, edge)
        special = audience_of(packet)
        if special is not None:
            expected = self._infrastructure(packet, special)
            if expected is not None:
                return expected
        if target & MULTICAST and not (is_group(packet) and self._in_tree(port)):
            return NOTHING
        local = self.places.macs.get(target, (0, 0))[0] == self.view.switch
        if kind in (IP, IPV6) and (edge or local):
            return self._judged(packet, ct_state, edge, local, counted)
        return Expected(outputs=self.leads(packet))

    def leads(self, packet: Mapping[str, int]) -> frozenset[int]:
        """The ports that an ordinary packet leaves by if nothing stops it."""
        port, target = packet["in_port"], packet["eth_dst"]
        if not target & MULTICAST:
            return self._sent_to(target, port)
        return self._flooded(packet, self.edges) if is_group(packet) else frozenset()

    def _tree(self) -> frozenset[int]:
        return self.view.trunks if self.view.tree is None else self.view.tree

    def _in_tree(self, port: int) -> bool:
        return port in self.edges or port in self._tree()

    def _flooded(self, packet: Mapping[str, int], ends: frozenset[int]) -> frozenset[int]:
        """Along the tree of switches to some edge ports, never back."""
        port = packet["in_port"]
        if not self._in_tree(port):
            return frozenset()
        everybody = ends is self.edges
        known = self._floods.get((port, ends, everybody))
        if known is None:
            again = (out for where, out in self._again if where != port and everybody)
            known = ((self._tree() | ends) - {port}).union(again)
            self._floods[port, ends, everybody] = known
        return known

    def _infrastructure(self, packet: Mapping[str, int], what: Special) -> Expected | None:
        """Address assignment, and what hosts and routers say to each other; None: judged."""
        allowed = self._infra.nd if what.word == ADVERTISEMENTS else self._infra.dhcp
        if packet["eth_dst"] & MULTICAST:
            if what.unicast:
                return None
            if allowed is not Action.ALLOW:
                return NOTHING
            stations = self.places.servers(self.view.switch, what.word)
            ends = stations if what.asks else self.edges
            return Expected(outputs=self._flooded(packet, ends))
        if allowed is not Action.ALLOW:
            return NOTHING if what.word == ADVERTISEMENTS else None
        serving = any(
            mac == packet["eth_dst"] and what.word in words
            for (_, _, mac), words in self.places.serves.items()
        )
        if what.word == DHCP and what.asks and not serving:
            return None
        return Expected(outputs=self.leads(packet))

    def way(self, place: tuple[int, int] | None) -> int | None:
        """The port of this switch that leads to a place."""
        if place is None:
            return None
        switch, port = place
        return port if switch == self.view.switch else self.view.next_ports.get(switch)

    def _sent_to(self, mac: int, port: int) -> frozenset[int]:
        place = self.places.macs.get(mac)
        return self._sent(place, self.places.tags.get((*(place or (0, 0)), mac), 0), port)

    def _sent(self, place: tuple[int, int] | None, tag: int, port: int) -> frozenset[int]:
        """The way to a place, with the tag of its host if it is on this switch."""
        way = self.way(place)
        if place is None or way is None or way == port:
            return frozenset()
        return frozenset((leaving(way, tag if place[0] == self.view.switch else 0),))

    def admits(self, packet: Mapping[str, int]) -> bool:
        """Whether a host may send the packet: it is what it says, and so is what it serves."""
        sender = (self.view.switch, packet["in_port"], packet["eth_src"])
        if packet.get("vlan_vid", 0) != self.places.tags.get(sender, 0):
            return False
        special = audience_of(packet)
        if special is None:
            return self.owns(packet)
        source = packet["ip_src"] if packet["eth_type"] == IP else packet["ipv6_src"] | SIX
        if special.offers or not special.asks:
            held = self.places.held.get((self.view.switch, packet["in_port"]), {})
            return source in held.get(packet["eth_src"], ()) and self._serves(
                packet, special, source
            )
        if source & ~SIX == 0 and special.first == packet["eth_dst"]:
            allowed = self._infra.nd if special.word == ADVERTISEMENTS else self._infra.dhcp
            held = self.places.held.get((self.view.switch, packet["in_port"]), {})
            return allowed is Action.ALLOW and packet["eth_src"] in held
        return self.owns(packet)

    def owns(self, packet: Mapping[str, int]) -> bool:
        """Whether the sender's addresses belong to the edge port the packet comes in on."""
        sender = packet["eth_src"]
        own = self.places.held.get((self.view.switch, packet["in_port"]), {}).get(sender)
        if own is None:
            return False
        kind = packet["eth_type"]
        if kind == ARP:
            return self._admits_arp(packet, sender, own)
        if kind not in (IP, IPV6):
            return False
        neighbour = neighbour_type(packet)
        if neighbour:
            return self._admits_neighbour(packet, neighbour, sender, own)
        source = packet["ip_src"] if kind == IP else packet["ipv6_src"] | SIX
        return source in own or self._forwards(packet, source)

    def _serves(self, packet: Mapping[str, int], what: Special, source: int) -> bool:
        """Offers come from servers, advertisements from a router's link-local address."""
        here = (self.view.switch, packet["in_port"], packet["eth_src"])
        if what.word not in self.places.serves.get(here, ()):
            return False
        if what.word == DHCP:
            return self._infra.dhcp is Action.ALLOW
        return self._infra.nd is Action.ALLOW and (source & ~SIX) >> 118 == 0x3FA

    def _admits_neighbour(
        self, packet: Mapping[str, int], neighbour: int, sender: int, own: set[int]
    ) -> bool:
        if self._infra.nd is not Action.ALLOW:
            return False
        target = packet["nd_target"] | SIX in own
        known = packet["ipv6_src"] | SIX in own
        if neighbour == ADVERTISE:
            return target and known and packet["nd_tll"] in (sender, 0)
        if packet["ipv6_src"] == 0:
            return target
        return known and packet["nd_sll"] in (sender, 0)

    def _forwards(self, packet: Mapping[str, int], number: int) -> bool:
        here = (self.view.switch, packet["in_port"], packet["eth_src"])
        return self.places.forwards(*here, number)

    def _admits_arp(self, packet: Mapping[str, int], sender: int, own: set[int]) -> bool:
        if self._infra.arp is not Action.ALLOW or packet["arp_sha"] != sender:
            return False
        if packet["arp_spa"] in own:
            return True
        return packet["arp_spa"] == 0 and packet["arp_op"] == 1 and packet["arp_tpa"] in own

    def _requests(self, packet: Mapping[str, int], neighbour: int, edge: bool) -> Expected:
        """A request goes to the owner of the address alone, an answer to whom it is for."""
        allowed = self._infra.nd if neighbour else self._infra.arp
        if allowed is not Action.ALLOW:
            return NOTHING
        if neighbour:
            asks, answers = neighbour == SOLICIT, neighbour == ADVERTISE
            asked = packet["nd_target"] | SIX
        else:
            asks, answers = packet["arp_op"] == 1, packet["arp_op"] == 2
            asked = packet["arp_tpa"]
        port = packet["in_port"]
        if asks and asked in self.places.numbers:
            tag = self.places.tag_of(asked)
            return Expected(outputs=self._sent(self.places.numbers[asked], tag, port))
        if answers and not packet["eth_dst"] & MULTICAST:
            return Expected(outputs=self._sent_to(packet["eth_dst"], port))
        return Expected(copies=(Reason.UNKNOWN_TARGET,) if edge else ())

    def _judged(
        self,
        packet: Mapping[str, int],
        ct_state: int,
        edge: bool,
        local: bool,
        counted: bool,
    ) -> Expected:
        if ct_state & INV:
            return NOTHING
        if packet.get("ip_frag", 0) == LATER:
            return self._carried(packet, ct_state)
        asked = original(packet, ct_state)
        if hides_its_port(packet) and not ct_state & REL:
            return NOTHING
        verdict = self.verdict(asked)
        return self.after(verdict, asked, packet, ct_state, edge, local, counted)

    def _carried(self, packet: Mapping[str, int], ct_state: int) -> Expected:
        """A later fragment waits for the first one, which is judged, and then goes the same way."""
        if not ct_state & NEW:
            return Expected(self.leads(packet), waits=True)
        if ct_state & FULL_TABLE:
            return Expected(copies=(Reason.FULL,), commit=0, waits=True)
        return Expected(self.leads(packet), commit=0, waits=True)

    def verdict(self, asked: Connection) -> Verdict:
        return self._judge().judge(
            self._membership.segments_of(asked.src),
            self._membership.segments_of(asked.dst),
            asked,
            self.now,
            self._restrictions,
        )

    def after(
        self,
        verdict: Verdict,
        asked: Connection,
        packet: Mapping[str, int],
        ct_state: int,
        edge: bool,
        local: bool,
        counted: bool,
    ) -> Expected:
        """What follows from a verdict."""
        outcome = outcome_of(verdict)
        ct_state, full = ct_state & ~FULL_TABLE, bool(ct_state & FULL_TABLE and ct_state & NEW)
        related = bool(ct_state & REL)
        reply = bool(ct_state & RPL) and not related
        if outcome == Outcome.DENY:
            denied = (Reason.DENIED,) if edge and not reply else ()
            return Expected(
                copies=denied,
                outcome=outcome,
                verdict=verdict,
                asked=asked,
                waits=bool(packet.get("ip_frag", 0)) and can_be_spoilt(packet),
            )
        learns = False
        copies: tuple[Reason, ...] = ()
        if packet["ip_proto"] == TCP:
            if edge and not related:
                copies = _segment_copies(
                    packet.get("tcp_flags", ANY_FLAG), reply, bool(ct_state & NEW)
                )
        else:
            follows = not related and (edge and not reply or local and reply)
            learns = follows and not counted
            copies = (Reason.CONNECTION,) if learns and ct_state & NEW else ()
        number = 0 if verdict.intent is None else name_number(verdict.intent)
        fragment = bool(packet.get("ip_frag", 0))
        if fragment:
            number = 0  # remembered by the last fragment, which does not know
        return Expected(
            frozenset() if full else self.leads(packet),
            (*copies, Reason.FULL) if full else copies,
            number if ct_state & NEW else None,
            learns,
            outcome,
            verdict,
            asked,
            fragment,
        )


def outcome_of(verdict: Verdict) -> Outcome:
    if verdict.action is Action.ALLOW:
        return Outcome.ALLOW
    if verdict.tier is Tier.ADAPTIVE:
        return Outcome.WOULD_DENY if verdict.forwarded else Outcome.DENY
    return PASSING.get(verdict.mode, Outcome.DENY)


ANY_FLAG = 0xFFF  # a packet that says nothing of flags meets every rule about one


def _segment_copies(tcp_flags: int, reply: bool, new: bool) -> tuple[Reason, ...]:
    """What an edge reports of a TCP segment of its own host."""
    if new and not reply:
        return (Reason.CONNECTION,)
    told = TCP_FIN | TCP_RST | (TCP_SYN if reply else 0)
    return (Reason.PROGRESS,) if tcp_flags & told else ()
