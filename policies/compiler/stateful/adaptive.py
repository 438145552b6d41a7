"""The adaptive tier as rules: machine decisions, their exemptions, and the precedence of feeds. A
decision marks addresses before identities replace them, and whatever comes from or goes to a port
that it takes whole; fixed rules implement the marks. It changes no other rule, so removing its
rules undoes it exactly, and the switch itself ends them by their hard timeout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.compiler.common.restrictions import (
    HeldAddress,
    HeldPort,
    held_addresses,
    held_ports,
)
from policies.compiler.common.rule_parts import BASE, ETH_IP, ETH_IPV6, flag, flags, rule
from policies.compiler.stateful.identities import SOURCE, TARGET, EndLayout, address_fields
from policies.compiler.stateful.layouts import owner_fields
from policies.model import Address, Network, Restriction
from policies.rules import layout
from policies.rules.layout import DecidedBits, RuleTable, limit_meter
from policies.rules.rule import Field, Goto, Load, Meter, Rule, RuleAction, UseMeter, match

QUARANTINE, ISOLATE, LIMIT, PROTECTED = 200, 190, 100, 50  # priorities
OF_PORT = 5  # more, for a decision on all of a port


def adaptive_rules() -> Iterator[Rule]:
    """Rules that implement the marks, the same on every switch."""
    deny = (
        Load(layout.OUTCOME, DecidedBits.DENY),
        Load(layout.BY_DECISION, 1),
        Goto(RuleTable.OBSERVE),
    )
    for priority, mark in (
        (300, layout.QUARANTINED),
        (250, layout.ISOLATED),
        (200, layout.LISTED),
    ):
        yield rule(RuleTable.ADAPTIVE, priority, (flag(mark),), *deny)
    yield rule(RuleTable.ADAPTIVE, 0, (), Goto(RuleTable.POLICY))
    # What the tiers below allow comes by here.
    yield rule(
        RuleTable.AUDIT,
        100,
        (flag(layout.AUDITED),),
        Load(layout.OUTCOME, DecidedBits.WOULD_DENY),
        Load(layout.BY_DECISION, 1),
        Goto(RuleTable.OBSERVE),
    )
    yield rule(RuleTable.AUDIT, 0, (), Goto(RuleTable.OBSERVE))
    yield rule(RuleTable.LISTING, 0, (), Goto(RuleTable.CONNECTION))


def protected_rules(networks: Iterable[Network]) -> Iterator[Rule]:
    """Isolated hosts still reach these; see `adaptive_rules`."""
    for network in networks:
        start = int(network.network_address)
        fields = address_fields(TARGET, start, network.prefixlen, network.version)
        yield Rule(
            RuleTable.MARK_TARGET,
            PROTECTED,
            flags(flag(layout.ISOLATED), *fields),
            (Load(layout.ISOLATED, 0), Load(layout.DECISION, 0), Goto(RuleTable.SOURCE)),
            BASE,
        )


def restriction_rules(
    restrictions: Sequence[Restriction], now: float, switch: int
) -> Iterator[Rule]:
    """The rules of machine decisions that hold at ``now``, as one switch has them."""
    for held in held_addresses(restrictions, now):
        for parts in _parts(held):
            yield Rule(*parts, held.cause, held.timeout)
    for port in held_ports(restrictions, now):
        for parts in _port_parts(port, switch):
            yield Rule(*parts, port.cause, port.timeout)


def limit_meters(restrictions: Iterable[Restriction], rate: int, now: float) -> tuple[Meter, ...]:
    """One meter of ``rate`` packets per second for each decision that limits a host.

    A burst is a tenth of a second.
    """
    return tuple(
        Meter(limit_meter(each.number), rate, max(1, rate // 10))
        for each in restrictions
        if each.action == "rate_limit" and each.expires > now
    )


_Parts = tuple[RuleTable, int, tuple[Field, ...], tuple[RuleAction, ...]]
_MARKS = {
    RuleTable.SOURCE: (RuleTable.MARK_SOURCE, RuleTable.MARK_TARGET),
    RuleTable.TARGET: (RuleTable.MARK_TARGET, RuleTable.SOURCE),
}


def _parts(held: HeldAddress) -> Iterator[_Parts]:
    """Table, priority, match and actions of the rules for one address."""
    number, address = held.number, held.address
    if held.action == "rate_limit":
        yield _limit(number, address)
    elif held.action == "isolate":
        mark = (Load(layout.DECISION, number), Load(layout.ISOLATED, 1))
        yield _mark(SOURCE, ISOLATE, address, mark)
    else:
        mark = (Load(layout.DECISION, number), Load(layout.QUARANTINED, 1))
        for end in (SOURCE, TARGET):
            yield _mark(end, QUARANTINE, address, mark)


def _mark(end: EndLayout, priority: int, address: Address, mark: tuple[RuleAction, ...]) -> _Parts:
    """Mark packets of connections that have an address at one end."""
    table, following = _MARKS[end.table]
    length = 32 if address.version == 4 else 128
    fields = address_fields(end, int(address), length, address.version)
    return table, priority, match(*fields), (*mark, Goto(following))


def _limit(number: int, address: Address) -> _Parts:
    """Meter what a host itself sends, where it comes in, and go on."""
    family, name = (ETH_IP, "ip_src") if address.version == 4 else (ETH_IPV6, "ipv6_src")
    fields = (Field("eth_type", family), Field(name, int(address)), flag(layout.FROM_EDGE))
    actions = (UseMeter(limit_meter(number)), Goto(RuleTable.POLICY))
    return RuleTable.ADAPTIVE, LIMIT, match(*fields), actions


def _port_parts(held: HeldPort, switch: int) -> Iterator[_Parts]:
    """As `_parts`, for all that a port sends, on its own switch, and that goes there, on all.

    Which end of the connection the port has is told by the packet's way. An ICMP error is about a
    connection of either end.
    """
    own = switch == held.switch
    sends = (Field("in_port", held.port), flag(layout.FROM_EDGE))
    gets = (*owner_fields(held.switch), flag(layout.OWNER_PORT, held.port))
    if held.action == "rate_limit":
        if own:
            actions = (UseMeter(limit_meter(held.number)), Goto(RuleTable.POLICY))
            yield RuleTable.ADAPTIVE, LIMIT + OF_PORT, flags(*sends), actions
        return
    quarantine = held.action == "quarantine"
    mark = layout.QUARANTINED if quarantine else layout.ISOLATED
    marked = (Load(layout.DECISION, held.number), Load(mark, 1))
    priority = (QUARANTINE if quarantine else ISOLATE) + OF_PORT
    for end, initiator in ((SOURCE, True), (TARGET, False)):
        if not quarantine and not initiator:
            continue
        table, following = _MARKS[end.table]
        for fields, reply in ((sends, not initiator), (gets, initiator)):
            if fields is gets or own:
                way = [flag(layout.REPLY, int(reply))]
                if not quarantine:
                    way.append(flag(layout.RELATED, 0))
                yield table, priority, flags(*fields, *way), (*marked, Goto(following))
