"""Services as runs of numbers: the fewest that say the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.model import Service

# An ICMP query and its answer are one connection: the answer's type is the query's.
ICMP_ANSWERS = {0: 8, 14: 13, 16: 15, 18: 17}
ICMPV6_ANSWERS = {129: 128}


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
    for service in sorted(set(services), key=_range):
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


def _range(service: Service) -> tuple[int, int, int]:
    """Wider before narrower, so that `merged` needs to look back only once."""
    proto = -1 if service.proto is None else service.proto
    return (proto, -1 if service.low is None else service.low, -(service.high or 0))
