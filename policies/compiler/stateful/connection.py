"""Which connection a packet belongs to: its original tuple, written into registers."""

from __future__ import annotations

from collections.abc import Iterator

from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, rule
from policies.compiler.common.services import ANSWERS, PORTS
from policies.model import ICMP, ICMPV6
from policies.rules import layout
from policies.rules.conntrack import CT_INV, CT_REL, CT_RPL, CT_TRK
from policies.rules.layout import RuleTable
from policies.rules.rule import Bits, Field, Goto, Load, Move, Rule


def connection_rules() -> Iterator[Rule]:
    """Write the connection's *original* tuple into registers, whichever way this packet goes.

    ICMP errors belong to another connection and take its tuple from connection
    tracking. Otherwise the tuple is read off the packet's own header and
    swapped for replies, so that ``ofproto/trace``, which leaves the tracked
    tuple empty, sees what the switch does.
    """
    tracked = CT_TRK | CT_INV
    yield rule(RuleTable.CONNECTION, 300, (Field("ct_state", tracked, tracked),))
    for eth_type in (ETH_IP, ETH_IPV6):
        family = Field("eth_type", eth_type)
        error = (family, Field("ct_state", CT_TRK | CT_REL, CT_TRK | CT_REL))
        query = Field("ct_nw_proto", ICMP if eth_type == ETH_IP else ICMPV6)
        # Of an ICMP query tracking keeps the type as source port, and its code as the other.
        for priority, fields, port in (
            (251, (*error, query), "ct_tp_src"),
            (250, error, "ct_tp_dst"),
        ):
            yield rule(
                RuleTable.CONNECTION,
                priority,
                fields,
                *_addresses(eth_type, swapped=False, tracked=True),
                Move(Bits("ct_nw_proto", 0, 8), layout.PROTO),
                Move(Bits(port, 0, 16), layout.PORT),
                Load(layout.RELATED, 1),
                Goto(RuleTable.MARK_SOURCE),
            )
        for reply in (False, True):
            state = Field("ct_state", CT_TRK | (CT_RPL if reply else 0), CT_TRK | CT_RPL)
            yield from _tuple_rules(eth_type, (family, state), reply)


def _tuple_rules(eth_type: int, fields: tuple[Field, ...], reply: bool) -> Iterator[Rule]:
    ends = _addresses(eth_type, swapped=reply, tracked=False)
    after = (Load(layout.REPLY, int(reply)), Goto(RuleTable.MARK_SOURCE))
    for number, name in PORTS.items():
        port = Bits(f"{name}_src" if reply else f"{name}_dst", 0, 16)
        yield rule(
            RuleTable.CONNECTION,
            110,
            (*fields, Field("ip_proto", number)),
            *ends,
            Load(layout.PROTO, number),
            Move(port, layout.PORT),
            *after,
        )
    number, name = (ICMP, "icmp_type") if eth_type == ETH_IP else (ICMPV6, "icmpv6_type")
    icmp = (*fields, Field("ip_proto", number))
    yield rule(
        RuleTable.CONNECTION,
        110,
        icmp,
        *ends,
        Load(layout.PROTO, number),
        Move(Bits(name, 0, 8), layout.ICMP_TYPE),
        *after,
    )
    if reply:
        for answer, query in ANSWERS[number].items():
            yield rule(
                RuleTable.CONNECTION,
                120,
                (*icmp, Field(name, answer)),
                *ends,
                Load(layout.PROTO, number),
                Load(layout.ICMP_TYPE, query),
                *after,
            )
    yield rule(
        RuleTable.CONNECTION, 100, fields, *ends, Move(Bits("ip_proto", 0, 8), layout.PROTO), *after
    )


def _addresses(eth_type: int, *, swapped: bool, tracked: bool) -> tuple[Move, Move]:
    if eth_type == ETH_IP:
        names = ("ct_nw_src", "ct_nw_dst") if tracked else ("ip_src", "ip_dst")
        width, registers = 32, (layout.SOURCE_REGS[0], layout.TARGET_REGS[0])
    else:
        names = ("ct_ipv6_src", "ct_ipv6_dst") if tracked else ("ipv6_src", "ipv6_dst")
        width, registers = 128, (layout.SOURCE_WIDE, layout.TARGET_WIDE)
    source, target = reversed(names) if swapped else names
    return (
        Move(Bits(source, 0, width), Bits(registers[0], 0, width)),
        Move(Bits(target, 0, width), Bits(registers[1], 0, width)),
    )
