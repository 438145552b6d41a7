"""Which addresses a host has: the declared ones, those that are bound to it, and the ``fe80::``
address of each of its MACs.

The guard allows a host its link-local addresses. Without them in its segments, two hosts of a
segment could talk over them as `unknown`; without them in a decision, a blocked host could continue
over them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from policies.model import Host, Policy
from policies.semantics.prefix_sets import address_at, number_at, number_of
from topology.addresses import link_local
from topology.home_networks import is_private
from topology.records import Binding

SMALLEST = {4: 8, 6: 24}  # a shorter prefix in a policy means "everybody", not "ours"


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """A declared host, or a discovered one: a MAC on a port that no declaration covers.

    ``name`` is the declared name, or the first address. ``numbers`` are all its addresses, each
    once, as `policies.semantics.prefix_sets.number_of` has them; link-local ones come last.
    """

    name: str
    numbers: tuple[int, ...]
    labels: frozenset[tuple[str, str]]
    ports: frozenset[tuple[int, int]]
    declared: bool
    mac: str = ""  # of a discovered host

    def texts(self) -> tuple[str, ...]:
        """The addresses in canonical text."""
        return tuple(str(address_at(number)) for number in self.numbers)


def known_hosts(
    policy: Policy, bindings: Sequence[Binding], owned: Collection[int] | None = None
) -> list[HostAddresses]:
    """Declared hosts in the policy's order, then discovered ones.

    ``owned`` are the declared addresses, where the caller has them: a binding to no declared host
    is ignored when it has one of them.
    """
    if owned is None:
        owned = declared_numbers(policy)
    bound: dict[str, list[Binding]] = defaultdict(list)
    found: dict[tuple[str, int, int], list[Binding]] = defaultdict(list)
    declared = {host.name for host in policy.hosts}
    for binding in bindings:
        if binding.host in declared:
            bound[binding.host or ""].append(binding)
        elif number_at(binding.ip) not in owned:
            found[binding.mac, binding.switch, binding.port].append(binding)
    hosts = [declared_host(host, bound.get(host.name, ())) for host in policy.hosts]
    hosts += [discovered_host(own) for own in found.values()]
    return hosts


def declared_numbers(policy: Policy) -> set[int]:
    """All addresses that hosts of the policy declare."""
    return {number_of(address) for host in policy.hosts for address in host.ips}


def declared_host(host: Host, own: Sequence[Binding]) -> HostAddresses:
    """A host of the policy with all that is bound to its name."""
    numbers = [number_of(address) for address in host.ips]
    numbers += [number_at(binding.ip) for binding in own]
    macs = dict.fromkeys([*((host.mac,) if host.mac else ()), *(b.mac for b in own)])
    numbers += [number_of(link_local(mac)) for mac in macs]
    ports = {(binding.switch, binding.port) for binding in own}
    if host.switch is not None and host.port is not None:
        ports.add((host.switch, host.port))
    unique = tuple(dict.fromkeys(numbers))
    return HostAddresses(host.name, unique, frozenset(host.labels), frozenset(ports), True)


def discovered_host(own: Sequence[Binding]) -> HostAddresses:
    """What is bound to one MAC on one port and to no declared host; at least one binding."""
    mac, port = own[0].mac, (own[0].switch, own[0].port)
    numbers = [*(number_at(b.ip) for b in own), number_of(link_local(mac))]
    unique = tuple(dict.fromkeys(numbers))
    name = min(binding.ip for binding in own)
    return HostAddresses(name, unique, frozenset(), frozenset({port}), False, mac)


def own_networks(policy: Policy, bindings: Iterable[Binding]) -> tuple[str, ...]:
    """The networks (CIDR) that a policy and its hosts make ours, public ones included.

    A host brings its /24 or /64 along, so that its neighbours that nobody has
    declared, or that do not exist, are ours too; a router's `routes` lead away.
    """
    addresses = {str(address) for host in policy.hosts for address in host.ips}
    addresses |= {binding.ip for binding in bindings}
    networks = {
        ip_network(f"{text}/{64 if ':' in text else 24}", strict=False) for text in addresses
    }
    networks |= {
        member.cidr
        for segment in policy.segments
        for member in segment.members
        if member.cidr is not None and member.cidr.prefixlen >= SMALLEST[member.cidr.version]
    }
    public = sorted(str(each) for each in networks if not is_private(each))
    return tuple(public)
