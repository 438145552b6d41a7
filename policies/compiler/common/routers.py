"""What a router may send beside its own addresses: the prefixes behind it.

A router's port sources and sinks its ``routes``. Addresses that are bound to
another host stay that host's alone, unless traffic between two of our hosts
passes through the router (``routed``). Where a router is, one rule per merged
prefix of bound addresses keeps it from lending them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from policies.compiler.common.aggregate import Aggregate, Key
from policies.compiler.common.port_guard import ADMIT
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6
from policies.model import Host, Network
from policies.rules import layout
from policies.rules.layout import Category, Reason, RuleTable, cookie, name_number
from policies.rules.rule import Field, Load, Resubmit, Rule, RuleAction, match
from policies.semantics.prefix_sets import SIX, number_at, span_of
from topology.addresses import mac_number
from topology.records import Binding

NEVER, THROUGH, ELSEWHERE, BEHIND = 189, 188, 180, 170  # priorities below a host's own addresses
# What no router forwards from: this host, loopback, groups and broadcast, link-local (RFC 6890).
NEVER_SOURCES = tuple(
    ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
)
REPORT: tuple[RuleAction, ...] = (Load(layout.REASON, Reason.GUARD), Resubmit(RuleTable.REPORT))


@dataclass(frozen=True, slots=True, order=True)
class Router:
    """A router on its port, with what is behind it."""

    switch: int
    port: int
    mac: int
    name: str
    routes: tuple[Key, ...]
    routed: bool


def source_fields(key: Key) -> tuple[Field, ...]:
    """Match the sources in a prefix of either family."""
    start, wide = key
    bits, family, name = (128, ETH_IPV6, "ipv6_src") if start & SIX else (32, ETH_IP, "ip_src")
    whole = (1 << bits) - 1
    mask = wide & whole
    if not mask:
        return (Field("eth_type", family),)
    value = start & ~SIX
    return (Field("eth_type", family), Field(name, value, None if mask == whole else mask))


def route_key(network: Network) -> Key:
    span = span_of(network)
    return (span.start, span.wide)


def overlap(one: Key, other: Key) -> bool:
    """Whether two prefixes share an address; then one of them is inside the other."""
    return one[0] < other[0] - other[1] and other[0] < one[0] - one[1]


def routers_of(hosts: Iterable[Host], bindings: Iterable[Binding]) -> list[Router]:
    """The routers among the hosts, wherever they are bound."""
    special = {host.name: host for host in hosts if host.routes}
    if not special:
        return []
    return sorted({router_at(special[b.host], b) for b in bindings if b.host in special})


def router_at(host: Host, binding: Binding) -> Router:
    """A router where one of its addresses is bound."""
    routes = tuple(sorted(map(route_key, host.routes)))
    mac = mac_number(binding.mac)
    return Router(binding.switch, binding.port, mac, host.name, routes, host.routed)


def route_rules(
    router: Router, admit: tuple[RuleAction, ...] = ADMIT, report: tuple[RuleAction, ...] = REPORT
) -> Iterator[Rule]:
    """What a router may send from the prefixes behind it, wherever `elsewhere_rule` lets it."""
    own = (Field("eth_src", router.mac), Field("in_port", router.port))
    cause = cookie(Category.BINDING, name_number(router.name))
    for network in NEVER_SOURCES:
        key = route_key(network)
        if any(overlap(key, route) for route in router.routes):
            yield Rule(RuleTable.GUARD, NEVER, match(*own, *source_fields(key)), report, cause)
    priority = THROUGH if router.routed else BEHIND
    for key in router.routes:
        yield Rule(RuleTable.GUARD, priority, match(*own, *source_fields(key)), admit, cause)


def elsewhere_rule(key: Key, report: tuple[RuleAction, ...] = REPORT) -> Rule:
    """Addresses that are bound: they come from their own port, or not at all."""
    return Rule(RuleTable.GUARD, ELSEWHERE, source_fields(key), report, cookie(Category.BINDING))


def bound_prefixes(bindings: Iterable[Binding]) -> Aggregate[bool]:
    """All bound addresses, merged."""
    return Aggregate({(number_at(each.ip), -1): True for each in bindings}.items())
