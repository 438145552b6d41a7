"""Routers: the prefixes that they may send from in addition to their own addresses.

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
from policies.compiler.common.port_guard import GuardLayout
from policies.compiler.common.rule_parts import prefix_fields
from policies.model import Host, Network
from policies.rules.layout import Category, cookie, name_number
from policies.rules.rule import Field, Rule, match
from policies.semantics.prefix_sets import number_at, span_of
from topology.addresses import mac_number
from topology.records import Binding

NEVER, THROUGH, ELSEWHERE, BEHIND = 189, 188, 180, 170  # priorities below a host's own addresses
# What no router forwards from: this host, loopback, groups and broadcast, link-local (RFC 6890).
NEVER_SOURCES = tuple(
    ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
)


@dataclass(frozen=True, slots=True, order=True)
class Router:
    """A router on its port, with what is behind it."""

    switch: int
    port: int
    mac: int
    name: str
    routes: tuple[Key, ...]
    routed: bool


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


def route_rules(router: Router, guard: GuardLayout) -> Iterator[Rule]:
    """What a router may send from the prefixes behind it, wherever `elsewhere_rule` lets it."""
    own = (Field("eth_src", router.mac), Field("in_port", router.port))
    cause = cookie(Category.BINDING, name_number(router.name))
    for network in NEVER_SOURCES:
        key = route_key(network)
        if any(overlap(key, route) for route in router.routes):
            yield Rule(guard.table, NEVER, _from(key, *own), guard.report, cause)
    priority = THROUGH if router.routed else BEHIND
    for key in router.routes:
        yield Rule(guard.table, priority, _from(key, *own), guard.admit, cause)


def elsewhere_rule(key: Key, guard: GuardLayout) -> Rule:
    """Rules for bound addresses, which are admitted from their own port only."""
    return Rule(guard.table, ELSEWHERE, _from(key), guard.report, cookie(Category.BINDING))


def _from(key: Key, *own: Field) -> tuple[Field, ...]:
    return match(*own, *prefix_fields(key, "src"))


def bound_prefixes(bindings: Iterable[Binding]) -> Aggregate[bool]:
    """All bound addresses, merged."""
    return Aggregate({(number_at(each.ip), -1): True for each in bindings}.items())
