"""What a switch must do with one packet, from the policy and the hosts' places alone.

Nothing here reads a rule. Beside the verdict it states what surrounds it: whose
connections a switch judges, and what it reports and counts. Who may send what is
in `policies.verify.guard`, where packets leave in `policies.verify.forwarding`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from policies.compiler import SwitchView
from policies.compiler.common.rule_parts import TCP_FIN, TCP_RST, TCP_SYN
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
from policies.rules import layout
from policies.rules.layout import DecidedBits, Reason, name_number
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.expected import NOTHING, ExpectedPassage
from policies.verify.forwarding import Forwarding
from policies.verify.fragments import (
    carried,
    hides_its_port,
    is_fragment,
    is_later,
    spoils_the_others,
)
from policies.verify.guard import PortSenders
from policies.verify.machine import FULL_TABLE
from policies.verify.packets import (
    ARP,
    BRIDGE_LOCAL,
    BRIDGE_MASK,
    INV,
    IP,
    IPV6,
    LLDP,
    MULTICAST,
    NEW,
    PORT_NAMES,
    REL,
    RPL,
    SpecialPacket,
    asks_a_server,
    audience_of,
    is_error,
    is_group,
    neighbour_type,
    original,
    question_of,
)

PASSING = {Mode.OBSERVE: DecidedBits.OBSERVED, Mode.AUDIT: DecidedBits.WOULD_DENY}


class Expectation:
    """What one switch must do, under one policy, with the hosts of the moment."""

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        judge: Callable[[], Judge],
        places: AttachmentPoints,
        view: SwitchView,
        now: float,
        restrictions: Sequence[Restriction] = (),
    ) -> None:
        self.view, self.places, self.now = view, places, now
        self._judge, self._membership = judge, membership
        self._restrictions = tuple(restrictions)
        self._infra: Infrastructure = policy.defaults.infrastructure
        self._guard = PortSenders(places, view.switch, self._infra)
        self.forwarding = Forwarding(places, view)
        self.edges = self.forwarding.edges
        self.zone = layout.zone_of(view.switch)
        helpers = [
            (intent, service)
            for intent in policy.intents
            for service in intent.services
            if service.helper is not None and intent.action is Action.ALLOW
        ]
        # By number and protocol the intents with a helper; by protocol and port the helpers.
        self.helped = {(name_number(i.name), s.proto) for i, s in helpers if s.proto is not None}
        self.helpers = {
            (service.proto, service.low): service.helper
            for _, service in helpers
            if service.proto is not None and service.low is not None
        }

    def expect(
        self,
        packet: Mapping[str, int],
        ct_state: int,
        counted: bool = False,
        checked: bool = False,
    ) -> ExpectedPassage:
        """``ct_state`` is what connection tracking would say; ``counted`` whether the switch has
        a counting rule for the connection already; ``checked`` whether the controller has looked at
        what a DHCP client says."""
        expected = self._expected(packet, ct_state, counted, checked)
        special = audience_of(packet) if packet["in_port"] in self.edges else None
        barred = packet["eth_dst"] & BRIDGE_MASK == BRIDGE_LOCAL
        if special is None or not special.offers or barred or not self._guard.admits(packet):
            return expected
        # What a server assigns is read on its way in.
        return replace(expected, copies=(Reason.ADDRESSING, *expected.copies))

    def _expected(
        self, packet: Mapping[str, int], ct_state: int, counted: bool, checked: bool
    ) -> ExpectedPassage:
        port, target = packet["in_port"], packet["eth_dst"]
        kind = packet["eth_type"]
        known = port in self.edges or port in self.view.trunks
        if kind == LLDP:
            return ExpectedPassage(copies=(Reason.LINK,) if known else ())
        if target & BRIDGE_MASK == BRIDGE_LOCAL or not known:
            return NOTHING
        edge = port in self.edges
        if edge and not self._guard.admits(packet):
            return ExpectedPassage(copies=(Reason.GUARD,))
        if edge and target == layout.PROBE_MAC:
            return ExpectedPassage(copies=(Reason.PROBE,))
        if edge and asks_a_server(packet) and not checked:
            return ExpectedPassage(copies=(Reason.CLIENT,))
        if kind == ARP or neighbour_type(packet):
            return self._requests(packet, edge)
        special = audience_of(packet)
        if special is not None:
            expected = self._infrastructure(packet, special)
            if expected is not None:
                return expected
        if target & MULTICAST and not (is_group(packet) and self.forwarding.in_tree(port)):
            return NOTHING
        local = self.places.macs.get(target, (0, 0))[0] == self.view.switch
        if kind in (IP, IPV6) and (edge or local):
            return self._judged(packet, ct_state, edge, local, counted)
        return ExpectedPassage(outputs=self.forwarding.leads(packet))

    def _infrastructure(
        self, packet: Mapping[str, int], what: SpecialPacket
    ) -> ExpectedPassage | None:
        """Address assignment, and what hosts and routers say to each other; None: judged."""
        allowed = self._guard.allows(what)
        if packet["eth_dst"] & MULTICAST:
            if what.unicast:
                return None
            if not allowed:
                return NOTHING
            # What asks goes to those that serve it alone.
            only = self.places.servers(self.view.switch, what.word) if what.asks else None
            return ExpectedPassage(outputs=self.forwarding.flooded(packet["in_port"], only))
        if not allowed:
            return NOTHING if what.word == ADVERTISEMENTS else None
        serving = any(
            mac == packet["eth_dst"] and what.word in words
            for (_, _, mac), words in self.places.serves.items()
        )
        if what.word == DHCP and what.asks and not serving:
            return None
        return ExpectedPassage(outputs=self.forwarding.leads(packet))

    def _requests(self, packet: Mapping[str, int], edge: bool) -> ExpectedPassage:
        """A request goes to the owner of the address alone, an answer to whom it is for."""
        allowed = self._infra.arp if packet["eth_type"] == ARP else self._infra.nd
        if allowed is not Action.ALLOW:
            return NOTHING
        asks, answers, asked = question_of(packet)
        port = packet["in_port"]
        if asks and asked in self.places.numbers:
            return ExpectedPassage(outputs=self.forwarding.sent_to_owner(asked, port))
        if answers and not packet["eth_dst"] & MULTICAST:
            return ExpectedPassage(outputs=self.forwarding.sent_to(packet["eth_dst"], port))
        return ExpectedPassage(copies=(Reason.UNKNOWN_TARGET,) if edge else ())

    def _judged(
        self,
        packet: Mapping[str, int],
        ct_state: int,
        edge: bool,
        local: bool,
        counted: bool,
    ) -> ExpectedPassage:
        if ct_state & INV:
            return NOTHING
        if is_later(packet):
            return carried(ct_state, self.forwarding.leads(packet))
        asked = original(packet, ct_state, self.helped)
        if hides_its_port(packet) and not is_error(packet, ct_state):
            return NOTHING
        verdict = self.verdict(asked)
        return self.after(verdict, asked, packet, ct_state, edge, local, counted)

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
    ) -> ExpectedPassage:
        """What follows from a verdict."""
        outcome = outcome_of(verdict)
        ct_state, full = ct_state & ~FULL_TABLE, bool(ct_state & FULL_TABLE and ct_state & NEW)
        related = is_error(packet, ct_state)
        reply = bool(ct_state & RPL) and not related
        if outcome == DecidedBits.DENY:
            denied = (Reason.DENIED,) if edge and not reply else ()
            return ExpectedPassage(
                copies=denied,
                outcome=outcome,
                verdict=verdict,
                asked=asked,
                waits=spoils_the_others(packet),
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
        fragment = is_fragment(packet)
        if fragment:
            number = 0  # remembered by the last fragment, which does not know
        return ExpectedPassage(
            frozenset() if full else self.forwarding.leads(packet),
            (*copies, Reason.FULL) if full else copies,
            number if ct_state & NEW else None,
            learns,
            outcome,
            verdict,
            asked,
            fragment,
            self._helper(packet, ct_state) if not fragment else None,
        )

    def _helper(self, packet: Mapping[str, int], ct_state: int) -> str | None:
        """What reads a connection that is about to be committed."""
        if not ct_state & NEW or ct_state & REL:
            return None
        proto = packet["ip_proto"]
        name = PORT_NAMES.get(proto)
        return None if name is None else self.helpers.get((proto, packet[f"{name}_dst"]))


def outcome_of(verdict: Verdict) -> DecidedBits:
    if verdict.action is Action.ALLOW:
        return DecidedBits.ALLOW
    if verdict.tier is Tier.ADAPTIVE:
        return DecidedBits.WOULD_DENY if verdict.forwarded else DecidedBits.DENY
    return PASSING.get(verdict.mode, DecidedBits.DENY)


ANY_FLAG = 0xFFF  # a packet that says nothing of flags meets every rule about one


def _segment_copies(tcp_flags: int, reply: bool, new: bool) -> tuple[Reason, ...]:
    """What an edge reports of a TCP segment of its own host."""
    if new and not reply:
        return (Reason.CONNECTION,)
    told = TCP_FIN | TCP_RST | (TCP_SYN if reply else 0)
    return (Reason.PROGRESS,) if tcp_flags & told else ()
