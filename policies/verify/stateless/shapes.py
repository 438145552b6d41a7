"""Kinds of packets, the fields that each has, and the atoms of every field.

A region is a set of packets of one shape: for each of its fields a set of atoms,
in the order of `Shape.fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from policies.model import ICMP, ICMPV6, SCTP, TCP, UDP, Policy
from policies.rules.fields import width_of
from policies.rules.rule import Rule
from policies.semantics.prefix_sets import SIX, span_of
from policies.verify.attachment_points import NEVER
from policies.verify.packets import ADVERTISE, ARP, BRIDGE_LOCAL, IP, IPV6, LLDP, MULTICAST, SOLICIT
from policies.verify.ranges import Undecided
from policies.verify.stateless.atoms import Atoms, Condition
from policies.verify.stateless.meaning import STREAMS, Meaning
from topology.initiator import PRIVILEGED

PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
TYPES = {IP: (ICMP, "icmp_type"), IPV6: (ICMPV6, "icmpv6_type")}
UNTOLD = frozenset({"metadata", "eth_type", "ip_proto"})
Region = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """``fixed`` are the fields that say which kind it is; ``start`` is all packets of it."""

    fixed: tuple[tuple[str, int], ...]
    fields: tuple[str, ...]
    start: Region

    @property
    def kind(self) -> int:
        return self.fixed[0][1]

    @property
    def proto(self) -> int | None:
        return self.fixed[1][1] if len(self.fixed) > 1 else None

    @property
    def neighbour(self) -> int:
        return self.fixed[2][1] if len(self.fixed) > 2 else 0


class Universe:
    """The atoms of every field, for some rules and a meaning. Raises Undecided."""

    def __init__(self, rules: Iterable[Rule], meaning: Meaning) -> None:
        conditions: dict[str, set[Condition]] = {"eth_dst": {(MULTICAST, MULTICAST)}}
        for rule in rules:
            for field in rule.match:
                conditions.setdefault(field.name, set()).add((field.value, field.mask))
        ranges = _told_apart(meaning)
        self._known = set(conditions) - UNTOLD
        self._conditions, self._ranges = conditions, ranges
        self._atoms: dict[str, Atoms] = {}

    def atoms(self, name: str) -> Atoms:
        found = self._atoms.get(name)
        if found is None:
            given = self._conditions.get(name, ())
            found = self._atoms[name] = Atoms(width_of(name), given, self._ranges.get(name, ()))
        return found

    def shapes(self) -> Iterator[Shape]:
        """Every kind of packets. Raises Undecided for a field that none of them has."""
        seen: set[str] = set()
        for shape in self._shapes():
            seen |= {*shape.fields, *(name for name, _ in shape.fixed)}
            yield shape
        if strange := self._known - seen:
            raise Undecided(f"rules look at {min(strange)}, which this proof does not follow")

    def _shapes(self) -> Iterator[Shape]:
        for kind in self.atoms("eth_type").values:
            if kind == ARP:
                more: Sequence[str] = ("arp_sha", "arp_spa", "arp_op", "arp_tpa")
                yield self._shape([("eth_type", kind)], ("in_port", "eth_src", *more, "eth_dst"))
            elif kind in (IP, IPV6):
                for proto in self.atoms("ip_proto").values:
                    yield from self._ip(kind, proto)
            else:
                yield self._shape([("eth_type", kind)], ("in_port", "eth_src", "eth_dst"))

    def _ip(self, kind: int, proto: int) -> Iterator[Shape]:
        family = "ip" if kind == IP else "ipv6"
        fixed = [("eth_type", kind), ("ip_proto", proto)]
        fields = ["in_port", "eth_src", f"{family}_src", "eth_dst", f"{family}_dst"]
        if (name := PORTS.get(proto)) is not None:
            fields += [f"{name}_dst", f"{name}_src"]
        elif TYPES[kind][0] == proto:
            fields += [TYPES[kind][1], TYPES[kind][1].replace("type", "code")]
        if kind == IP or proto != ICMPV6:
            yield self._shape(fixed, fields)
            return
        types = self.atoms("icmpv6_type")
        ordinary = types.all & ~types.one(SOLICIT) & ~types.one(ADVERTISE)
        whole = self._shape(fixed, fields)
        at = fields.index("icmpv6_type")
        yield Shape(
            whole.fixed, whole.fields, (*whole.start[:at], ordinary, *whole.start[at + 1 :])
        )
        for neighbour, option in ((SOLICIT, "nd_sll"), (ADVERTISE, "nd_tll")):
            more = ["in_port", "eth_src", "nd_target", "ipv6_src", option, "eth_dst", "ipv6_dst"]
            named = [*fixed, ("icmpv6_type", neighbour)]
            yield self._shape(named, [*more, "icmpv6_code"])

    def _shape(self, fixed: Sequence[tuple[str, int]], fields: Sequence[str]) -> Shape:
        return Shape(tuple(fixed), tuple(fields), tuple(self.atoms(name).all for name in fields))


def _told_apart(meaning: Meaning) -> dict[str, set[tuple[int, int]]]:
    """The ranges of values that the policy and the hosts' places tell apart."""
    found: dict[str, set[tuple[int, int]]] = {
        "eth_type": {(kind, kind) for kind in (IP, ARP, IPV6, LLDP)},
        "ip_proto": {(proto, proto) for proto in (*PORTS, ICMP, ICMPV6)},
        "arp_op": {(1, 1), (2, 2)},
        "icmpv6_type": {(SOLICIT, SOLICIT), (ADVERTISE, ADVERTISE)},
        "eth_dst": {(BRIDGE_LOCAL, BRIDGE_LOCAL | 0xF)},
    }

    def add(names: Iterable[str], first: int, last: int) -> None:
        for name in names:
            found.setdefault(name, set()).add((first, last))

    for port in {*meaning.view.ports, *meaning.view.trunks}:
        add(["in_port"], port, port)
    for switch, port in meaning.places.held:
        if switch == meaning.view.switch:
            add(["in_port"], port, port)
    for mac in (0, *meaning.places.macs):
        add(["eth_src", "eth_dst", "arp_sha", "nd_sll", "nd_tll"], mac, mac)
    for number in (0, SIX, *meaning.places.numbers):
        add(_addresses(number), number & ~SIX, number & ~SIX)
    for start, wide in meaning.membership.spans:
        add(_addresses(start), start & ~SIX, (start & ~SIX) - wide - 1)
    routes = [span_of(route) for host in meaning.policy.hosts for route in host.routes]
    for span in (*NEVER, *routes):
        add(_addresses(span.start), span.start & ~SIX, (span.start & ~SIX) - span.wide - 1)
    _services(meaning.policy, add)
    return found


def _addresses(number: int) -> tuple[str, ...]:
    if number < SIX:
        return ("ip_src", "ip_dst", "arp_spa", "arp_tpa")
    return ("ipv6_src", "ipv6_dst", "nd_target")


def _services(policy: Policy, add: Callable[[Iterable[str], int, int], None]) -> None:
    for proto in STREAMS:
        add([f"{PORTS[proto]}_dst"], 0, PRIVILEGED - 1)
    for name, types in (("icmp_type", range(20)), ("icmpv6_type", range(126, 132))):
        for each in types:
            add([name], each, each)
    for service in {each for intent in policy.intents for each in intent.services}:
        if service.proto is None:
            continue
        add(["ip_proto"], service.proto, service.proto)
        if service.low is None or service.high is None:
            continue
        if service.proto in PORTS:
            name = PORTS[service.proto]
            add([f"{name}_dst", f"{name}_src"], service.low, service.high)
        elif service.proto in (ICMP, ICMPV6):
            kind = "icmp_type" if service.proto == ICMP else "icmpv6_type"
            add([kind], service.low, min(service.high, 255))
