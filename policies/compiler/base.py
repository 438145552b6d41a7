"""The rules that every switch has, whatever the policy: tracking, marks, modes, observation."""

from __future__ import annotations

from collections.abc import Iterator

from policies import layout
from policies.layout import Category, Outcome, Reason, Table, cookie
from policies.compiler.identity import ETH_IP, ETH_IPV6
from policies.model import ICMP, ICMPV6, SCTP, TCP, UDP, Mode
from policies.rules import (
    Bits,
    Commit,
    CopyToController,
    Field,
    Goto,
    Learn,
    LearnConstant,
    LearnMatch,
    Load,
    Move,
    Resubmit,
    Rule,
    RuleAction,
    Track,
    match,
)

BASE = cookie(Category.BASE)
# ct_state bits as Open vSwitch numbers them
CT_NEW, CT_EST, CT_REL, CT_RPL, CT_INV, CT_TRK = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
ETH_ARP, ETH_LLDP = 0x0806, 0x88CC
# An ICMP query and its answer are one connection: the answer's type is the query's.
ICMP_ANSWERS = {0: 8, 14: 13, 16: 15, 18: 17}
ICMPV6_ANSWERS = {129: 128}


def flag(bits: Bits, value: int = 1) -> Field:
    """Match ``value`` in a run of bits of a register."""
    return Field(bits.field, value << bits.low, ((1 << bits.width) - 1) << bits.low)


def flags(*fields: Field) -> tuple[Field, ...]:
    """Match several runs of bits; those of one register become one field."""
    merged: dict[str, Field] = {}
    for field in fields:
        known = merged.get(field.name)
        if known is None or known.mask is None or field.mask is None:
            merged[field.name] = field
        else:
            merged[field.name] = Field(
                field.name, known.value | field.value, known.mask | field.mask
            )
    return match(*(_exact_when_full(each) for each in merged.values()))


def _exact_when_full(field: Field) -> Field:
    full = field.name.startswith("reg") and field.mask == 0xFFFF_FFFF
    return Field(field.name, field.value) if full else field


def rule(table: Table, priority: int, fields: tuple[Field, ...], *actions: RuleAction) -> Rule:
    return Rule(table, priority, match(*fields), actions, BASE)


def base_rules(zone: int) -> Iterator[Rule]:
    """Everything that does not depend on hosts, ports or intents."""
    yield from _guard_and_locality()
    yield from _track(zone)
    yield from _connection()
    yield from _decide()
    yield from _observe()
    yield from _record()
    yield from _commit(zone)


def _guard_and_locality() -> Iterator[Rule]:
    # Bridge-local protocols (STP, LACP, 802.1X) never reach hosts.
    yield rule(Table.GUARD, 450, (Field("eth_dst", 0x0180C2000000, 0xFFFFFFFFFFF0),))
    yield rule(Table.LOCALITY, 300, (Field("eth_type", ETH_ARP),), Goto(Table.ARP))
    for icmp_type in (135, 136):
        yield rule(Table.LOCALITY, 300, _icmpv6(icmp_type), Goto(Table.ND))
    # Multicast and broadcast pass only where an infrastructure rule above says so.
    yield rule(Table.LOCALITY, 200, (Field("eth_dst", 1 << 40, 1 << 40),))
    yield rule(Table.LOCALITY, 0, (), Goto(Table.TRACK))


def _icmpv6(icmp_type: int) -> tuple[Field, ...]:
    return (
        Field("eth_type", ETH_IPV6),
        Field("ip_proto", ICMPV6),
        Field("icmpv6_type", icmp_type),
    )


def _track(zone: int) -> Iterator[Rule]:
    """Each edge tracks the connections of its own hosts; others only pass through."""
    for eth_type in (ETH_IP, ETH_IPV6):
        for end in (layout.FROM_EDGE, layout.TO_LOCAL):
            yield rule(
                Table.TRACK,
                200 if end is layout.FROM_EDGE else 190,
                (Field("eth_type", eth_type), flag(end)),
                Track(zone, Table.CONNECTION),
            )
    yield rule(Table.TRACK, 100, (flag(layout.FROM_EDGE),))  # neither IP nor ARP
    yield rule(Table.TRACK, 0, (), Goto(Table.FORWARD))


