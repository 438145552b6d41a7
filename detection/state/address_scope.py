"""Which addresses are hosts of ours, which are others', and which are no host at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import IntEnum
from sys import intern
from typing import Annotated

from msgspec import Meta, Struct

from detection.state.home_evidence import MOST_PAIRS, HomeEvidence
from detection.state.stored_values import Events, Text
from topology.addresses import is_host_address, looks_like_group
from topology.home_networks import PRIVATE, UNASSIGNABLE, Network, within

OURS = (*PRIVATE, *UNASSIGNABLE)
CACHE = 20_000  # addresses whose place is remembered


class AddressScope(IntEnum):
    OUTSIDE = 0
    INSIDE = 1
    NOBODY = 2  # multicast, broadcast, unspecified, loopback, or not an IP address


class TerritoryState(Struct, frozen=True, array_like=True):
    """``pairs`` are networks that were in contact, and in how many edges."""

    declared: list[Text]
    found: list[Text]
    seen: Events
    pairs: Annotated[list[tuple[Text, Text, Events]], Meta(max_length=MOST_PAIRS)]


class Territory:
    """Tells where an address is.

    With ``internal`` given, exactly those networks are ours, and those that `include` names.
    Without, private address space is, and so are the public networks that the traffic shows to
    be ours (see `detection.state.home_evidence`), as far as is known by now: ``found``.
    """

    def __init__(self, internal: tuple[str, ...] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in internal)
        self._declared: tuple[Network, ...] = ()
        self._cache: dict[str, AddressScope] = {}
        self._evidence = HomeEvidence()
        self.found: tuple[Network, ...] = ()
        self.learns = not self._networks

    def snapshot(self) -> TerritoryState:
        return TerritoryState(
            [str(network) for network in self._declared],
            [str(network) for network in self.found],
            self._evidence.edges,
            self._evidence.rows(),
        )

    def restore(self, state: TerritoryState) -> None:
        """Raises ValueError for texts that are no networks."""
        self.include(state.declared)
        self.found = tuple(map(ipaddress.ip_network, state.found))
        self._evidence.restore(state.seen, state.pairs)

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

    def notice(self, src: str, dst: str) -> bool:
        """Evidence for which public networks are ours: a new edge. True when they are others
        than before; call only while it ``learns``."""
        if not self._evidence.add(src, dst):
            return False
        found = self._evidence.home_networks(self._declared)
        if found == self.found:
            return False
        self.found = found
        self._cache.clear()
        return True

    def _classify(self, text: str) -> AddressScope:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return AddressScope.NOBODY
        if not is_host_address(address) or looks_like_group(text):
            return AddressScope.NOBODY
        ours = self._networks or (*OURS, *self.found)
        inside = within(address, self._declared) or within(address, ours)
        return AddressScope.INSIDE if inside else AddressScope.OUTSIDE
