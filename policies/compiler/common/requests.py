"""ARP and neighbour discovery: requests go to the owner's port alone, answers to the requester."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from policies.compiler.common.port_guard import ADVERTISEMENT, SOLICITATION, Actions
from policies.compiler.common.rule_parts import BASE, ETH_ARP, ETH_IPV6, flags, neighbour_fields
from policies.model import ICMPV6, Action, Infrastructure
from policies.rules.layout import Category, cookie
from policies.rules.rule import Field, Goto, Rule, match
from policies.semantics.prefix_sets import SIX

_FORWARD = cookie(Category.FORWARD)
_ARP, _IPV6 = Field("eth_type", ETH_ARP), Field("eth_type", ETH_IPV6)
_REQUEST, _ICMPV6 = Field("arp_op", 1), Field("ip_proto", ICMPV6)
_SOLICIT = Field("icmpv6_type", SOLICITATION)
_UNICAST = Field("eth_dst", 0, 1 << 40)
ARP_ANSWER = (Field("arp_op", 2), _ARP)
ND_ANSWER = neighbour_fields(ADVERTISEMENT)


@dataclass(frozen=True, slots=True)
class RequestLayout:
    """Where a kind of switch looks up who is asked for.

    An answer is sent on by ``answered``; a request for an address that nobody has, with the bits
    of ``from_edge``, by ``unknown``. ``following`` are the tables for what is neither, if anything
    else comes by.
    """

    arp: int
    nd: int
    answered: Actions
    unknown: Actions
    from_edge: Field
    following: tuple[int, int] | None = None


def allowed(infrastructure: Infrastructure, number: int) -> bool:
    """Whether hosts may ask for an address, and answer."""
    return (infrastructure.arp if number < SIX else infrastructure.nd) is Action.ALLOW


def request_fields(number: int) -> tuple[Field, ...]:
    """Match a request for an address, in the sorted order that rules have."""
    if number < SIX:
        return (_REQUEST, Field("arp_tpa", number), _ARP)
    return (_IPV6, _SOLICIT, _ICMPV6, Field("nd_target", number & ~SIX))


def answer_fields(number: int) -> tuple[Field, ...]:
    """Match answers in the family of an address."""
    return ARP_ANSWER if number < SIX else ND_ANSWER


def owner_rule(layout: RequestLayout, number: int, actions: Actions) -> Rule:
    """A request for this address goes to its owner's port alone, also with the controller down."""
    table = layout.arp if number < SIX else layout.nd
    cause = _FORWARD | crc32(number.to_bytes(17, "big"))
    return Rule(table, 200, request_fields(number), actions, cause)


def request_rules(layout: RequestLayout, infrastructure: Infrastructure) -> Iterator[Rule]:
    """Rules for ARP and neighbour discovery that no address's own rule matches."""
    kinds = ((_ARP,),), (neighbour_fields(SOLICITATION), neighbour_fields(ADVERTISEMENT))
    for place, (table, action, answer) in enumerate(
        (
            (layout.arp, infrastructure.arp, ARP_ANSWER),
            (layout.nd, infrastructure.nd, ND_ANSWER),
        )
    ):
        asked = ((),) if layout.following is None else kinds[place]
        if action is Action.ALLOW:
            # Answers are unicast; a question nobody here can answer is reported.
            yield Rule(table, 100, match(*answer, _UNICAST), layout.answered, BASE)
            for kind in asked:
                yield Rule(table, 10, flags(*kind, layout.from_edge), layout.unknown, BASE)
        if layout.following is not None:
            for kind in asked:
                yield Rule(table, 5, match(*kind), (), BASE)
            yield Rule(table, 0, (), (Goto(layout.following[place]),), BASE)
