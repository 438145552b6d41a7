"""The guard of a switch's ports: what a host may send, on its own switch only.

There are tens of these rules per host: the code below writes matches in the
sorted order that rules have and shares every field that it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

from policies.compiler.common.rule_parts import BASE, ETH_ARP, ETH_IP, ETH_IPV6, ETH_LLDP
from policies.model import ICMPV6, Action, Infrastructure
from policies.rules.layout import Category, cookie
from policies.rules.rule import Field, Rule, RuleAction
from policies.semantics.prefix_sets import SIX

SOLICITATION, ADVERTISEMENT = 135, 136
REQUESTS, ADDRESSES = 210, 190  # priorities of what a host may ask and answer, and of its addresses
_BINDING = cookie(Category.BINDING)
_IP, _ARP, _IPV6 = (Field("eth_type", each) for each in (ETH_IP, ETH_ARP, ETH_IPV6))
_REQUEST = Field("arp_op", 1)
_NOBODY_ARP, _NOBODY_ND = Field("arp_spa", 0), Field("ipv6_src", 0)
_ICMPV6 = Field("ip_proto", ICMPV6)
_SOLICIT, _ADVERTISE = (Field("icmpv6_type", each) for each in (SOLICITATION, ADVERTISEMENT))
_NO_SLL, _NO_TLL = Field("nd_sll", 0), Field("nd_tll", 0)
Actions = tuple[RuleAction, ...]


@dataclass(frozen=True, slots=True)
class GuardLayout:
    """Where a kind of switch has its guard, and what becomes of packets there.

    ``admit`` is for what a host may send, ``onward`` for what another switch passes on,
    ``discovered`` for LLDP and ``report`` for the rest, by a rule of priority ``rest``. ``raised``
    is added to all other priorities, for a table that does more than guard.
    """

    table: int
    admit: Actions
    onward: Actions
    discovered: Actions
    report: Actions
    rest: int = 0
    raised: int = 0


def discovery_rule(guard: GuardLayout) -> Rule:
    """LLDP goes to the controller."""
    return Rule(guard.table, guard.raised + 500, _LLDP, guard.discovered, BASE)


def entrance_rules(guard: GuardLayout, trunks: Iterable[int]) -> Iterator[Rule]:
    """Rules evaluated before the sender is checked."""
    yield discovery_rule(guard)
    # Bridge-local protocols (STP, LACP, 802.1X) never reach hosts.
    yield Rule(guard.table, guard.raised + 450, _BRIDGE_LOCAL, (), BASE)
    for port in sorted(trunks):
        yield Rule(guard.table, guard.raised + 400, (Field("in_port", port),), guard.onward, BASE)


_LLDP = (Field("eth_type", ETH_LLDP),)
_BRIDGE_LOCAL = (Field("eth_dst", 0x0180C2000000, 0xFFFFFFFFFFF0),)


def unbound_rules(guard: GuardLayout, *here: Field) -> Iterator[Rule]:
    """Rules for packets that no host's own rule admits, on the port ``here`` or on all."""
    yield Rule(guard.table, guard.rest, here, guard.report, BASE)
    # A neighbour advertisement or solicitation passes only by a binding's own rule.
    for kind in (_SOLICIT, _ADVERTISE):
        yield Rule(
            guard.table, guard.raised + 200, (_IPV6, kind, *here, _ICMPV6), guard.report, BASE
        )


def guard_rules(
    port: int, mac: int, numbers: Iterable[int], infrastructure: Infrastructure, guard: GuardLayout
) -> Iterator[tuple[int, tuple[Rule, ...]]]:
    """Rules per address for what its host may send from its port, and no other host.

    ``numbers`` are all addresses of the host there.
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
    # Looked up once, used for every rule.
    new, table, admit, seed = Rule, guard.table, guard.admit, mac & 0xFFFF_FFFF
    addresses, requests = guard.raised + ADDRESSES, guard.raised + REQUESTS
    for number in numbers:
        address = number & ~SIX
        cause = _BINDING | crc32(number.to_bytes(17, "big"), seed)
        if number < SIX:
            fields = (source, _IP, here, Field("ip_src", address))
            rules: tuple[Rule, ...] = (new(table, addresses, fields, admit, cause),)
            if arp:
                own = (sha, Field("arp_spa", address), source, _ARP, here)
                # An address probe (RFC 5227) asks from 0.0.0.0 for the host's own address.
                asked = Field("arp_tpa", address)
                probe = (_REQUEST, sha, _NOBODY_ARP, asked, source, _ARP, here)
                rules += (
                    new(table, requests, own, admit, cause),
                    new(table, requests, probe, admit, cause),
                )
            yield number, rules
            continue
        sender = next(own_sender)
        rules = (new(table, addresses, (source, _IPV6, here, sender), admit, cause),)
        if nd:
            target = Field("nd_target", address)
            ask = (source, _IPV6, _SOLICIT, here, _ICMPV6)
            tell = (source, _IPV6, _ADVERTISE, here, _ICMPV6)
            rules += (
                new(table, requests, (*ask, _NOBODY_ND, target), admit, cause),
                new(table, requests, (*ask, sender, sll), admit, cause),
                new(table, requests, (*ask, sender, _NO_SLL), admit, cause),
                # Any own address may announce any other (RFC 4861, section 7.2.4).
                *[
                    new(table, requests, (*tell, teller, target, option), admit, cause)
                    for teller in senders
                    for option in (tll, _NO_TLL)
                ],
            )
        yield number, rules
