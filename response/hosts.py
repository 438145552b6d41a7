"""Whose address is this: declared hosts and discovered ones, with all their addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies.model import Policy
from topology.records import Binding


@dataclass(frozen=True, slots=True)
class KnownHost:
    """``name`` is the declared name, or the first address of a discovered host.

    ``addresses`` are all that it holds, IPv4 and IPv6, declared or bound;
    ``routes`` tells a router, behind which other hosts live.
    """

    name: str
    addresses: tuple[str, ...]
    declared: bool
    routes: bool = False


class HostDirectory:
    """Every known host by each of its addresses.

    A declared host holds what its declaration and its bindings give it; a
    discovered one is a MAC on a port, with all addresses bound to it. An
    address that neither holds belongs to nobody here.
    """

    def __init__(self, policy: Policy, bindings: Iterable[Binding]) -> None:
        held: dict[str, list[str]] = {
            host.name: [str(address) for address in host.ips] for host in policy.hosts
        }
        owner = {address: name for name, found in held.items() for address in found}
        discovered: dict[tuple[str, int, int], list[str]] = {}
        for binding in bindings:
            if binding.ip in owner:
                continue  # a declaration outranks what was found
            if binding.host is not None:
                held.setdefault(binding.host, []).append(binding.ip)
            else:
                key = (binding.mac, binding.switch, binding.port)
                discovered.setdefault(key, []).append(binding.ip)
        routers = {host.name for host in policy.hosts if host.routes}
        hosts = [
            KnownHost(name, tuple(dict.fromkeys(found)), True, name in routers)
            for name, found in held.items()
        ]
        hosts += [
            KnownHost(min(found), tuple(dict.fromkeys(found)), False)
            for found in discovered.values()
        ]
        self._by_address = {address: host for host in hosts for address in host.addresses}
        self._by_name = {host.name: host for host in hosts}

    def find(self, address: str) -> KnownHost | None:
        return self._by_address.get(address)

    def named(self, name: str) -> KnownHost | None:
        return self._by_name.get(name)
