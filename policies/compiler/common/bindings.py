"""Locations of addresses, link-local ones included: switch, port and MAC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from policies.model import Policy
from policies.semantics.prefix_sets import SIX, number_at
from topology.addresses import link_local, link_local_number, mac_number
from topology.gc_tuning import collection_paused
from topology.hosts import ExpectedHost
from topology.records import Binding


class AddressOnPort(NamedTuple):
    """An address on a port: ``number`` is the address as
    `policies.semantics.prefix_sets.number_of` has it."""

    switch: int
    port: int
    mac: int
    number: int


@collection_paused()
def declared_bindings(policy: Policy) -> tuple[Binding, ...]:
    """The bindings that a policy declares completely: MAC, address and port are all given.

    Hosts without an address use the link-local address of their MAC, and may get others by DHCP.
    """
    return tuple(
        Binding(host.mac, str(address), host.switch, host.port, host.name)
        for host in policy.hosts
        if host.mac is not None and host.switch is not None and host.port is not None
        for address in host.ips or (link_local(host.mac),)
    )


def hosts_of(policy: Policy) -> tuple[tuple[Binding, ...], tuple[ExpectedHost, ...]]:
    """The bindings that a policy declares completely, and the hosts that it leaves to discovery."""
    complete = declared_bindings(policy)
    without_address = {host.name for host in policy.hosts if not host.ips}
    placed = {binding.host for binding in complete} - without_address
    expected = tuple(
        ExpectedHost(host.name, host.mac, tuple(map(str, host.ips)), host.switch, host.port)
        for host in policy.hosts
        if host.name not in placed
    )
    return complete, expected


def place_of(binding: Binding) -> AddressOnPort:
    return AddressOnPort(
        binding.switch, binding.port, mac_number(binding.mac), number_at(binding.ip)
    )


def own_link_local(place: AddressOnPort) -> AddressOnPort:
    """The ``fe80::`` address that comes with a MAC on a port."""
    return AddressOnPort(place.switch, place.port, place.mac, link_local_number(place.mac) | SIX)


def hosts_on(switch: int, places: Iterable[AddressOnPort]) -> Iterator[tuple[int, int, list[int]]]:
    """Port, MAC and all addresses of each host of a switch; ``places`` are sorted."""
    here = (place for place in places if place.switch == switch)
    for (port, mac), own in groupby(here, key=lambda place: (place.port, place.mac)):
        yield port, mac, [place.number for place in own]


def places_of(bindings: Iterable[Binding]) -> Iterator[AddressOnPort]:
    """Where bindings put their addresses, and the link-local address of each one's MAC."""
    for binding in bindings:
        place = place_of(binding)
        yield place
        yield own_link_local(place)
