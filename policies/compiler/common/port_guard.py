"""Rules that tie addresses to ports: what a host may send, and where it is.

What a host may send stands on its own switch only. Where a target is stands on
every switch in the same words (owner switch and port, in registers), so that a
changed link changes only the few rules of the forward table.

There are tens of these rules per host: the code below writes matches in the
sorted order that rules have and shares every field that it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zlib import crc32

from policies.compiler.common.rule_parts import ETH_ARP, ETH_IP, ETH_IPV6
from policies.model import ICMPV6, Action, Infrastructure
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, cookie
from policies.rules.rule import (
    Field,
    Goto,
    Load,
    Rule,
    RuleAction,
)
from policies.semantics.prefix_sets import SIX

SOLICITATION, ADVERTISEMENT = 135, 136
_BINDING, _FORWARD = cookie(Category.BINDING), cookie(Category.FORWARD)
_IP, _ARP, _IPV6 = (Field("eth_type", each) for each in (ETH_IP, ETH_ARP, ETH_IPV6))
_REQUEST = Field("arp_op", 1)
_NOBODY_ARP, _NOBODY_ND = Field("arp_spa", 0), Field("ipv6_src", 0)
_ICMPV6 = Field("ip_proto", ICMPV6)
_SOLICIT, _ADVERTISE = (Field("icmpv6_type", each) for each in (SOLICITATION, ADVERTISEMENT))
_NO_SLL, _NO_TLL = Field("nd_sll", 0), Field("nd_tll", 0)
ADMIT: tuple[RuleAction, ...] = (Load(layout.FROM_EDGE, 1), Goto(RuleTable.LOCALITY))


def guard_rules(
    port: int,
    mac: int,
    numbers: Iterable[int],
    infrastructure: Infrastructure,
    admit: tuple[RuleAction, ...] = ADMIT,
) -> Iterator[tuple[int, tuple[Rule, ...]]]:
    """Per address, what the host may send with it from its port; nobody else may.

    ``numbers`` are all addresses of the host there.
    ``admit`` are the actions for a packet that is as it should be.
    """
    numbers = tuple(numbers)
    senders = [Field("ipv6_src", each & ~SIX) for each in numbers if each >= SIX]
    own_sender = iter(senders)
    source, here = Field("eth_src", mac), Field("in_port", port)
    arp = infrastructure.arp is Action.ALLOW
    nd = infrastructure.nd is Action.ALLOW
    sha = Field("arp_sha", mac)
    # The link-layer option of neighbour discovery may be left out.
    sll, tll = Field("nd_sll", mac), Field("nd_tll", mac)
    new, table, seed = (
        Rule,
        RuleTable.GUARD,
        mac & 0xFFFF_FFFF,
    )  # looked up once, used for every rule
    for number in numbers:
        address = number & ~SIX
        cause = _BINDING | crc32(number.to_bytes(17, "big"), seed)
        if number < SIX:
            fields = (source, _IP, here, Field("ip_src", address))
            rules: tuple[Rule, ...] = (new(table, 190, fields, admit, cause),)
            if arp:
                own = (sha, Field("arp_spa", address), source, _ARP, here)
                # An address probe (RFC 5227) asks from 0.0.0.0 for the host's own address.
                asked = Field("arp_tpa", address)
                probe = (_REQUEST, sha, _NOBODY_ARP, asked, source, _ARP, here)
                rules += (
                    new(table, 210, own, admit, cause),
                    new(table, 210, probe, admit, cause),
                )
            yield number, rules
            continue
        sender = next(own_sender)
        rules = (new(table, 190, (source, _IPV6, here, sender), admit, cause),)
        if nd:
            target = Field("nd_target", address)
            ask = (source, _IPV6, _SOLICIT, here, _ICMPV6)
            tell = (source, _IPV6, _ADVERTISE, here, _ICMPV6)
            rules += (
                new(table, 210, (*ask, _NOBODY_ND, target), admit, cause),
                new(table, 210, (*ask, sender, sll), admit, cause),
                new(table, 210, (*ask, sender, _NO_SLL), admit, cause),
                # Any own address may announce any other (RFC 4861, section 7.2.4).
                *[
                    new(table, 210, (*tell, teller, target, option), admit, cause)
                    for teller in senders
                    for option in (tll, _NO_TLL)
                ],
            )
        yield number, rules
