"""Which addresses are hosts of ours, which are others', and which are no host at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import IntEnum
from sys import intern

CACHE = 20_000  # addresses whose place is remembered
EVIDENCE = 50  # records before a public prefix can be found to be ours
SHARE = 0.5  # of those, the share that must have an end in it
PREFIX = 16


class AddressScope(IntEnum):
    OUTSIDE = 0
    INSIDE = 1
    NOBODY = 2  # multicast, broadcast, unspecified, loopback, or not an IP address

    def __reduce_ex__(self, protocol: object) -> tuple[type[AddressScope], tuple[int]]:
        """By value: some Python 3.11 pickle members by `getattr`, which no snapshot may name."""
        return (AddressScope, (self.value,))


class Territory:
    """Tells where an address is.

    With ``internal`` given, exactly those networks are ours. Without, private
    address space is, and so is the one public /16 that at least half of the
    records have an end in: a recording made at a network's border shows its
    own network in every line.
    """

    def __init__(self, internal: tuple[str, ...] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in internal)
        self._declared: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
        self._cache: dict[str, AddressScope] = {}
        self._seen = 0
        self._shares: dict[int, int] = {}
        self.found: ipaddress.IPv4Network | None = None
        self.settled = bool(self._networks)  # nothing more is to be found out from traffic

    def scope_of(self, text: str) -> AddressScope:
        known = self._cache.get(text)
        if known is None:
            if len(self._cache) >= CACHE:
                self._cache.clear()
            known = self._cache[intern(text)] = self._classify(text)
        return known

    def include(self, networks: Iterable[str]) -> None:
        """Networks that are ours besides; a later call replaces those of an earlier one."""
        declared = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        if declared != self._declared:
            self._declared = declared
            self._cache.clear()

    def notice(self, src: str, dst: str) -> None:
        """Evidence for which public prefix is ours; call until :attr:`settled`."""
        self._seen += 1
        for prefix in {_public_prefix(src), _public_prefix(dst)} - {None}:
            assert prefix is not None
            self._shares[prefix] = self._shares.get(prefix, 0) + 1
        if self._seen < EVIDENCE:
            return
        self.settled = True
        best, count = max(self._shares.items(), key=lambda kv: (kv[1], -kv[0]), default=(0, 0))
        if count >= SHARE * self._seen:
            self.found = ipaddress.IPv4Network((best << PREFIX, PREFIX))
            self._cache.clear()
        self._shares.clear()

    def _classify(self, text: str) -> AddressScope:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return AddressScope.NOBODY
        if address.is_multicast or address.is_unspecified or address.is_loopback:
            return AddressScope.NOBODY
        if address.version == 4 and (text == "255.255.255.255" or text.endswith(".255")):
            return AddressScope.NOBODY
        if any(address in net for net in self._declared if net.version == address.version):
            return AddressScope.INSIDE
        if self._networks:
            ours = any(address in net for net in self._networks if net.version == address.version)
            return AddressScope.INSIDE if ours else AddressScope.OUTSIDE
        if address.is_private or address.is_link_local:
            return AddressScope.INSIDE
        if self.found is not None and address.version == 4 and address in self.found:
            return AddressScope.INSIDE
        return AddressScope.OUTSIDE


def _public_prefix(text: str) -> int | None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return None
    if address.is_private or address.is_multicast or address.is_loopback:
        return None
    return int(address) >> PREFIX
