"""Services in the fields of plain OpenFlow 1.3, towards the responder and back.

Every match names what it depends on: ports need the protocol, the protocol
needs the address family. ICMP types have no masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product

from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6
from policies.compiler.common.services import ICMP_ANSWERS, ICMPV6_ANSWERS, merged, port_masks
from policies.model import ICMP, ICMPV6, SCTP, TCP, UDP, Service
from policies.rules.rule import Field, match

PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
TYPES = {ICMP: ("icmp_type", ETH_IP), ICMPV6: ("icmpv6_type", ETH_IPV6)}
ANSWERS = {
    ICMP: {query: answer for answer, query in ICMP_ANSWERS.items()},
    ICMPV6: {query: answer for answer, query in ICMPV6_ANSWERS.items()},
}
EVERY_PORT, PRIVILEGED = 0xFFFF, 0xFC00  # masks of ports
Fields = tuple[Field, ...]


def service_matches(services: Iterable[Service], *, reply: bool, masks: bool) -> Iterator[Fields]:
    """Matches for packets to the responder of a service, or (``reply``) back from it.

    ``masks``: whether the switch can match ports under a mask.
    """
    for service in merged(services):
        yield from _matches(service, reply, masks)


@lru_cache(maxsize=1 << 14)
def _matches(service: Service, reply: bool, masks: bool) -> tuple[Fields, ...]:
    proto = service.proto
    if proto is None:
        return ((),)
    families = (ETH_IP, ETH_IPV6)
    if proto in TYPES:
        return tuple(_types(service, proto, reply))
    found: list[Fields] = []
    for family in families:
        ahead = (Field("eth_type", family), Field("ip_proto", proto))
        if proto not in PORTS or service.low is None or service.high is None:
            found.append(match(*ahead))
            continue
        name = f"{PORTS[proto]}_{'src' if reply else 'dst'}"
        found += (match(*ahead, port) for port in _ports(name, service.low, service.high, masks))
    return tuple(found)


def _ports(name: str, low: int, high: int, masks: bool) -> Iterator[Field]:
    if not masks:
        yield from (Field(name, port) for port in range(low, high + 1))
        return
    for value, mask in port_masks(low, high):
        yield Field(name, value, None if mask == EVERY_PORT else mask)


def _types(service: Service, proto: int, reply: bool) -> Iterator[Fields]:
    """A type that is asked with is answered with another; an answer is nobody's question."""
    name, family = TYPES[proto]
    ahead = (Field("eth_type", family), Field("ip_proto", proto))
    if service.low is None or service.high is None:
        yield match(*ahead)
        return
    answers = ANSWERS[proto]
    for kind in range(service.low, min(service.high, 255) + 1):
        if not reply:
            yield match(*ahead, Field(name, kind))
        elif kind not in answers.values():
            yield match(*ahead, Field(name, answers.get(kind, kind)))


def never_replies(masks: bool) -> Iterator[Fields]:
    """Packets that ask rather than answer: ICMP questions, and streams to a port below 1,024,
    where services listen and hardly anybody starts a connection from."""
    for family, proto in product((ETH_IP, ETH_IPV6), (TCP, SCTP) if masks else ()):
        low = Field(f"{PORTS[proto]}_dst", 0, PRIVILEGED)
        yield match(Field("eth_type", family), Field("ip_proto", proto), low)
    for proto, answers in ANSWERS.items():
        name, family = TYPES[proto]
        for kind in answers:
            yield match(Field("eth_type", family), Field("ip_proto", proto), Field(name, kind))
