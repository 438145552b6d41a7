"""Observation: reporting and counting connections without delaying a packet.

Of a TCP connection the switch sends short copies: of the packet that opens it,
and, from the edge where they come in, of those that answer, refuse or close it.
Their sequence numbers tell what was carried, and no rule depends on one
connection, so that the next one is forwarded by what the switch has cached. Of
every other protocol the switch copies the first packet and learns one counting
rule per connection and direction. All copies go through the edge port's meter.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.compiler.common.rule_parts import (
    ETH_IP,
    ETH_IPV6,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    flag,
    flags,
    rule,
)
from policies.model import ICMP, ICMPV6, SCTP, TCP, UDP
from policies.rules import layout
from policies.rules.conntrack import CT_NEW, CT_TRK
from policies.rules.layout import Category, DecidedBits, Reason, RuleTable, cookie
from policies.rules.rule import (
    Bits,
    Field,
    Goto,
    Learn,
    LearnConstant,
    LearnMatch,
    Load,
    Resubmit,
    Rule,
)


def observation_rules() -> Iterator[Rule]:
    yield from _direct()
    yield from _record()


def _direct() -> Iterator[Rule]:
    """The initiator's edge is where a connection is counted and reported."""
    denied = flag(layout.OUTCOME, DecidedBits.DENY)
    yield rule(
        RuleTable.OBSERVE,
        400,
        flags(denied, flag(layout.FROM_EDGE), flag(layout.REPLY, 0)),
        Load(layout.REASON, Reason.DENIED),
        Resubmit(RuleTable.REPORT),
        Goto(RuleTable.COMMIT),
    )
    yield rule(RuleTable.OBSERVE, 390, (denied,), Goto(RuleTable.COMMIT))
    yield rule(RuleTable.OBSERVE, 300, (flag(layout.RELATED),), Goto(RuleTable.COMMIT))
    for eth_type in (ETH_IP, ETH_IPV6):
        yield from _segments((Field("eth_type", eth_type), Field("ip_proto", TCP)))
    for priority, direction in (
        (210, flags(flag(layout.FROM_EDGE), flag(layout.REPLY, 0))),
        (200, flags(flag(layout.TO_LOCAL), flag(layout.REPLY))),
    ):
        yield rule(
            RuleTable.OBSERVE,
            priority,
            direction,
            Resubmit(RuleTable.COUNT),
            Goto(RuleTable.RECORD),
        )
    yield rule(RuleTable.OBSERVE, 0, (), Goto(RuleTable.COMMIT))


def _segments(tcp: tuple[Field, ...]) -> Iterator[Rule]:
    """TCP tells by its flags what becomes of a connection; each edge reports its own hosts'."""
    edge = flag(layout.FROM_EDGE)
    asks, answers = (flags(edge, flag(layout.REPLY, value)) for value in (0, 1))
    new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW)
    for priority, fields, reason in (
        (274, (*asks, new), Reason.CONNECTION),
        (273, (*answers, _tcp(TCP_SYN)), Reason.PROGRESS),
        (272, (edge, _tcp(TCP_FIN)), Reason.PROGRESS),
        (271, (edge, _tcp(TCP_RST)), Reason.PROGRESS),
    ):
        report = (Load(layout.REASON, reason), Resubmit(RuleTable.REPORT))
        yield rule(RuleTable.OBSERVE, priority, (*tcp, *fields), *report, Goto(RuleTable.COMMIT))
    yield rule(RuleTable.OBSERVE, 270, tcp, Goto(RuleTable.COMMIT))


def _tcp(bit: int) -> Field:
    return Field("tcp_flags", bit, bit)


def _record() -> Iterator[Rule]:
    """A first packet is reported; a counting rule is learned wherever there is none."""
    yield rule(RuleTable.RECORD, 300, (flag(layout.COUNTED),), Goto(RuleTable.COMMIT))
    report = (Load(layout.REASON, Reason.CONNECTION), Resubmit(RuleTable.REPORT))
    for eth_type in (ETH_IP, ETH_IPV6):
        for number, ports in _countable(eth_type):
            fields = (
                Field("eth_type", eth_type),
                *(() if number is None else (Field("ip_proto", number),)),
            )
            learn = _learn(eth_type, number, ports)
            priority = 20 if number is None else 30
            new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW)
            yield rule(
                RuleTable.RECORD,
                100 + priority,
                (*fields, new),
                learn,
                *report,
                Goto(RuleTable.COMMIT),
            )
            yield rule(RuleTable.RECORD, priority, fields, learn, Goto(RuleTable.COMMIT))
    yield rule(RuleTable.RECORD, 0, (), Goto(RuleTable.COMMIT))


def _countable(eth_type: int) -> Iterator[tuple[int | None, tuple[Bits, ...]]]:
    for number, name in ((UDP, "udp"), (SCTP, "sctp")):
        yield number, (Bits(f"{name}_src", 0, 16), Bits(f"{name}_dst", 0, 16))
    if eth_type == ETH_IP:
        yield ICMP, (Bits("icmp_type", 0, 8), Bits("icmp_code", 0, 8))
    else:
        yield ICMPV6, (Bits("icmpv6_type", 0, 8), Bits("icmpv6_code", 0, 8))
    yield None, ()


def _learn(eth_type: int, proto: int | None, ports: tuple[Bits, ...]) -> Learn:
    family, width = ("ip", 32) if eth_type == ETH_IP else ("ipv6", 128)
    kind: LearnMatch | LearnConstant = (
        LearnMatch(Bits("ip_proto", 0, 8))
        if proto is None
        else LearnConstant(Bits("ip_proto", 0, 8), proto)
    )
    return Learn(
        table=RuleTable.COUNT,
        priority=100,
        cookie=cookie(Category.COUNT),
        idle_timeout=layout.COUNT_IDLE,
        limit=layout.COUNT_LIMIT,
        match=(
            LearnConstant(Bits("eth_type", 0, 16), eth_type),
            kind,
            LearnMatch(Bits(f"{family}_src", 0, width)),
            LearnMatch(Bits(f"{family}_dst", 0, width)),
            *(LearnMatch(port) for port in ports),
            LearnMatch(layout.REPLY),
            LearnMatch(layout.OUTCOME),
            LearnMatch(layout.INTENT),
        ),
        load=Load(layout.COUNTED, 1),
    )
