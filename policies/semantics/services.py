"""Sets of services: which of them match a packet, whether some cover another, and representative
packets of one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from policies.model import ONLY_IN, Connection, Intent, Service

_TOP = 65_535


def covers(covering: Iterable[Service], covered: Service) -> bool:
    """Whether every packet of ``covered`` is in one of ``covering``.

    >>> covers([Service(6, 0, 99), Service(6, 100, 200)], Service(6, 80, 150))
    True
    """
    if covered.proto is None:
        return any(service.proto is None for service in covering)
    ranges = []
    for service in covering:
        if service.proto is None:
            return True
        if service.proto == covered.proto:
            if service.low is None or service.high is None:
                return True
            ranges.append((service.low, service.high))
    if covered.low is None or covered.high is None:
        return False
    wanted = covered.low
    for low, high in sorted(ranges):
        if low > wanted:
            return False
        wanted = max(wanted, high + 1)
        if wanted > covered.high:
            return True
    return False


def covers_all(covering: Sequence[Service], covered: Iterable[Service]) -> bool:
    return all(covers(covering, service) for service in covered)


def edges(intents: Iterable[Intent], proto: int, low: int, high: int) -> list[int]:
    """Ports from ``low`` to ``high`` such that any intent treats all of them as it treats one of
    these: the first port, and every port where some intent's range begins or has just ended."""
    found = {low}
    for intent in intents:
        for service in intent.services:
            if service.proto == proto and service.low is not None and service.high is not None:
                found.update((service.low, service.high + 1))
    return sorted(port for port in found if low <= port <= high)


def samples(intents: Sequence[Intent], service: Service) -> list[tuple[int, int]]:
    """Protocols and ports that stand for every packet of ``service`` under these intents."""
    if service.proto is not None:
        low = 0 if service.low is None else service.low
        high = _TOP if service.high is None else service.high
        return [(service.proto, port) for port in edges(intents, service.proto, low, high)]
    named = {s.proto for intent in intents for s in intent.services if s.proto is not None}
    other = next(number for number in range(255, -1, -1) if number not in named)
    return [
        (proto, port)
        for proto in sorted({*named, other})
        for port in edges(intents, proto, 0, _TOP)
    ]


def names(service: Service, connection: Connection) -> bool:
    """Whether a connection asks for a service."""
    version = connection.src.version
    exists = ONLY_IN.get(service.proto, version) == version
    return exists and service.matches(connection.proto, connection.port)


class ServiceIndex:
    """Which intents name a protocol and port: per protocol, the ports where the answer changes."""

    def __init__(self, intents: Sequence[Intent]) -> None:
        ranges: dict[int, list[tuple[int, int, int]]] = {}
        whole: dict[int, int] = {}
        self._any = 0
        for bit, intent in enumerate(intents):
            for service in intent.services:
                if service.proto is None:
                    self._any |= 1 << bit
                elif service.low is None or service.high is None:
                    whole[service.proto] = whole.get(service.proto, 0) | 1 << bit
                else:
                    ranges.setdefault(service.proto, []).append((service.low, service.high, bit))
        self._by_proto = {
            proto: _steps(ranges.get(proto, ()), self._any | whole.get(proto, 0))
            for proto in {*ranges, *whole}
        }

    def naming(self, connection: Connection) -> int:
        """The intents, one bit each in their order, with a service that the connection asks for."""
        proto = connection.proto
        found = self._by_proto.get(proto)
        # In the other family the number of ICMP is just a number.
        if found is None or (proto in ONLY_IN and connection.src.version != ONLY_IN[proto]):
            return self._any
        starts, masks = found
        return masks[bisect_right(starts, connection.port)]


def _steps(ranges: Iterable[tuple[int, int, int]], base: int) -> tuple[list[int], list[int]]:
    """Ports where a range begins or has ended, and the intents from each of them on."""
    changes: dict[int, list[int]] = {}
    for low, high, bit in ranges:
        changes.setdefault(low, []).append(bit + 1)
        changes.setdefault(high + 1, []).append(-bit - 1)
    starts, masks, mask = [], [base], base
    depth: dict[int, int] = {}  # how many ranges of one intent overlap here
    for port in sorted(changes):
        for change in changes[port]:
            bit = abs(change) - 1
            depth[bit] = depth.get(bit, 0) + (1 if change > 0 else -1)
            mask = mask | 1 << bit if depth[bit] else mask & ~(1 << bit)
        starts.append(port)
        masks.append(mask | base)
    return starts, masks
