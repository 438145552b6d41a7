"""Fragments: judged by their packet's first one, which alone has the ports.

Connection tracking puts a packet together and hands its fragments on, each with
what it found. The later ones have no ports, and Open vSwitch's user datapath
keeps even the tracked ports from them. So they are not judged: they wait in
connection tracking a second time, and leave only when the first one has come
there too, which is where it goes once it is allowed. A first fragment that is
denied goes there with a port, or type, that no packet can have: that makes the
whole packet invalid, so that nothing of it waits for long or leaves.

The switch must match first fragments by their ports (``set-frags nx-match``).
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, flag, flags, rule
from policies.compiler.stateful.layouts import commit_rules
from policies.model import ICMP, ICMPV6
from policies.rules import layout
from policies.rules.conntrack import (
    ANY_FRAGMENT,
    CT_NEW,
    CT_TRK,
    FIRST_FRAGMENT,
    INVALID,
    LATER_FRAGMENT,
    PORTS,
    UNTRACKABLE,
)
from policies.rules.layout import DecidedBits, RuleTable
from policies.rules.rule import Bits, Commit, Field, Goto, Load, Rule, Track

_VALID = Field("ct_state", CT_TRK, INVALID)


def fragment_rules() -> Iterator[Rule]:
    """What is the same on every switch."""
    for eth_type in (ETH_IP, ETH_IPV6):
        fields = (Field("eth_type", eth_type), _VALID, LATER_FRAGMENT)
        yield rule(RuleTable.CONNECTION, 260, fields, Goto(RuleTable.COMMIT))
    # IPv6 extension headers may push the ports out of the first fragment, so that neither the
    # guard nor anybody else sees who asks for what (RFC 7112 has such packets dropped).
    for proto, port in PORTS.items():
        ports = (Field("ip_proto", proto), Field(port, 0))
        hidden = (Field("eth_type", ETH_IPV6), FIRST_FRAGMENT, *ports)
        yield rule(RuleTable.CONNECTION, 130, hidden)
    yield rule(RuleTable.FORWARD, 300, (Field("ct_state", INVALID, INVALID),))


def waiting_rules(zone: int) -> Iterator[Rule]:
    """Where fragments wait for each other, in a switch's zone. A connection that begins in
    fragments is remembered without its intent: the last fragment to come does not know it."""
    again = Track(zone, RuleTable.FORWARD)
    for eth_type in (ETH_IP, ETH_IPV6):
        family = Field("eth_type", eth_type)
        denied = (family, FIRST_FRAGMENT, flag(layout.OUTCOME, DecidedBits.DENY))
        query = (ICMP, "icmp_type") if eth_type == ETH_IP else (ICMPV6, "icmpv6_type")
        for proto, name in (*PORTS.items(), query):
            untrackable = Load(Bits(name, 0, 16 if proto in PORTS else 8), UNTRACKABLE[name])
            fields = flags(*denied, Field("ip_proto", proto))
            yield rule(RuleTable.COMMIT, 310, fields, untrackable, again)
        new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW)
        begins = (family, ANY_FRAGMENT, new)
        yield from commit_rules(210, begins, Commit(zone, RuleTable.FORWARD))
        yield rule(RuleTable.COMMIT, 200, (family, ANY_FRAGMENT), again)
    yield rule(RuleTable.COMMIT, 300, (flag(layout.OUTCOME, DecidedBits.DENY),))
