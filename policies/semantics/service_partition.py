"""All services between two ends at once: disjoint ranges of services, and a verdict for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from policies.model import (
    ONLY_IN,
    PORT_PROTOCOLS,
    Address,
    Connection,
    Intent,
    Service,
    Verdict,
)
from policies.semantics.verdict import Judge

_ENDS: dict[int, Address] = {4: IPv4Address(0), 6: IPv6Address(0)}
LAST_PORT, LAST_TYPE = 0xFFFF, 0xFF


def service_ranges(intents: Iterable[Intent], version: int) -> tuple[Service, ...]:
    """Disjoint services that together are all: each intent matches the whole of one or nothing of
    it.

    The one without a protocol stands for every protocol that no other names.
    """
    starts: dict[int, set[int]] = {}
    for intent in intents:
        for service in intent.services:
            if service.proto is None or ONLY_IN.get(service.proto, version) != version:
                continue
            cuts = starts.setdefault(service.proto, {0})
            if service.low is not None and service.high is not None:
                cuts |= {service.low, service.high + 1}
    ranges: list[Service] = []
    for proto in sorted(starts):
        last = LAST_PORT if proto in PORT_PROTOCOLS else LAST_TYPE
        cuts_in_order = sorted(cut for cut in starts[proto] if cut <= last)
        if len(cuts_in_order) == 1:
            ranges.append(Service(proto))
            continue
        ends = [cut - 1 for cut in cuts_in_order[1:]] + [last]
        ranges += [Service(proto, low, high) for low, high in zip(cuts_in_order, ends, strict=True)]
    return (*ranges, Service())


def example(service: Service, version: int, named: Iterable[Service]) -> Connection:
    """A connection of a range that `service_ranges` gave."""
    end = _ENDS[version]
    if service.proto is not None:
        return Connection(end, end, service.proto, service.low or 0)
    taken = {other.proto for other in named} | set(ONLY_IN)
    proto = next(number for number in range(253, -1, -1) if number not in taken)
    return Connection(end, end, proto)


def verdicts(
    judge: Judge,
    sources: frozenset[str],
    targets: frozenset[str],
    ranges: Sequence[Service],
    version: int,
    now: float,
) -> list[Verdict]:
    """The verdict on each range between ends in these segments."""
    return [
        judge.judge(sources, targets, example(service, version, ranges), now) for service in ranges
    ]
