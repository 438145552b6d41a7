"""Rules that tie addresses to ports: what a host may send, and the way to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

from policies import layout
from policies.compiler.parts import ETH_ARP, ETH_IP, ETH_IPV6, flag, neighbour_fields
from policies.layout import Category, Reason, Table, cookie, name_number
from policies.model import Action, Infrastructure, Policy
from policies.rules import Field, Goto, Load, Output, Resubmit, Rule, RuleAction, match
from topology.records import Binding

SOLICITATION, ADVERTISEMENT = 135, 136


def mac_number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def link_local(mac: str) -> IPv6Address:
    """The ``fe80::`` address that a host forms from its MAC (RFC 4291, appendix A)."""
    number = mac_number(mac) ^ 0x0200_0000_0000
    interface = (number >> 24) << 40 | 0xFFFE << 24 | number & 0xFF_FFFF
    return IPv6Address(0xFE80 << 112 | interface)


def declared_bindings(policy: Policy) -> tuple[Binding, ...]:
    """The bindings that a policy declares completely: MAC, address and port are all given."""
    return tuple(
        Binding(host.mac, str(address), host.switch, host.port, host.name)
        for host in policy.hosts
        if host.mac is not None and host.switch is not None and host.port is not None
        for address in host.ips
    )


def with_link_local(bindings: Iterable[Binding]) -> tuple[Binding, ...]:
    """The bindings, and for each MAC on a port its ``fe80::`` address."""
    every = dict.fromkeys(bindings)
    for binding in tuple(every):
        local = str(link_local(binding.mac))
        every.setdefault(Binding(binding.mac, local, binding.switch, binding.port, binding.host))
    return tuple(every)


def host_rules(
    switch: int,
    bindings: Sequence[Binding],
    next_ports: Mapping[int, int],
    infrastructure: Infrastructure,
) -> Iterator[Rule]:
    """Guard rules for the hosts on ``switch``, and the way to every host.

    ``next_ports`` maps each other switch to the port that leads to it; hosts on
    switches that are not in it get no way, and their packets are dropped here.
    """
    placed: set[str] = set()
    for binding in with_link_local(bindings):
        local = binding.switch == switch
        if local:
            yield from _guard(binding, infrastructure)
        port = binding.port if local else next_ports.get(binding.switch)
        if port is None:
            continue
        if binding.mac not in placed:
            placed.add(binding.mac)
            yield from _way(binding, port, local)
        yield from _find(binding, port, infrastructure)
    # Answers are unicast; a question nobody here can answer is reported.
    for table, allowed, answer in (
        (Table.ARP, infrastructure.arp, (Field("arp_op", 2), Field("eth_type", ETH_ARP))),
        (Table.ND, infrastructure.nd, neighbour_fields(ADVERTISEMENT)),
    ):
        if allowed is Action.ALLOW:
            unicast = Field("eth_dst", 0, 1 << 40)
            yield _rule(table, 100, (*answer, unicast), Goto(Table.FORWARD))
            yield _rule(
                table,
                10,
                (flag(layout.FROM_EDGE),),
                Load(layout.REASON, Reason.UNKNOWN_TARGET),
                Resubmit(Table.REPORT),
            )


def _rule(
    table: Table,
    priority: int,
    fields: tuple[Field, ...],
    *actions: RuleAction,
    category: Category = Category.BASE,
    number: int = 0,
) -> Rule:
    return Rule(table, priority, match(*fields), actions, cookie(category, number))


def _guard(binding: Binding, infrastructure: Infrastructure) -> Iterator[Rule]:
    """What this address may send from its port, and nothing else with that address."""
    mac = mac_number(binding.mac)
    here = (Field("in_port", binding.port), Field("eth_src", mac))
    admit = (Load(layout.FROM_EDGE, 1), Goto(Table.LOCALITY))
    number = name_number(f"{binding.mac} {binding.ip}")

    def admitted(priority: int, *fields: Field) -> Rule:
        return _rule(
            Table.GUARD,
            priority,
            (*here, *fields),
            *admit,
            category=Category.BINDING,
            number=number,
        )

    address = ip_address(binding.ip)
    if address.version == 4:
        yield admitted(190, Field("eth_type", ETH_IP), Field("ip_src", int(address)))
        if infrastructure.arp is Action.ALLOW:
            own = (Field("eth_type", ETH_ARP), Field("arp_sha", mac))
            yield admitted(210, *own, Field("arp_spa", int(address)))
            # An address probe (RFC 5227) asks from 0.0.0.0 for the host's own address.
            probe = (Field("arp_spa", 0), Field("arp_tpa", int(address)))
            yield admitted(210, *own, *probe, Field("arp_op", 1))
        return
    source = Field("ipv6_src", int(address))
    yield admitted(190, Field("eth_type", ETH_IPV6), source)
    if infrastructure.nd is Action.ALLOW:
        for sender in (mac, 0):  # the source link-layer option may be left out
            yield admitted(210, *neighbour_fields(SOLICITATION), source, Field("nd_sll", sender))
            yield admitted(
                210,
                *neighbour_fields(ADVERTISEMENT),
                Field("nd_target", int(address)),
                Field("nd_tll", sender),
            )
        unspecified = Field("ipv6_src", 0)
        yield admitted(
            210, *neighbour_fields(SOLICITATION), unspecified, Field("nd_target", int(address))
        )


def _way(binding: Binding, port: int, local: bool) -> Iterator[Rule]:
    here = Field("eth_dst", mac_number(binding.mac))
    number = name_number(binding.mac)
    if local:
        yield _rule(
            Table.LOCALITY,
            100,
            (here,),
            Load(layout.TO_LOCAL, 1),
            Goto(Table.TRACK),
            category=Category.FORWARD,
            number=number,
        )
    yield _rule(Table.FORWARD, 100, (here,), Output(port), category=Category.FORWARD, number=number)


def _find(binding: Binding, port: int, infrastructure: Infrastructure) -> Iterator[Rule]:
    """A request for this address goes to its owner's port alone, also with the controller down."""
    address = ip_address(binding.ip)
    number = name_number(f"{binding.mac} {binding.ip}")
    if address.version == 4:
        fields: tuple[Field, ...] = (
            Field("eth_type", ETH_ARP),
            Field("arp_op", 1),
            Field("arp_tpa", int(address)),
        )
        table, allowed = Table.ARP, infrastructure.arp
    else:
        fields = (*neighbour_fields(SOLICITATION), Field("nd_target", int(address)))
        table, allowed = Table.ND, infrastructure.nd
    if allowed is Action.ALLOW:
        yield _rule(table, 200, fields, Output(port), category=Category.FORWARD, number=number)
