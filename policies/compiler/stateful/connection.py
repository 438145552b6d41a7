"""Which connection a packet belongs to: its original tuple, written into registers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, rule
from policies.compiler.common.services import ANSWERS, PORTS, port_masks
from policies.model import ICMP, ICMPV6, RELATED_FROM, Action, Intent
from policies.rules import layout
from policies.rules.conntrack import CT_INV, CT_REL, CT_RPL, CT_TRK
from policies.rules.layout import RuleTable, name_number
from policies.rules.rule import Bits, Field, Goto, Load, Move, Rule


def connection_rules() -> Iterator[Rule]:
    """Write the connection's *original* tuple into registers, whichever way this packet goes.

    ICMP errors belong to another connection and take its tuple from connection
    tracking (`helper_rules` has others that do). Otherwise the tuple is read off
    the packet's own header and swapped for replies, so that ``ofproto/trace``,
    which leaves the tracked tuple empty, sees what the switch does.
    """
    tracked = CT_TRK | CT_INV
    yield rule(RuleTable.CONNECTION, 300, (Field("ct_state", tracked, tracked),))
    for eth_type in (ETH_IP, ETH_IPV6):
        family = Field("eth_type", eth_type)
        icmp = ICMP if eth_type == ETH_IP else ICMPV6
        related = Field("ct_state", CT_TRK | CT_REL, CT_TRK | CT_REL)
        error = (family, related, Field("ip_proto", icmp))
        query = Field("ct_nw_proto", icmp)
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


@dataclass(frozen=True, slots=True)
class Helpers:
    """What intents name helpers for: ``intents`` by number, with their protocols, and the
    ``ports`` (protocol, port, name of the helper) of connections that a helper reads."""

    intents: frozenset[tuple[int, int]] = frozenset()
    ports: frozenset[tuple[int, int, str]] = frozenset()

    @classmethod
    def of(cls, intents: Iterable[Intent]) -> Helpers:
        numbers, ports = set(), set()
        for intent in intents:
            for service in intent.services if intent.action is Action.ALLOW else ():
                proto, port, helper = service.proto, service.low, service.helper
                if proto is not None and port is not None and helper is not None:
                    numbers.add((name_number(intent.name), proto))
                    ports.add((proto, port, helper))
        return cls(frozenset(numbers), frozenset(ports))


def helper_rules(helpers: Helpers) -> Iterator[Rule]:
    """Rules for connections that a helper of an intent found, an FTP server's data for one.

    They are judged as the connection they belong to, whose original tuple connection tracking
    has for them, and whose intent is in their mark: they end with it. Those to a port below 1024
    are judged by themselves.
    """
    for number, proto in sorted(helpers.intents):
        for eth_type in (ETH_IP, ETH_IPV6):
            for reply in (False, True):
                wanted = CT_TRK | CT_REL | (CT_RPL if reply else 0)
                fields = (
                    Field("eth_type", eth_type),
                    Field("ct_state", wanted, CT_TRK | CT_REL | CT_RPL),
                    Field("ip_proto", proto),
                    Field("ct_mark", number),
                )
                name = f"{PORTS[proto]}_{'src' if reply else 'dst'}"
                for value, mask in port_masks(RELATED_FROM, 65_535):
                    yield rule(
                        RuleTable.CONNECTION,
                        252,
                        (*fields, Field(name, value, mask)),
                        *_addresses(eth_type, swapped=False, tracked=True),
                        Move(Bits("ct_nw_proto", 0, 8), layout.PROTO),
                        Move(Bits("ct_tp_dst", 0, 16), layout.PORT),
                        Load(layout.REPLY, int(reply)),
                        Goto(RuleTable.MARK_SOURCE),
                    )


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
