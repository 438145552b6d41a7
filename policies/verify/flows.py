"""Packets of connections: from every kind of port to every kind of target, in every state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policies.compiler.common.rule_parts import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from policies.model import ICMP, ICMPV6, TCP
from policies.rules.rule import Rule
from policies.semantics.prefix_sets import SIX
from policies.verify.addresses import AddressClasses
from policies.verify.boxes import reachable_in
from policies.verify.classes import indices
from policies.verify.expect import Expectation
from policies.verify.fragments import fragment_of
from policies.verify.machine import FULL_TABLE
from policies.verify.packets import EST, INV, IP, IPV6, NEW, PORT_NAMES, QUERY_OF, REL, RPL, TRK
from policies.verify.ranges import Ranges
from policies.verify.representative_packets import World
from policies.verify.wildcard_rules import STRANGE_FOUR, STRANGE_MAC, STRANGE_SIX

ANSWER_OF = {(proto, query): answer for (proto, answer), query in QUERY_OF.items()}
NEAR = 50_001
TOLD = (TCP_FIN, TCP_SYN, TCP_RST)  # the flags that rules may look at
# What connection tracking can say of a packet.
STATES = (
    TRK | NEW,
    TRK | EST,
    TRK | EST | RPL,
    TRK | REL,
    TRK | REL | RPL,
    TRK | NEW | REL,
    TRK | INV,
)
NO_ROOM = TRK | NEW | FULL_TABLE
USUAL_STATES = (TRK | NEW, TRK | EST, TRK | EST | RPL)
ASKS, ANSWERS = TRK | NEW, TRK | EST | RPL


@dataclass(frozen=True, slots=True)
class Asked:
    """A connection in numbers: addresses as in `policies.semantics.prefix_sets.number_of`."""

    src: int
    dst: int
    proto: int
    port: int = 0


def packet_of(
    asked: Asked,
    in_port: int,
    eth_src: int,
    eth_dst: int,
    state: int,
    tcp_flags: int | None = None,
) -> dict[str, int]:
    """A packet of a connection; in a related one it is an ICMP error that quotes it.

    A TCP segment without ``tcp_flags`` gets those that its state suggests.
    """
    six = asked.src >= SIX
    src, dst, proto, port = asked.src & ~SIX, asked.dst & ~SIX, asked.proto, asked.port
    packet = {"in_port": in_port, "eth_src": eth_src, "eth_dst": eth_dst}
    packet["eth_type"] = IPV6 if six else IP
    tracked = "ipv6" if six else "nw"
    packet |= {f"ct_{tracked}_src": src, f"ct_{tracked}_dst": dst}
    query = proto == (ICMPV6 if six else ICMP)  # tracked with its type as source port
    near, far = (port, 0) if query else (NEAR, port)
    packet |= {"ct_nw_proto": proto, "ct_tp_src": near, "ct_tp_dst": far}
    reply = bool(state & RPL)
    if reply:
        src, dst = dst, src
    family = "ipv6" if six else "ip"
    packet |= {f"{family}_src": src, f"{family}_dst": dst, "ip_proto": proto}
    if (name := PORT_NAMES.get(proto)) is not None:
        near, far = (port, NEAR) if reply else (NEAR, port)
        packet |= {f"{name}_src": near, f"{name}_dst": far}
        if proto == TCP:
            usual = TCP_SYN if state & NEW else TCP_SYN | TCP_ACK if reply else TCP_ACK
            packet["tcp_flags"] = usual if tcp_flags is None else tcp_flags
    elif proto in (ICMP, ICMPV6):
        kind = ANSWER_OF.get((proto, port), port) if reply else port
        name = "icmp" if proto == ICMP else "icmpv6"
        if (proto == ICMPV6) is six:
            packet |= {f"{name}_type": kind, f"{name}_code": 0}
    return packet


def services_of(world: World, six: bool) -> Iterator[tuple[int, int, int | None]]:
    """A protocol of every kind, each with a port or type, TCP with the flags that rules look at."""
    yield from ((TCP, 50_002, None), (17, 50_003, None), (132, 50_004, None), (47, 0, None))
    yield (ICMPV6, 128, None) if six else (ICMP, 8, None)
    yield (ICMPV6, 1, None) if six else (ICMP, 3, None)
    yield (ICMP, 0, None) if six else (ICMPV6, 0, None)  # in the other family just a number
    for flags in (0, *(flag | TCP_ACK for flag in TOLD), sum(TOLD)):
        yield TCP, 50_002, flags
    for number in world.extra.get("ip_proto", ()):
        yield number, 0, None
    yield 17, 547 if six else 67, None  # to a DHCP server's port, from any other


def flow_packets(
    world: World, expectation: Expectation, apart: bool
) -> Iterator[tuple[dict[str, int], int]]:
    """Packets with the state that tracking gives them: ports × targets × services × states,
    whole and in fragments.

    ``apart``: no rule looks at a target and at a protocol at once; then every
    target with one service and every service with a few targets are enough.
    """
    places, here = expectation.places, expectation.view.switch
    for port in (*world.edge_kinds, *world.trunk_kinds):
        held = places.held.get((here, port)) or {STRANGE_MAC: {STRANGE_FOUR, STRANGE_SIX | SIX}}
        mac, numbers = next(iter(held.items()))
        every = world.special("eth_dst", *world.macs, *held, STRANGE_MAC)
        few = _few(every, expectation)
        for number in (min(numbers), max(numbers)):
            six = number >= SIX
            other = STRANGE_SIX | SIX if six else STRANGE_FOUR
            read = ((proto, port, None) for proto, port in sorted(expectation.helpers))
            for index, (proto, far, flags) in enumerate((*services_of(world, six), *read)):
                for target in few if apart and index else every:
                    states = STATES if flags in (None, sum(TOLD)) else USUAL_STATES
                    for state in states if index else (*states, NO_ROOM):
                        reply = bool(state & RPL)
                        ends = (other, number) if reply else (number, other)
                        asked = Asked(*ends, proto, far)
                        packet = packet_of(asked, port, mac, target, state, flags)
                        yield places.framed(here, packet), state
            for packet, state in _whole(world, port, mac, (other, number), few):
                for later in (False, True):
                    yield places.framed(here, fragment_of(packet, later)), state


def _whole(
    world: World, port: int, mac: int, ends: tuple[int, int], targets: list[int]
) -> Iterator[tuple[dict[str, int], int]]:
    """Packets that come in fragments: of every protocol, and with ports that are not told."""
    far, near = ends
    six = near >= SIX
    services = [(proto, asked) for proto, asked, flags in services_of(world, six) if flags is None]
    services += [(proto, 0) for proto in PORT_NAMES] if six else []
    for index, (proto, asked) in enumerate(services):
        for state in (ASKS, ANSWERS, TRK | REL) if not index else (ASKS, ANSWERS):
            for target in targets if asked else targets[:1]:
                asks = (far, near) if state & RPL else (near, far)
                yield packet_of(Asked(*asks, proto, asked), port, mac, target, state), state


def aimed_packets(
    world: World, expectation: Expectation, rule: Rule
) -> Iterator[tuple[dict[str, int], int]]:
    """Packets of connections with the values that a rule matches, and with the next ones where it
    leaves bits of a field free."""
    wanted = {each.name: each.value for each in rule.match}
    free = [(each.name, ~each.mask & each.mask + 1) for each in rule.match if each.mask is not None]
    six = wanted.get("eth_type", IPV6 if "ipv6_dst" in wanted else IP) == IPV6
    named = (number for number, name in PORT_NAMES.items() if any(name in each for each in wanted))
    protos = [wanted.get("ip_proto", next(named, 6))]
    if "ip_proto" not in wanted and protos == [6]:
        protos += [ICMPV6 if six else ICMP, 17]
    for packet, state in flow_packets(world, expectation, True):
        if (packet["eth_type"] == IPV6) is six and packet["ip_proto"] in protos:
            aimed = packet | {name: wanted[name] for name in wanted if name in packet}
            yield aimed, state
            for name, bit in free:
                if name in packet:
                    yield aimed | {name: aimed[name] | bit}, state


def _few(targets: list[int], expectation: Expectation) -> list[int]:
    """One target here for each tag, one elsewhere, one nowhere."""
    found: dict[object, int] = {}
    for target in targets:
        place = expectation.places.macs.get(target)
        kind = None if place is None else place[0] == expectation.view.switch
        tag = expectation.places.tags.get((*(place or (0, 0)), target)) if kind else None
        found.setdefault((kind, expectation.forwarding.way(place) is None, tag), target)
    return list(found.values())


class Witnesses:
    """Real packets of one switch whose ends are in given classes."""

    def __init__(
        self,
        expectation: Expectation,
        world: World,
        sources: AddressClasses,
        targets: AddressClasses,
    ) -> None:
        self._expectation, self._world = expectation, world
        self._ends = (sources, targets)
        self._local: dict[tuple[int, bool], dict[int, tuple[int, int, int]]] | None = None

    def packets(
        self, sources: int, targets: int, services: Ranges, state: int
    ) -> Iterator[dict[str, int]]:
        """Packets that this switch judges, with ends and a service from the given sets."""
        reply = bool(state & RPL)
        near, far = (targets, sources) if reply else (sources, targets)
        for six in (False, True):
            asked = reachable_in(services, six)
            for low, _ in (*asked[:1], *asked[-1:]):
                service = (low >> 16 & 0xFF, low & 0xFFFF)
                yield from self._from_edges(near, far, six, service, state)
                yield from self._from_trunks(near, far, six, service, state)

    def local(self, end: int, six: bool) -> dict[int, tuple[int, int, int]]:
        """Per class that is attached here: port, MAC and address of one member."""
        if self._local is None:
            self._local = {(e, s): {} for e in (0, 1) for s in (False, True)}
            places, view = self._expectation.places, self._expectation.view
            for port in sorted(self._expectation.edges):
                for mac, numbers in places.held.get((view.switch, port), {}).items():
                    for number in sorted(numbers):
                        for index, classes in enumerate(self._ends):
                            found = self._local[index, number >= SIX]
                            found.setdefault(classes.class_of(number), (port, mac, number))
            self._behind_routers(self._local)
        return self._local[end, six]

    def _behind_routers(
        self, local: dict[tuple[int, bool], dict[int, tuple[int, int, int]]]
    ) -> None:
        """Addresses that routers here may send from, one per class."""
        places, here = self._expectation.places, self._expectation.view.switch
        for switch, port, mac in sorted(places.routers):
            if switch != here or port not in self._expectation.edges:
                continue
            for index, classes in enumerate(self._ends):
                for six in (False, True):
                    for number, found in classes.members(six):
                        if found not in local[index, six] and places.forwards(
                            switch, port, mac, number
                        ):
                            local[index, six][found] = (port, mac, number)

    def _sample(self, end: int, bits: int, six: bool) -> list[int]:
        samples = self._ends[end].samples
        found = []
        for index in indices(bits)[:4000]:
            if (number := samples.get((index, six))) is not None:
                found.append(number)
                if len(found) == 2:
                    break
        return found

    def _from_edges(
        self, near: int, far: int, six: bool, service: tuple[int, int], state: int
    ) -> Iterator[dict[str, int]]:
        reply = bool(state & RPL)
        here = self.local(int(reply), six)
        senders = [member for index, member in here.items() if near >> index & 1][:3]
        others = self._sample(int(not reply), far, six)
        pairs = [(other, sender) for other in others for sender in senders]
        # A host that talks to itself shows as much, but says less to a person.
        for other, (port, mac, number) in sorted(pairs, key=lambda each: each[0] == each[1][2]):
            ends = (other, number) if reply else (number, other)
            for target in self._towards(other, port, local=False):
                packet = packet_of(Asked(*ends, *service), port, mac, target, state)
                yield self._expectation.places.framed(self._expectation.view.switch, packet)

    def _from_trunks(
        self, near: int, far: int, six: bool, service: tuple[int, int], state: int
    ) -> Iterator[dict[str, int]]:
        reply = bool(state & RPL)
        senders = self._sample(int(reply), near, six) if self._world.trunks else []
        others = self._sample(int(not reply), far, six) if senders else []
        for other in others:
            for number in senders:
                ends = (other, number) if reply else (number, other)
                port = self._world.trunks[0]
                for target in self._towards(other, port, local=True):
                    mac = self._owner(number) or STRANGE_MAC
                    yield packet_of(Asked(*ends, *service), port, mac, target, state)

    def _owner(self, number: int) -> int | None:
        places = self._expectation.places
        place = places.numbers.get(number)
        held = {} if place is None else places.held[place]
        return next((mac for mac, numbers in held.items() if number in numbers), None)

    def _towards(self, number: int, in_port: int, *, local: bool) -> list[int]:
        """The MAC of the address's owner; where that leads nowhere, of a host that is reached."""
        expect, places = self._expectation, self._expectation.places
        owner = self._owner(number)
        for mac in (*((owner,) if owner is not None else ()), *self._world.macs):
            place = places.macs.get(mac)
            if place is None or local and place[0] != expect.view.switch:
                continue
            if expect.forwarding.way(place) not in (None, in_port):
                return [mac]
        return []
