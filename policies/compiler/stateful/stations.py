"""Stations that serve a whole network: what they alone may send, and the way to them.

DHCP servers and routers are declared (`serves`, `routes`). Offers and router
advertisements pass from them and from nobody else; what asks for them goes to
their ports alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from zlib import crc32

from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, flag, flags, rule
from policies.compiler.stateful.layouts import GUARD, report
from policies.compiler.stateful.special_hosts import SpecialHosts
from policies.model import ADVERTISEMENTS, DHCP, ICMPV6, UDP, Action, Host, Infrastructure
from policies.rules import layout
from policies.rules.layout import Audience, Category, Reason, RuleTable, cookie
from policies.rules.rule import (
    CopyToController,
    Field,
    Goto,
    Load,
    Output,
    Rule,
    RuleAction,
    match,
)
from policies.semantics.prefix_sets import SIX, number_at
from topology.addresses import link_local_number, mac_number
from topology.records import Binding

SERVED, ROGUE = 205, 203  # guard priorities: below a host's own ARP and ND, above its addresses
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, REDIRECT = 133, 134, 137
_LINK_LOCAL = 0x3FA  # the ten bits of fe80::/10
_FLOODED = Load(layout.FLOODED, 1)


@dataclass(frozen=True, slots=True, order=True)
class Station:
    """A server or router on its port; ``numbers`` are its addresses, as in
    `policies.semantics.prefix_sets`."""

    switch: int
    port: int
    mac: int
    dhcp: bool
    advertises: bool
    numbers: tuple[int, ...]


def assigning(six: bool, *, offer: bool) -> tuple[Field, ...]:
    """Match DHCP from server to client, or from client to server."""
    server, client = (547, 546) if six else (67, 68)
    source, target = (server, client) if offer else (client, server)
    return (
        Field("eth_type", ETH_IPV6 if six else ETH_IP),
        Field("ip_proto", UDP),
        Field("udp_dst", target),
        Field("udp_src", source),
    )


def routing(kind: int) -> tuple[Field, ...]:
    """Match what hosts and routers of one link say to each other."""
    return (Field("eth_type", ETH_IPV6), Field("icmpv6_type", kind), Field("ip_proto", ICMPV6))


# In the order of their names, as in every match.
_IP, _IPV6 = Field("eth_type", ETH_IP), Field("eth_type", ETH_IPV6)
_UDP, _ICMPV6 = Field("ip_proto", UDP), Field("ip_proto", ICMPV6)
_ALL, _ROUTERS = Field("eth_dst", 0xFFFF_FFFF_FFFF), Field("eth_dst", 0x3333_0000_0002)
_NOBODY, _NOBODY6 = Field("ip_src", 0), Field("ipv6_src", 0)
_ASSIGN = (_UDP, _NOBODY, Field("udp_dst", 67), Field("udp_src", 68))
_SOLICIT = Field("icmpv6_type", ROUTER_SOLICITATION)


def client_rules(
    port: int,
    mac: int,
    infrastructure: Infrastructure,
    admit: tuple[RuleAction, ...] = GUARD.admit,
) -> tuple[Rule, ...]:
    """What a host may ask before it has an address: DHCP, and for routers (RFC 4861)."""
    own, here = Field("eth_src", mac), Field("in_port", port)
    cause = cookie(Category.BINDING) | crc32(mac.to_bytes(6, "big"))
    rules: tuple[Rule, ...] = ()
    if infrastructure.dhcp is Action.ALLOW:
        rules += (Rule(RuleTable.GUARD, 210, (_ALL, own, _IP, here, *_ASSIGN), admit, cause),)
    if infrastructure.nd is Action.ALLOW:
        fields = (_ROUTERS, own, _IPV6, _SOLICIT, here, _ICMPV6, _NOBODY6)
        rules += (Rule(RuleTable.GUARD, 210, fields, admit, cause),)
    return rules


def snooping_rules() -> Iterator[Rule]:
    """What a host says to a DHCP server goes to the controller first, whatever port it comes from
    and whomever it is addressed to; from there it comes back here, checked."""
    unchecked = flags(flag(layout.FROM_EDGE), flag(layout.CHECKED, 0))
    for family, port in ((ETH_IP, 67), (ETH_IPV6, 547)):
        fields = (Field("eth_type", family), _UDP, Field("udp_dst", port), *unchecked)
        yield rule(RuleTable.LOCALITY, 299, fields, *report(Reason.CLIENT))


def multicast_rules(infrastructure: Infrastructure) -> Iterator[Rule]:
    """Where multicast and broadcast go: an audience, or judged like anything else."""
    multicast = Field("eth_dst", 1 << 40, 1 << 40)
    dhcp = infrastructure.dhcp is Action.ALLOW
    nd = infrastructure.nd is Action.ALLOW
    asked: list[tuple[tuple[Field, ...], bool, Audience]] = [
        (assigning(False, offer=False), dhcp, Audience.SERVERS),
        (assigning(False, offer=True), dhcp, Audience.EVERYONE),
        (assigning(True, offer=False), dhcp, Audience.SERVERS),
        (routing(ROUTER_SOLICITATION), nd, Audience.ROUTERS),
        (routing(ROUTER_ADVERTISEMENT), nd, Audience.EVERYONE),
    ]
    for fields, allowed, audience in asked:
        to = (_FLOODED, Load(layout.AUDIENCE, audience), Goto(RuleTable.FORWARD))
        yield rule(RuleTable.LOCALITY, 295, (*fields, multicast), *(to if allowed else ()))
    everyone = (_FLOODED, Load(layout.AUDIENCE, Audience.EVERYONE), Goto(RuleTable.TRACK))
    for family, ethernet, address in (
        (ETH_IP, (0x01005E000000, 0xFFFFFF800000), Field("ip_dst", 0xE0000000, 0xF0000000)),
        (ETH_IP, (0xFFFFFFFFFFFF, None), Field("ip_dst", 0xFFFFFFFF)),
        (ETH_IPV6, (0x333300000000, 0xFFFF00000000), Field("ipv6_dst", 0xFF << 120, 0xFF << 120)),
    ):
        frame = Field("eth_dst", *ethernet)
        yield rule(RuleTable.LOCALITY, 250, (Field("eth_type", family), frame, address), *everyone)
    # Nobody offers addresses or routes but those who are declared to.
    offers = [assigning(six, offer=True) for six in (False, True)]
    for offer in (*offers, routing(ROUTER_ADVERTISEMENT), routing(REDIRECT)):
        yield rule(RuleTable.GUARD, ROGUE, offer, *GUARD.report)
    for offer in offers if dhcp else ():
        yield rule(RuleTable.ND, 100, offer, Goto(RuleTable.FORWARD))
    for kind in (ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, REDIRECT):
        yield rule(RuleTable.ND, 100, routing(kind), *((Goto(RuleTable.FORWARD),) if nd else ()))


def flood_rules(edges: Iterable[int], trunks: Iterable[int], tree: Iterable[int]) -> Iterator[Rule]:
    """Multicast and broadcast go along a tree of switches, so that they cannot run in circles."""
    inside = sorted(tree)
    flooded = flag(layout.FLOODED)
    for port in sorted(set(trunks) - set(inside)):
        yield rule(RuleTable.FORWARD, 210, (flooded, Field("in_port", port)))
    along = [Output(port) for port in inside]
    for audience in Audience:
        fields = flags(flooded, flag(layout.AUDIENCE, audience))
        if audience is Audience.EVERYONE:
            ports = (Output(port) for port in sorted({*edges, *inside}))
            yield rule(RuleTable.FORWARD, 200, fields, *ports, Goto(RuleTable.STATIONS))
        else:
            yield rule(RuleTable.FORWARD, 200, fields, *along, Goto(RuleTable.STATIONS))


class Stations:
    """The rules of servers and routers, on their own switch and on all."""

    def __init__(self, special: SpecialHosts, infrastructure: Infrastructure) -> None:
        self._infrastructure = infrastructure
        self._on: dict[int, list[Station]] = {}
        self._take(special)

    def _take(self, special: SpecialHosts) -> None:
        found = sorted(stations_of(special.bound()))
        self._on = {switch: list(some) for switch, some in groupby(found, lambda each: each.switch)}

    def common(self) -> Iterator[Rule]:
        """The way to servers, for those who know them."""
        if self._infrastructure.dhcp is not Action.ALLOW:
            return
        macs = {each.mac for some in self._on.values() for each in some if each.dhcp}
        for mac in sorted(macs):
            for six in (False, True):
                fields = (Field("eth_dst", mac), *assigning(six, offer=False))
                yield rule(RuleTable.ND, 100, fields, Goto(RuleTable.FORWARD))

    def rules(self, switch: int) -> Iterator[Rule]:
        """What the stations of a switch may send, and where those are who are asked for."""
        stations = self._on.get(switch, ())
        for station in stations:
            yield from self._guard(station)
        for audience, ports in (
            (Audience.SERVERS, {each.port for each in stations if each.dhcp}),
            (Audience.ROUTERS, {each.port for each in stations if each.advertises}),
        ):
            if ports:
                out = (Output(port) for port in sorted(ports))
                yield rule(RuleTable.STATIONS, 100, (flag(layout.AUDIENCE, audience),), *out)

    def _guard(self, station: Station) -> Iterator[Rule]:
        own = (Field("eth_src", station.mac), Field("in_port", station.port))
        cause = cookie(Category.BINDING, crc32(station.mac.to_bytes(6, "big")))
        # What is assigned is read by the controller, which learns where the address is now.
        told = (
            Load(layout.REASON, Reason.ADDRESSING),
            CopyToController(station.port, layout.COPIED[Reason.ADDRESSING]),
        )
        for number in station.numbers:
            six = number >= SIX
            sender = Field("ipv6_src" if six else "ip_src", number & ~SIX)
            if station.dhcp and self._infrastructure.dhcp is Action.ALLOW:
                fields = match(*own, sender, *assigning(six, offer=True))
                yield Rule(RuleTable.GUARD, SERVED, fields, (*told, *GUARD.admit), cause)
            near = number >= SIX and (number & ~SIX) >> 118 == _LINK_LOCAL
            if station.advertises and near and self._infrastructure.nd is Action.ALLOW:
                for kind in (ROUTER_ADVERTISEMENT, REDIRECT):
                    fields = match(*own, sender, *routing(kind))
                    yield Rule(RuleTable.GUARD, SERVED, fields, GUARD.admit, cause)

    def change(self, special: SpecialHosts) -> tuple[RuleChange, dict[int, RuleChange]]:
        """Follow other special hosts: what changes on every switch, and on single ones."""
        common = list(self.common())
        before = {switch: list(self.rules(switch)) for switch in self._on}
        self._take(special)
        single = {
            switch: change_between(before.get(switch, ()), self.rules(switch))
            for switch in sorted(before.keys() | self._on.keys())
        }
        return change_between(common, self.common()), single


def stations_of(bound: Iterable[tuple[Host, Binding]]) -> Iterator[Station]:
    """The servers and routers on each port, with their addresses."""
    found: dict[tuple[int, int, int], tuple[set[str], set[int]]] = {}
    for host, binding in bound:
        mac = mac_number(binding.mac)
        does, numbers = found.setdefault((binding.switch, binding.port, mac), (set(), set()))
        does.update(host.serves)
        if any(route.version == 6 for route in host.routes):
            does.add(ADVERTISEMENTS)
        numbers |= {number_at(binding.ip), link_local_number(mac) | SIX}
    for (switch, port, mac), (does, numbers) in found.items():
        if does:
            dhcp, advertises = DHCP in does, ADVERTISEMENTS in does
            yield Station(switch, port, mac, dhcp, advertises, tuple(sorted(numbers)))
