"""A few packets that stand for all of them.

Ports, MACs and addresses that the rules treat alike, and that are alike in the
policy's terms (whose they are, and where), are interchangeable: exchanging two
of them changes neither what the rules do nor what they should do, but for the
names. So one or two of each kind are enough, with values that nobody has, and
every combination of these is run. *Kind* is a signature: all the rules that
name the value, with the value's own port, MAC and addresses written as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from policies.rules.fields import IPV4_FIELDS, IPV6_FIELDS, MAC_FIELDS, width_of
from policies.semantics.prefix_sets import SIX
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.expect import Expectation
from policies.verify.index import FULL
from policies.verify.kinds import Signature
from policies.verify.owners import Owners
from policies.verify.packets import ADVERTISE, ARP, BRIDGE_LOCAL, IP, IPV6, LLDP, MULTICAST, SOLICIT
from policies.verify.targets import Targets
from policies.verify.wildcard_rules import (
    STRANGE_FOUR,
    STRANGE_MAC,
    STRANGE_PORT,
    STRANGE_SIX,
    Loose,
)


@dataclass(slots=True)
class World:
    """The values that stand for all: what the packets of `packets` are made of."""

    edges: list[int]
    trunks: list[int]
    edge_kinds: list[int]
    trunk_kinds: list[int]
    macs: list[int]
    asked_four: list[int]
    asked_six: list[int]
    extra: dict[str, list[int]]
    borrowed: dict[int, dict[str, set[int]]]

    def at_port(self, port: int) -> World:
        """With the values that the port's own rules name beside its own."""
        extra = {name: list(values) for name, values in self.extra.items()}
        for name, values in self.borrowed.get(port, {}).items():
            extra.setdefault(name, []).extend(sorted(values))
        return replace(self, extra=extra)

    def special(self, name: str, *values: int) -> list[int]:
        return list(dict.fromkeys([*values, *self.extra.get(name, ())]))


def world_of(
    ports: Mapping[int, Signature],
    borrowed: dict[int, dict[str, set[int]]],
    targets: Targets,
    owners: Owners,
    loose: Loose,
    expectation: Expectation,
) -> World:
    """One or two values of every kind."""
    by_kind: dict[Signature, list[int]] = {}
    for port, signature in ports.items():
        by_kind.setdefault(signature, []).append(port)
    view = expectation.view
    firsts = [kind[0] for kind in by_kind.values()]
    samples = [each for kind in by_kind.values() for each in dict.fromkeys((kind[0], kind[-1]))]
    extra: dict[str, list[int]] = {}
    for name, conditions in loose.values.items():
        for value, mask in conditions:
            extra.setdefault(name, []).extend(_inside(name, value, mask, expectation.places))
    return World(
        [port for port in samples if port not in view.trunks],
        [port for port in samples if port in view.trunks],
        [port for port in firsts if port not in view.trunks],
        [port for port in firsts if port in view.trunks],
        targets.samples("eth_dst", owners),
        targets.samples("arp_tpa", owners),
        targets.samples("nd_target", owners),
        extra,
        borrowed,
    )


def _inside(name: str, value: int, mask: int, places: AttachmentPoints) -> Iterator[int]:
    """Values that a masked condition covers: its own, and one that is nobody's."""
    yield value
    if mask == FULL:
        return
    addresses = MAC_FIELDS | IPV4_FIELDS | IPV6_FIELDS
    width = width_of(name) if name in addresses else 13 if name == "vlan_vid" else 16
    free = (1 << width) - 1 & ~mask
    yield value | 0x2A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A & free
    yield value | free & -free  # the nearest neighbour
    numbers = places.numbers if width > 16 else ()
    owned: Iterable[int] = places.macs if name in MAC_FIELDS else numbers
    six = SIX if name in IPV6_FIELDS else 0
    inside = (each & ~SIX for each in owned if each & mask == value and each & SIX == six)
    yield from islice(inside, 2)


