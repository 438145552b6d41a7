"""What a router may send beside its own addresses: the prefixes behind it.

A router's port sources and sinks its ``routes``. Addresses that are bound to
another host stay that host's alone, unless traffic between two of our hosts
passes through the router (``routed``). Where a router is, one rule per merged
prefix of bound addresses keeps it from lending them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from policies.compiler.common.aggregate import Aggregate, Key
from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.port_guard import ADMIT, mac_number
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6
from policies.compiler.common.special_hosts import SpecialHosts
from policies.model import Host, Network
from policies.rules import layout
from policies.rules.layout import Category, Reason, RuleTable, cookie, name_number
from policies.rules.rule import Field, Load, Resubmit, Rule, RuleAction, match
from policies.semantics.prefix_sets import SIX, number_at, span_of
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
    return sorted({_router(special[b.host], b) for b in bindings if b.host in special})


def _router(host: Host, binding: Binding) -> Router:
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


class Routers:
    """The rules of routers on every switch, kept up with hosts and bindings."""

    def __init__(self, special: SpecialHosts, bindings: Sequence[Binding]) -> None:
        self._take(special, bindings)

    def _take(self, special: SpecialHosts, bindings: Sequence[Binding]) -> None:
        found = {_router(host, binding) for host, binding in special.bound() if host.routes}
        self._on: dict[int, list[Router]] = {}
        for router in sorted(found):
            self._on.setdefault(router.switch, []).append(router)
        self._bound: Aggregate[bool] | None = None
        self._counts: dict[int, int] = {}  # bindings of each address
        if any(not router.routed for router in found):
            self._bound = bound_prefixes(bindings)
            for binding in bindings:
                number = number_at(binding.ip)
                self._counts[number] = self._counts.get(number, 0) + 1

    def rules(self, switch: int) -> Iterator[Rule]:
        """What the routers of a switch may send."""
        for router in self._on.get(switch, ()):
            yield from route_rules(router)
        if self._bound is not None and switch in self._lending():
            for key, _ in sorted(self._bound.kept()):
                if self._concerns(switch, key):
                    yield elsewhere_rule(key)

    def change(self, special: SpecialHosts, bindings: Sequence[Binding]) -> dict[int, RuleChange]:
        """Follow other special hosts: what changes on each switch."""
        before = {switch: list(self.rules(switch)) for switch in self._on}
        self._take(special, bindings)
        return {
            switch: change_between(before.get(switch, ()), self.rules(switch))
            for switch in sorted(before.keys() | self._on.keys())
        }

    def lend(self, gone: Iterable[Binding], come: Iterable[Binding]) -> dict[int, RuleChange]:
        """Follow ordinary hosts: routers may use other addresses than before."""
        return {} if self._bound is None else self._lend(self._bound, gone, come)

    def _lend(
        self, bound: Aggregate[bool], gone: Iterable[Binding], come: Iterable[Binding]
    ) -> dict[int, RuleChange]:
        """Other addresses are bound than before."""
        touched: dict[Key, bool | None] = {}
        for step, bindings in ((1, come), (-1, gone)):
            for binding in bindings:
                number = number_at(binding.ip)
                count = self._counts[number] = self._counts.get(number, 0) + step
                touched[number, -1] = True if count else None
                if not count:
                    del self._counts[number]
        kept = bound.change(touched.items())
        return {
            switch: RuleChange(
                tuple(
                    elsewhere_rule(k) for k, v in kept.items() if v and self._concerns(switch, k)
                ),
                tuple(
                    elsewhere_rule(k)
                    for k, v in kept.items()
                    if not v and self._concerns(switch, k)
                ),
            )
            for switch in self._lending()
        }

    def _lending(self) -> list[int]:
        """Switches with a router that must not use addresses bound elsewhere."""
        return [
            switch
            for switch, routers in self._on.items()
            if any(not router.routed for router in routers)
        ]

    def _concerns(self, switch: int, key: Key) -> bool:
        return any(
            overlap(key, route)
            for router in self._on[switch]
            if not router.routed
            for route in router.routes
        )
