"""Services as matches on the fields of a target, in the fewest equivalent ranges."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from policies.model import ICMP, ICMPV6, SCTP, TCP, UDP, Service
from policies.rules.rule import Field

PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}  # protocols with ports
# An ICMP query and its answer are one connection: the answer's type, and the query's.
ANSWERS = {ICMP: {0: 8, 14: 13, 16: 15, 18: 17}, ICMPV6: {129: 128}}
Fields = tuple[Field, ...]


class ServiceLayout(Hashable, Protocol):
    """Where packets of a kind of switch carry the service that they ask for."""

    def of_protocol(self, proto: int) -> Iterable[Fields]:
        """Match everything of a protocol."""
        ...

    def of_range(self, proto: int, low: int, high: int) -> Iterable[Fields]:
        """Match a protocol's ports, or ICMP types, from ``low`` to ``high`` inclusive."""
        ...


def service_matches(services: Iterable[Service], layout: ServiceLayout) -> Iterator[Fields]:
    """Matches for packets of any of some services."""
    for service in merged(services):
        yield from _matches(service, layout)


@lru_cache(maxsize=1 << 14)
def _matches(service: Service, layout: ServiceLayout) -> tuple[Fields, ...]:
    if service.proto is None:
        return ((),)
    if service.low is None or service.high is None:
        return tuple(layout.of_protocol(service.proto))
    return tuple(layout.of_range(service.proto, service.low, service.high))


def port_masks(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The fewest value/mask pairs that cover the 16-bit range ``low`` to ``high`` inclusive."""
    while low <= high:
        size = low & -low or 1 << 16
        while size > high - low + 1:
            size >>= 1
        yield low, 0xFFFF & ~(size - 1)
        low += size


def merged(services: Iterable[Service]) -> tuple[Service, ...]:
    """The same packets in the fewest services: ranges that touch become one."""
    result: list[Service] = []
    for service in sorted({_bare(each) for each in services}, key=_range):
        if result:
            last = result[-1]
            if last.proto is None:
                break
            if last.proto == service.proto:
                if last.high is None:
                    continue
                assert service.low is not None and service.high is not None
                if service.low <= last.high + 1:
                    high = max(last.high, service.high)
                    result[-1] = Service(last.proto, last.low, high)
                    continue
        result.append(service)
    return tuple(result)


def _bare(service: Service) -> Service:
    """Without its helper, which matches no other packets."""
    return service if service.helper is None else replace(service, helper=None)


def _range(service: Service) -> tuple[int, int, int]:
    """Wider before narrower, so that `merged` needs to look back only once."""
    proto = -1 if service.proto is None else service.proto
    return (proto, -1 if service.low is None else service.low, -(service.high or 0))
