"""Lookup of declared and discovered hosts by any of their addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies.model import Policy
from policies.semantics.host_addresses import known_hosts
from response.decision import Port
from topology.records import Binding


@dataclass(frozen=True, slots=True)
class KnownHost:
    """``name`` is the declared name, or the first address of a discovered host.

    ``addresses`` are all of `policies.semantics.host_addresses`, in text;
    ``routes`` marks a router, behind which other hosts live. ``on`` are the ports where it is.
    """

    name: str
    addresses: tuple[str, ...]
    declared: bool
    routes: bool = False
    on: tuple[Port, ...] = ()

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports that stand for the host: a discovered one may take any MAC and address."""
        return () if self.declared else self.on

    @property
    def subjects(self) -> tuple[str | Port, ...]:
        """What decisions on the host are found by."""
        return (*self.addresses, *self.ports)


class HostDirectory:
    """Every known host by each of its addresses."""

    def __init__(self, policy: Policy, bindings: Iterable[Binding]) -> None:
        routers = {host.name for host in policy.hosts if host.routes}
        hosts = [
            KnownHost(
                host.name,
                host.texts(),
                host.declared,
                host.declared and host.name in routers,
                tuple(sorted(host.ports)),
            )
            for host in known_hosts(policy, tuple(bindings))
        ]
        self._by_address = {address: host for host in hosts for address in host.addresses}
        self._hosts = tuple(hosts)
        self._on: dict[Port, list[KnownHost]] = {}
        for host in hosts:
            for port in host.on:
                self._on.setdefault(port, []).append(host)

    def find(self, address: str) -> KnownHost | None:
        return self._by_address.get(address)

    def at(self, ports: Iterable[Port]) -> list[KnownHost]:
        """The hosts on some ports."""
        return [host for port in ports for host in self._on.get(port, ())]

    def all(self) -> tuple[KnownHost, ...]:
        return self._hosts

    def declared(self) -> dict[str, tuple[str, ...]]:
        """Every declared host's addresses, by name."""
        return {host.name: host.addresses for host in self._hosts if host.declared}
