"""Where a packet's target is, and the way there.

Every switch holds the location of every host in the same rules (owner switch
and port, in registers), so that a changed link changes only the few rules of
the forward table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from zlib import crc32

from policies.compiler.common.port_guard import ADVERTISEMENT, SOLICITATION
from policies.compiler.common.rule_parts import (
    ETH_ARP,
    ETH_IPV6,
    flag,
    flags,
    neighbour_fields,
    rule,
)
from policies.model import ICMPV6, Action, Infrastructure
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
from policies.semantics.prefix_sets import SIX

_FORWARD = cookie(Category.FORWARD)
_ARP, _IPV6 = Field("eth_type", ETH_ARP), Field("eth_type", ETH_IPV6)
_REQUEST, _ICMPV6 = Field("arp_op", 1), Field("ip_proto", ICMPV6)
_SOLICIT = Field("icmpv6_type", SOLICITATION)


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
            yield rule(table, 100, (*answer, unicast), Goto(RuleTable.FORWARD))
            for kind in kinds:
                asked = flags(*kind, flag(layout.FROM_EDGE))
                report = (Load(layout.REASON, Reason.UNKNOWN_TARGET), Resubmit(RuleTable.REPORT))
                yield rule(table, 10, asked, *report)
        for kind in kinds:
            yield rule(table, 5, kind)
        yield rule(table, 0, (), Goto(following))