def entry_packets(world: World, expectation: Expectation) -> Iterator[dict[str, int]]:
    """Packets about who may send what: every mixture of own and others' addresses.

    Another host's addresses stand for all that no rule of the port names.
    """
    places, here = expectation.places, expectation.view.switch
    for port in (*world.edges, *world.trunks, *world.special("in_port", STRANGE_PORT)):
        own = places.held.get((here, port), {})
        near = world.at_port(port)
        theirs = next(
            (
                (mac, n)
                for place, held in places.held.items()
                if place != (here, port)
                for mac, n in held.items()
            ),
            (STRANGE_MAC, {STRANGE_FOUR, STRANGE_SIX | SIX}),
        )
        numbers = [each for held in own.values() for each in held]
        numbers += [min(theirs[1]), max(theirs[1])]
        four = [each for each in numbers if each < SIX]
        six = [each ^ SIX for each in numbers if each >= SIX]
        senders = near.special("eth_src", *own, theirs[0])
        for sender, tag in _tagged(near, expectation, port, senders):
            start = {"in_port": port, "eth_src": sender} | ({"vlan_vid": tag} if tag else {})
            yield from _ip_entries(near, start, four, six)
            if port not in world.trunks:
                mine = [number for number in own.get(sender, ()) if number < SIX]
                yield from _arp_entries(near, start, four, senders, mine)
                yield from _nd_entries(near, start, six, senders)


def _tagged(
    world: World, expectation: Expectation, port: int, senders: Iterable[int]
) -> Iterator[tuple[int, int]]:
    """Senders with their own tags, 0 for none, and with those that rules of the port name beside
    these."""
    for sender in senders:
        own = expectation.places.tags.get((expectation.view.switch, port, sender), 0)
        for tag in sorted({own, *world.borrowed.get(port, {}).get("vlan_vid", ())}):
            yield sender, tag


def varied(
    world: World, expectation: Expectation, packet: dict[str, int], targets: bool
) -> Iterator[dict[str, int]]:
    """The packet of a host with every other tag; with ``targets``, also to everybody else."""
    here, port = expectation.view.switch, packet["in_port"]
    tags = {tag for (*where, _), tag in expectation.places.tags.items() if where == [here, port]}
    bare = {name: value for name, value in packet.items() if name != "vlan_vid"}
    for tag in sorted({0, *tags, *world.special("vlan_vid", 0x1005)} - {packet.get("vlan_vid", 0)}):
        yield bare | {"vlan_vid": tag} if tag else bare
    if not targets:
        return
    receivers = (0xFFFF_FFFF_FFFF, 0x3333_0000_0001, *world.macs, STRANGE_MAC)
    for target in world.special("eth_dst", *receivers):
        yield packet | {"eth_dst": target}
        for name, asked in (("arp_tpa", world.asked_four), ("nd_target", world.asked_six)):
            for value in asked if name in packet else ():
                yield packet | {"eth_dst": target, name: value}


def _ip_entries(
    world: World, start: dict[str, int], four: list[int], six: list[int]
) -> Iterator[dict[str, int]]:
    targets = world.special(
        "eth_dst", BRIDGE_LOCAL, BRIDGE_LOCAL | 0xE, MULTICAST | 0x5E00_0001, *world.macs[:2]
    )
    for target in targets:
        for kind in world.special("eth_type", LLDP, 0x88B5):
            yield start | {"eth_dst": target, "eth_type": kind}
        for source in world.special("ip_src", *four, 0):
            yield start | tcp(target, source, four[-1] if four else STRANGE_FOUR, six=False)
        for source in world.special("ipv6_src", *six, 0):
            packet = start | tcp(target, source, six[-1] if six else STRANGE_SIX, six=True)
            yield packet
            yield start | icmp6(target, source, packet["ipv6_dst"], 133)


def tcp(target: int, source: int, destination: int, *, six: bool) -> dict[str, int]:
    family = "ipv6" if six else "ip"
    return {
        "eth_dst": target,
        "eth_type": IPV6 if six else IP,
        f"{family}_src": source,
        f"{family}_dst": destination,
        "ip_proto": 6,
        "tcp_src": 50_001,
        "tcp_dst": 50_002,
    }


def icmp6(target: int, source: int, destination: int, kind: int) -> dict[str, int]:
    return {
        "eth_dst": target,
        "eth_type": IPV6,
        "ipv6_src": source,
        "ipv6_dst": destination,
        "ip_proto": 58,
        "icmpv6_type": kind,
        "icmpv6_code": 0,
    }


def _arp_entries(
    world: World, start: dict[str, int], four: list[int], senders: list[int], mine: list[int]
) -> Iterator[dict[str, int]]:
    targets = (*four[:1], *four[-1:], *mine, STRANGE_FOUR)
    for operation in world.special("arp_op", 1, 2, 3):
        for hardware in world.special("arp_sha", start["eth_src"], *senders):
            for source in world.special("arp_spa", *four, 0):
                for asked in world.special("arp_tpa", *targets):
                    yield start | {
                        "eth_dst": 0xFFFF_FFFF_FFFF,
                        "eth_type": ARP,
                        "arp_op": operation,
                        "arp_sha": hardware,
                        "arp_spa": source,
                        "arp_tpa": asked,
                    }


