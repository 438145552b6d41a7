"""Services in the fields of plain OpenFlow 1.3, towards the responder and back.

Every match names what it depends on: ports need the protocol, the protocol
needs the address family. ICMP types have no masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6
from policies.compiler.common.services import ANSWERS, PORTS, Fields, port_masks
from policies.model import ICMP, ICMPV6, SCTP, TCP
from policies.rules.rule import Field, match

TYPES = {ICMP: ("icmp_type", ETH_IP), ICMPV6: ("icmpv6_type", ETH_IPV6)}
EVERY_PORT, PRIVILEGED = 0xFFFF, 0xFC00  # masks of ports


@dataclass(frozen=True, slots=True)
class HeaderServices:
    """Packets to the responder of a service, or (``reply``) back from it.

    ``masks``: whether the switch can match ports under a mask.
    """

    reply: bool
    masks: bool

    def of_protocol(self, proto: int) -> Iterator[Fields]:
        """Match everything of a protocol."""
        for family in (TYPES[proto][1],) if proto in TYPES else (ETH_IP, ETH_IPV6):
            yield match(Field("eth_type", family), Field("ip_proto", proto))

    def of_range(self, proto: int, low: int, high: int) -> Iterator[Fields]:
        """Match a protocol's ports, or ICMP types, from ``low`` to ``high`` inclusive."""
        numbers = self._types(proto, low, high) if proto in TYPES else self._ports(proto, low, high)
        for ahead, number in product(self.of_protocol(proto), tuple(numbers)):
            yield match(*ahead, number)

    def _ports(self, proto: int, low: int, high: int) -> Iterator[Field]:
        name = f"{PORTS[proto]}_{'src' if self.reply else 'dst'}"
        if not self.masks:
            yield from (Field(name, port) for port in range(low, high + 1))
            return
        for value, mask in port_masks(low, high):
            yield Field(name, value, None if mask == EVERY_PORT else mask)

    def _types(self, proto: int, low: int, high: int) -> Iterator[Field]:
        """A type that is asked with is answered with another; an answer is nobody's question."""
        name, _ = TYPES[proto]
        answers = {query: answer for answer, query in ANSWERS[proto].items()}
        for kind in range(low, min(high, 255) + 1):
            if not self.reply:
                yield Field(name, kind)
            elif kind not in ANSWERS[proto]:
                yield Field(name, answers.get(kind, kind))


def never_replies(masks: bool) -> Iterator[Fields]:
    """Packets that ask rather than answer: ICMP questions, and streams to a port below 1,024,
    where services listen and hardly anybody starts a connection from."""
    for family, proto in product((ETH_IP, ETH_IPV6), (TCP, SCTP) if masks else ()):
        low = Field(f"{PORTS[proto]}_dst", 0, PRIVILEGED)
        yield match(Field("eth_type", family), Field("ip_proto", proto), low)
    for proto, answers in ANSWERS.items():
        name, family = TYPES[proto]
        for kind in answers.values():
            yield match(Field("eth_type", family), Field("ip_proto", proto), Field(name, kind))
