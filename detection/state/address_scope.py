"""Which addresses are hosts of ours, which are others', and which are no host at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from enum import IntEnum
from sys import intern
from typing import Annotated

from msgspec import Meta, Struct

from detection.state.stored_values import Events, Text
from topology.addresses import is_host_address, looks_like_group
from topology.home_networks import (
    PRIVATE,
    UNASSIGNABLE,
    Address,
    Network,
    home_networks,
    within,
)

OURS = (*PRIVATE, *UNASSIGNABLE)
CACHE = 20_000  # addresses whose place is remembered
EVIDENCE = 50  # records before a public prefix can be found to be ours
SHARE = 0.5  # of those, the share that must have an end in it


class AddressScope(IntEnum):
    OUTSIDE = 0
    INSIDE = 1
    NOBODY = 2  # multicast, broadcast, unspecified, loopback, or not an IP address


class TerritoryState(Struct, frozen=True, array_like=True):
    """``pairs`` are the ends of the first records, until it is settled."""

    declared: list[Text]
    found: Text | None
    settled: bool
    seen: Events
    pairs: Annotated[list[tuple[Text, Text]], Meta(max_length=EVIDENCE)]


class Territory:
    """Tells where an address is.

    With ``internal`` given, exactly those networks are ours. Without, private
    address space is, and so is the one public network (/16, or /48) that at
    least half of the first records have an end in, and no private one: a
    recording made at a network's border shows its own network in every line.
    """

    def __init__(self, internal: tuple[str, ...] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in internal)
        self._declared: tuple[Network, ...] = ()
        self._cache: dict[str, AddressScope] = {}
        self._seen = 0
        self._pairs: list[tuple[Address, Address, int]] = []
        self.found: Network | None = None
        self.settled = bool(self._networks)  # nothing more is to be found out from traffic

    def snapshot(self) -> TerritoryState:
        return TerritoryState(
            [str(network) for network in self._declared],
            None if self.found is None else str(self.found),
            self.settled,
            self._seen,
            [(str(src), str(dst)) for src, dst, _ in self._pairs],
        )

    def restore(self, state: TerritoryState) -> None:
        """Raises ValueError for texts that are no networks or addresses."""
        self.include(state.declared)
        self.found = None if state.found is None else ipaddress.ip_network(state.found)
        self.settled, self._seen = state.settled, state.seen
        address = ipaddress.ip_address
        self._pairs = [(address(src), address(dst), 1) for src, dst in state.pairs]

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
        with suppress(ValueError):
            self._pairs.append((ipaddress.ip_address(src), ipaddress.ip_address(dst), 1))
        if self._seen < EVIDENCE:
            return
        self.settled = True
        for network in home_networks(self._pairs, self._seen, most=1, least=SHARE):
            self.found = network
            self._cache.clear()
        self._pairs.clear()

    def _classify(self, text: str) -> AddressScope:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return AddressScope.NOBODY
        if not is_host_address(address) or looks_like_group(text):
            return AddressScope.NOBODY
        if within(address, self._declared):
            return AddressScope.INSIDE
        if self._networks:
            ours = within(address, self._networks)
            return AddressScope.INSIDE if ours else AddressScope.OUTSIDE
        if within(address, OURS):
            return AddressScope.INSIDE
        if self.found is not None and within(address, (self.found,)):
            return AddressScope.INSIDE
        return AddressScope.OUTSIDE