def _nd_entries(
    world: World, start: dict[str, int], six: list[int], senders: list[int]
) -> Iterator[dict[str, int]]:
    for kind, option in ((SOLICIT, "nd_sll"), (ADVERTISE, "nd_tll")):
        for link in world.special(option, *senders, 0):
            for source in world.special("ipv6_src", *six, 0):
                for asked in world.special("nd_target", *six, STRANGE_SIX):
                    packet = icmp6(0x3333_0000_0001, source, six[-1] if six else 1, kind)
                    yield start | packet | {"nd_target": asked, option: link}


def lent_packets(
    expectation: Expectation, prefixes: Iterable[tuple[int, int]], also: Iterable[int] = ()
) -> Iterator[dict[str, int]]:
    """Packets from bound addresses, and from those around the prefixes that rules name: sent by
    each router here, by a host that is none, by another switch, and by their owner.

    ``prefixes`` are first and last address, ``also`` more addresses to send from.
    """
    places, here = expectation.places, expectation.view.switch
    routers = [key[1:] for key in sorted(places.routers) if key[0] == here]
    others = [
        (port, next(iter(held)))
        for (switch, port), held in sorted(places.held.items())
        if switch == here and held and port not in {port for port, _ in routers}
    ]
    trunks = [(port, STRANGE_MAC) for port in sorted(expectation.view.trunks)]
    senders = [*routers, *others[:1], *trunks[:1]]
    numbers = set(also)
    for first, last in prefixes:
        numbers |= {first - 1, first, last, last + 1}
    numbers -= {-1, 1 << 32, SIX - 1, 2 * SIX}
    target = next(iter(places.macs), STRANGE_MAC)
    for number in sorted(numbers):
        six = number >= SIX
        packet = tcp(target, number & ~SIX, STRANGE_SIX if six else STRANGE_FOUR, six=six)
        owners = [
            (port, mac)
            for port, held in _owned(places, here, number)
            for mac, own in held.items()
            if number in own
        ]
        for port, mac in (*senders, *owners):
            yield places.framed(here, packet | {"in_port": port, "eth_src": mac})


def _owned(
    places: AttachmentPoints, here: int, number: int
) -> Iterator[tuple[int, dict[int, set[int]]]]:
    place = places.numbers.get(number)
    if place is not None and place[0] == here:
        yield place[1], places.held[place]


def request_packets(world: World, expectation: Expectation) -> Iterator[dict[str, int]]:
    """ARP and neighbour discovery for every kind of target, from every kind of port."""
    here, held = expectation.view.switch, expectation.places.held
    for port in (*world.edge_kinds, *world.trunk_kinds):
        own = held.get((here, port)) or next(iter(held.values()), {})
        for mac in list(own)[:1]:
            start = expectation.places.framed(here, {"in_port": port, "eth_src": mac})
            four = [number for number in own[mac] if number < SIX]
            six = [number ^ SIX for number in own[mac] if number >= SIX]
            receivers = [0xFFFF_FFFF_FFFF, 0x3333_0000_0001, mac, *world.macs, STRANGE_MAC]
            for target in world.special("eth_dst", *receivers):
                yield from _questions(world, start, target, four[:1], six[:1])


def _questions(
    world: World, start: dict[str, int], target: int, four: list[int], six: list[int]
) -> Iterator[dict[str, int]]:
    mac = start["eth_src"]
    base = start | {"eth_dst": target}
    for source in four:
        for operation in (1, 2):
            for asked in world.special("arp_tpa", source, *world.asked_four, STRANGE_FOUR):
                yield base | {
                    "eth_type": ARP,
                    "arp_op": operation,
                    "arp_sha": mac,
                    "arp_spa": source,
                    "arp_tpa": asked,
                }
    for source in six:
        for kind, option in ((SOLICIT, "nd_sll"), (ADVERTISE, "nd_tll")):
            for asked in world.special("nd_target", source, *world.asked_six, STRANGE_SIX):
                packet = icmp6(target, source, source, kind)
                yield base | packet | {"nd_target": asked, option: mac}
