"""What all kinds of switches have, in the tables and registers of one that tracks connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policies.compiler.common.port_guard import GuardLayout
from policies.compiler.common.requests import RequestLayout
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, flag, rule
from policies.compiler.common.services import Fields, port_masks
from policies.model import ICMP, ICMPV6
from policies.rules import layout
from policies.rules.layout import Reason, RuleTable
from policies.rules.rule import (
    REMEMBERED,
    Commit,
    Field,
    Goto,
    Load,
    Resubmit,
    Rule,
    RuleAction,
)


def report(reason: Reason) -> tuple[RuleAction, ...]:
    """A copy to the controller with its reason."""
    return (Load(layout.REASON, reason), Resubmit(RuleTable.REPORT))


def owner_fields(switch: int) -> tuple[Field, Field]:
    """Match packets whose target is on a switch."""
    high, low = layout.OWNER_REGS
    return Field(high, switch >> 32), Field(low, switch & 0xFFFF_FFFF)


GUARD = GuardLayout(
    RuleTable.GUARD,
    admit=(Load(layout.FROM_EDGE, 1), Goto(RuleTable.LOCALITY)),
    onward=(Goto(RuleTable.LOCALITY),),
    discovered=report(Reason.LINK),
    report=report(Reason.GUARD),
    rest=10,
)
REQUESTS = RequestLayout(
    RuleTable.ARP,
    RuleTable.ND,
    answered=(Goto(RuleTable.FORWARD),),
    unknown=report(Reason.UNKNOWN_TARGET),
    from_edge=flag(layout.FROM_EDGE),
    following=(RuleTable.ND, RuleTable.TRACK),
)


@dataclass(frozen=True, slots=True)
class RegisterServices:
    """The responder's service in registers, whichever way a packet goes."""

    def of_protocol(self, proto: int) -> Iterator[Fields]:
        """Match everything of a protocol."""
        yield (*_family(proto), Field(layout.PROTO.field, proto << layout.PROTO.low, _PROTO_MASK))

    def of_range(self, proto: int, low: int, high: int) -> Iterator[Fields]:
        """Match a protocol's ports, or ICMP types, from ``low`` to ``high`` inclusive."""
        number = proto << layout.PROTO.low
        for value, mask in port_masks(low, high):
            yield (*_family(proto), Field(layout.PORT.field, number | value, _PROTO_MASK | mask))


def _family(proto: int) -> Fields:
    family = {ICMP: ETH_IP, ICMPV6: ETH_IPV6}.get(proto)
    return () if family is None else (Field("eth_type", family),)


UNTRACKED = Field(REMEMBERED.field, 0, 1 << REMEMBERED.low)
_PROTO_MASK = 0xFF << layout.PROTO.low
SERVICES = RegisterServices()


def commit_rules(
    priority: int, fields: Fields, commit: Commit, before: tuple[RuleAction, ...] = ()
) -> Iterator[Rule]:
    """Rules that remember a new connection. One from an edge port that is not tracked yet passes
    that port's meter first, so that no host fills the connection table."""
    yield rule(RuleTable.COMMIT, priority, fields, *before, commit)
    metered = (*fields, flag(layout.FROM_EDGE), UNTRACKED)
    yield rule(RuleTable.COMMIT, priority + 5, metered, Resubmit(RuleTable.METER), *before, commit)
