"""Rules that tie addresses to ports: what a host may send, and where it is.

What a host may send stands on its own switch only. Where a target is stands on
every switch in the same words (owner switch and port, in registers), so that a
changed link changes only the few rules of the forward table.

There are tens of these rules per host: the code below writes matches in the
sorted order that rules have and shares every field that it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from itertools import groupby
from typing import NamedTuple
from zlib import crc32

from policies.compiler.common.rule_parts import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    flag,
    flags,
    neighbour_fields,
)
from policies.model import ICMPV6, Action, Infrastructure, Policy
from policies.rules import layout
from policies.rules.layout import Category, Reason, RuleTable, cookie
from policies.rules.rule import (
    Field,
    Goto,
    Load,
    Output,
    OutputRegister,
    Resubmit,
    Rule,
    RuleAction,
)
from policies.rules.rule import match as sorted_match
from policies.semantics.prefix_sets import SIX, number_at
from topology.gc_tuning import collection_paused
from topology.records import Binding

SOLICITATION, ADVERTISEMENT = 135, 136
_BINDING, _FORWARD = cookie(Category.BINDING), cookie(Category.FORWARD)
_IP, _ARP, _IPV6 = (Field("eth_type", each) for each in (ETH_IP, ETH_ARP, ETH_IPV6))
_REQUEST = Field("arp_op", 1)
_NOBODY_ARP, _NOBODY_ND = Field("arp_spa", 0), Field("ipv6_src", 0)
_ICMPV6 = Field("ip_proto", ICMPV6)
_SOLICIT, _ADVERTISE = (Field("icmpv6_type", each) for each in (SOLICITATION, ADVERTISEMENT))
_NO_SLL, _NO_TLL = Field("nd_sll", 0), Field("nd_tll", 0)
ADMIT: tuple[RuleAction, ...] = (Load(layout.FROM_EDGE, 1), Goto(RuleTable.LOCALITY))


class AddressOnPort(NamedTuple):
    """An address on a port: ``number`` is the address as
    `policies.semantics.prefix_sets.number_of` has it."""

    switch: int
    port: int
    mac: int
    number: int


def mac_number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def link_local_number(mac: int) -> int:
    """The ``fe80::`` address that a host forms from its MAC (RFC 4291, appendix A)."""
    flipped = mac ^ 0x0200_0000_0000
    return 0xFE80 << 112 | (flipped >> 24) << 40 | 0xFFFE << 24 | flipped & 0xFF_FFFF


def link_local(mac: str) -> IPv6Address:
    return IPv6Address(link_local_number(mac_number(mac)))


@collection_paused()
def declared_bindings(policy: Policy) -> tuple[Binding, ...]:
    """The bindings that a policy declares completely: MAC, address and port are all given.

    Where no address is, the one of its MAC stands: the host may ask a server for others.
    """
    return tuple(
        Binding(host.mac, str(address), host.switch, host.port, host.name)
        for host in policy.hosts
        if host.mac is not None and host.switch is not None and host.port is not None
        for address in host.ips or (link_local(host.mac),)
    )


def place_of(binding: Binding) -> AddressOnPort:
    return AddressOnPort(
        binding.switch, binding.port, mac_number(binding.mac), number_at(binding.ip)
    )


def own_link_local(place: AddressOnPort) -> AddressOnPort:
    """The ``fe80::`` address that comes with a MAC on a port."""
    return AddressOnPort(place.switch, place.port, place.mac, link_local_number(place.mac) | SIX)


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


def hosts_on(switch: int, places: Iterable[AddressOnPort]) -> Iterator[tuple[int, int, list[int]]]:
    """Port, MAC and all addresses of each host of a switch; ``places`` are sorted."""
    here = (place for place in places if place.switch == switch)
    for (port, mac), own in groupby(here, key=lambda place: (place.port, place.mac)):
        yield port, mac, [place.number for place in own]


@lru_cache(maxsize=1 << 17)
def _found(
    switch: int, port: int, following: RuleTable, vlan: int | None = None
) -> tuple[RuleAction, ...]:
    tag = () if vlan is None else (Load(layout.VLAN, vlan),)
    return (Load(layout.OWNER, switch), Load(layout.OWNER_PORT, port), *tag, Goto(following))


def way_rule(mac: int, switch: int, port: int, vlan: int = 0) -> Rule:
    """Where the host with this MAC is, and the tag it wants there."""
    number = crc32(mac.to_bytes(6, "big"))
    fields = (Field("eth_dst", mac),)
    return Rule(
        RuleTable.LOCALITY,
        100,
        fields,
        _found(switch, port, RuleTable.ARP, vlan or None),
        _FORWARD | number,
    )


def find_rule(number: int, switch: int, port: int, vlan: int | None = None) -> Rule:
    """A request for this address goes to its owner's port alone, also with the controller down.

    ``vlan`` is 0 for an owner without a tag where other hosts have some: the frame may be
    addressed to one of them.
    """
    cause = _FORWARD | crc32(number.to_bytes(17, "big"))
    found = _found(switch, port, RuleTable.FORWARD, vlan)
    if number < SIX:
        return Rule(RuleTable.ARP, 200, (_REQUEST, Field("arp_tpa", number), _ARP), found, cause)
    fields = (_IPV6, _SOLICIT, _ICMPV6, Field("nd_target", number & ~SIX))
    return Rule(RuleTable.ND, 200, fields, found, cause)


def owner_fields(switch: int) -> tuple[Field, Field]:
    high, low = layout.OWNER_REGS
    return Field(high, switch >> 32), Field(low, switch & 0xFFFF_FFFF)


def local_rules(switch: int, next_ports: Mapping[int, int]) -> Iterator[Rule]:
    """The way to the hosts of every switch that can be reached; to the others there is none."""
    yield Rule(
        RuleTable.FORWARD, 100, owner_fields(switch), (OutputRegister(layout.OWNER_PORT),), _FORWARD
    )
    for other in sorted(next_ports):
        out = (Output(next_ports[other]),)
        yield Rule(RuleTable.FORWARD, 100, owner_fields(other), out, _FORWARD)


def request_rules(infrastructure: Infrastructure) -> Iterator[Rule]:
    """What becomes of ARP and neighbour discovery that no host's own rule takes."""
    arp = (Field("eth_type", ETH_ARP),)
    for table, allowed, answer, kinds, following in (
        (RuleTable.ARP, infrastructure.arp, (Field("arp_op", 2), *arp), (arp,), RuleTable.ND),
        (
            RuleTable.ND,
            infrastructure.nd,
            neighbour_fields(ADVERTISEMENT),
            (neighbour_fields(SOLICITATION), neighbour_fields(ADVERTISEMENT)),
            RuleTable.TRACK,
        ),
    ):
        if allowed is Action.ALLOW:
            # Answers are unicast; a question nobody here can answer is reported.
            unicast = Field("eth_dst", 0, 1 << 40)
            yield _base(table, 100, (*answer, unicast), Goto(RuleTable.FORWARD))
            for kind in kinds:
                asked = flags(*kind, flag(layout.FROM_EDGE))
                report = (Load(layout.REASON, Reason.UNKNOWN_TARGET), Resubmit(RuleTable.REPORT))
                yield _base(table, 10, asked, *report)
        for kind in kinds:
            yield _base(table, 5, kind)
        yield _base(table, 0, (), Goto(following))


def _base(table: RuleTable, priority: int, fields: tuple[Field, ...], *actions: RuleAction) -> Rule:
    return Rule(table, priority, sorted_match(*fields), actions, cookie(Category.BASE))