def _connection() -> Iterator[Rule]:
    """Write the connection's *original* tuple into registers, whichever way this packet goes.

    ICMP errors belong to another connection and take its tuple from connection
    tracking. Otherwise the tuple is read off the packet's own header and
    swapped for replies, so that ``ofproto/trace``, which leaves the tracked
    tuple empty, sees what the switch does.
    """
    tracked = CT_TRK | CT_INV
    yield rule(Table.CONNECTION, 300, (Field("ct_state", tracked, tracked),))
    for eth_type in (ETH_IP, ETH_IPV6):
        family = Field("eth_type", eth_type)
        yield rule(
            Table.CONNECTION,
            250,
            (family, Field("ct_state", CT_TRK | CT_REL, CT_TRK | CT_REL)),
            *_addresses(eth_type, swapped=False, tracked=True),
            Move(Bits("ct_nw_proto", 0, 8), layout.PROTO),
            Move(Bits("ct_tp_dst", 0, 16), layout.PORT),
            Load(layout.RELATED, 1),
            Goto(Table.MARK_SOURCE),
        )
        for reply in (False, True):
            state = Field("ct_state", CT_TRK | (CT_RPL if reply else 0), CT_TRK | CT_RPL)
            yield from _tuple_rules(eth_type, (family, state), reply)


def _tuple_rules(eth_type: int, fields: tuple[Field, ...], reply: bool) -> Iterator[Rule]:
    ends = _addresses(eth_type, swapped=reply, tracked=False)
    after = (Load(layout.REPLY, int(reply)), Goto(Table.MARK_SOURCE))
    for number, name in ((TCP, "tcp"), (UDP, "udp"), (SCTP, "sctp")):
        port = Bits(f"{name}_src" if reply else f"{name}_dst", 0, 16)
        yield rule(
            Table.CONNECTION,
            110,
            (*fields, Field("ip_proto", number)),
            *ends,
            Load(layout.PROTO, number),
            Move(port, layout.PORT),
            *after,
        )
    number, name, answers = (
        (ICMP, "icmp_type", ICMP_ANSWERS)
        if eth_type == ETH_IP
        else (ICMPV6, "icmpv6_type", ICMPV6_ANSWERS)
    )
    icmp = (*fields, Field("ip_proto", number))
    yield rule(
        Table.CONNECTION,
        110,
        icmp,
        *ends,
        Load(layout.PROTO, number),
        Move(Bits(name, 0, 8), layout.ICMP_TYPE),
        *after,
    )
    if reply:
        for answer, query in answers.items():
            yield rule(
                Table.CONNECTION,
                120,
                (*icmp, Field(name, answer)),
                *ends,
                Load(layout.PROTO, number),
                Load(layout.ICMP_TYPE, query),
                *after,
            )
    yield rule(
        Table.CONNECTION, 100, fields, *ends, Move(Bits("ip_proto", 0, 8), layout.PROTO), *after
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


def _decide() -> Iterator[Rule]:
    yield rule(Table.MARK_SOURCE, 0, (), Goto(Table.MARK_TARGET))
    yield rule(Table.MARK_TARGET, 0, (), Goto(Table.SOURCE))
    yield rule(Table.EMERGENCY, 0, (), Goto(Table.ADAPTIVE))
    yield rule(
        Table.ADAPTIVE,
        200,
        (flag(layout.QUARANTINED),),
        Load(layout.OUTCOME, Outcome.DENY),
        Load(layout.BY_DECISION, 1),
        Goto(Table.OBSERVE),
    )
    yield rule(Table.ADAPTIVE, 0, (), Goto(Table.POLICY))
    # A deny goes as far as the stricter mode of its two ends.
    for priority, mode, outcome in (
        (300, Mode.ENFORCE, Outcome.DENY),
        (200, Mode.AUDIT, Outcome.WOULD_DENY),
    ):
        for end in (layout.SOURCE_MODE, layout.TARGET_MODE):
            yield rule(
                Table.MODE,
                priority + (1 if end is layout.SOURCE_MODE else 0),
                (flag(end, mode),),
                Load(layout.OUTCOME, outcome),
                Goto(Table.OBSERVE),
            )
    yield rule(Table.MODE, 0, (), Load(layout.OUTCOME, Outcome.OBSERVED), Goto(Table.OBSERVE))


def _observe() -> Iterator[Rule]:
    """The initiator's edge is where a connection is counted and reported."""
    denied = flag(layout.OUTCOME, Outcome.DENY)
    yield rule(
        Table.OBSERVE,
        400,
        flags(denied, flag(layout.FROM_EDGE), flag(layout.REPLY, 0)),
        Load(layout.REASON, Reason.DENIED),
        Resubmit(Table.REPORT),
    )
    yield rule(Table.OBSERVE, 390, (denied,))
    yield rule(Table.OBSERVE, 300, (flag(layout.RELATED),), Goto(Table.COMMIT))
    for priority, direction in (
        (210, flags(flag(layout.FROM_EDGE), flag(layout.REPLY, 0))),
        (200, flags(flag(layout.TO_LOCAL), flag(layout.REPLY))),
    ):
        yield rule(Table.OBSERVE, priority, direction, Resubmit(Table.COUNT), Goto(Table.RECORD))
    yield rule(Table.OBSERVE, 0, (), Goto(Table.COMMIT))


def _record() -> Iterator[Rule]:
    """Let the switch learn one counting rule per connection and direction; report the first packet."""
    yield rule(Table.RECORD, 300, (flag(layout.COUNTED),), Goto(Table.COMMIT))
    report = (Load(layout.REASON, Reason.CONNECTION), Resubmit(Table.REPORT))
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
                Table.RECORD, 100 + priority, (*fields, new), learn, *report, Goto(Table.COMMIT)
            )
            yield rule(Table.RECORD, priority, fields, learn, Goto(Table.COMMIT))
    yield rule(Table.RECORD, 0, (), Goto(Table.COMMIT))


