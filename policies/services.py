"""Sets of services: whether some cover another, and which packets stand for all of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policies.model import Intent, Service

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