def _countable(eth_type: int) -> Iterator[tuple[int | None, tuple[Bits, ...]]]:
    for number, name in ((TCP, "tcp"), (UDP, "udp"), (SCTP, "sctp")):
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
        table=Table.COUNT,
        priority=100,
        cookie=cookie(Category.COUNT),
        idle_timeout=layout.COUNT_IDLE,
        fin_idle_timeout=layout.COUNT_FIN_IDLE,
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


def _commit(zone: int) -> Iterator[Rule]:
    new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW)
    for eth_type in (ETH_IP, ETH_IPV6):
        yield rule(
            Table.COMMIT,
            100,
            (Field("eth_type", eth_type), new),
            Commit(zone, layout.INTENT),
            Goto(Table.FORWARD),
        )
    yield rule(Table.COMMIT, 0, (), Goto(Table.FORWARD))


def port_rules(edge_ports: tuple[int, ...], trunks: frozenset[int]) -> Iterator[Rule]:
    """Per port: what a trunk passes on, what an edge port may not, and its metered copies."""
    yield rule(
        Table.GUARD,
        500,
        (Field("eth_type", ETH_LLDP),),
        Load(layout.REASON, Reason.LINK),
        Resubmit(Table.REPORT),
    )
    for port in sorted(trunks):
        yield rule(Table.GUARD, 400, (Field("in_port", port),), Goto(Table.LOCALITY))
    for port in sorted({*edge_ports, *trunks}):
        yield rule(Table.REPORT, 100, (Field("in_port", port),), CopyToController(port))
    for port in sorted(set(edge_ports) - trunks):
        yield rule(
            Table.GUARD,
            10,
            (Field("in_port", port),),
            Load(layout.REASON, Reason.GUARD),
            Resubmit(Table.REPORT),
        )
        # A neighbour advertisement or solicitation passes only by a binding's own rule.
        for icmp_type in (135, 136):
            yield rule(
                Table.GUARD,
                200,
                (Field("in_port", port), *_icmpv6(icmp_type)),
                Load(layout.REASON, Reason.GUARD),
                Resubmit(Table.REPORT),
            )
