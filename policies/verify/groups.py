"""Packets about multicast and broadcast, address assignment and routers: every mixture."""

from __future__ import annotations

from collections.abc import Iterator

from policies.model import TCP
from policies.semantics.prefix_sets import SIX
from policies.verify.expect import Expectation
from policies.verify.flows import ASKS, STATES, Asked, packet_of, services_of
from policies.verify.packets import IP, IPV6, MULTICAST
from policies.verify.representative_packets import World, icmp6
from policies.verify.wildcard_rules import STRANGE_FOUR, STRANGE_MAC, STRANGE_SIX

BROADCAST = 0xFFFF_FFFF_FFFF
ALL_NODES, ALL_ROUTERS = 0x3333_0000_0001, 0x3333_0000_0002
FOUR_FRAMES = (0x0100_5E00_0005, 0x0100_5E7F_FFFF, 0x0100_5E80_0005, BROADCAST, ALL_NODES)
FOUR_GROUPS = (0xE000_0005, 0xEFFF_FFFF, 0xF000_0005, 0xFFFF_FFFF, 0xDFFF_FFFF, STRANGE_FOUR)
SIX_FRAMES = (ALL_NODES, 0x3333_FFFF_FFFF, 0x0100_5E00_0005, BROADCAST, 0x3332_0000_0001)
SIX_GROUPS = (0xFF02 << 112 | 0xFB, (1 << 128) - 1, 0xFE80 << 112 | 1, STRANGE_SIX)
PORTS = {IP: (67, 68), IPV6: (546, 547)}


def station_packets(world: World, expectation: Expectation) -> Iterator[dict[str, int]]:
    """Address assignment, and what hosts and routers say, by everybody to everybody."""
    here = expectation.view.switch
    places = expectation.places
    servers = [mac for _, _, mac in places.serves]
    for port in (*world.edge_kinds, *world.trunk_kinds):
        held = places.held.get((here, port), {})
        other = next((mac for mac in places.macs if mac not in held), STRANGE_MAC)
        macs = dict.fromkeys([*world.macs, *servers[:1], *servers[-1:], STRANGE_MAC])
        targets = world.special("eth_dst", BROADCAST, ALL_NODES, ALL_ROUTERS, *macs)
        for mac in dict.fromkeys((*list(held)[:2], *list(held)[-1:], other)):
            numbers = held.get(
                mac, places.held.get(places.macs.get(other, (0, 0)), {}).get(mac, set())
            )
            start = places.framed(here, {"in_port": port, "eth_src": mac})
            four = [each for each in sorted(numbers) if each < SIX][:2]
            six = [each ^ SIX for each in sorted(numbers) if each >= SIX]
            for target in targets:
                yield from _assigning(start | {"eth_dst": target}, four, six)
                for kind in (133, 134, 137):
                    for source in (*six, 0, STRANGE_SIX, 0xFE80 << 112 | 0x1234):
                        yield start | icmp6(target, source, 0xFF02 << 112 | 1, kind)


def _assigning(start: dict[str, int], four: list[int], six: list[int]) -> Iterator[dict[str, int]]:
    for family, name, sources, target in (
        (IP, "ip", (*four, 0, STRANGE_FOUR), 0xFFFF_FFFF),
        (IPV6, "ipv6", (*six, 0, STRANGE_SIX), 0xFF02 << 112 | 1 << 16 | 2),
    ):
        for source in sources:
            packet = start | {"eth_type": family, f"{name}_src": source, f"{name}_dst": target}
            for near in PORTS[family]:
                for far in (*PORTS[family], 50_003):
                    yield packet | {"ip_proto": 17, "udp_src": near, "udp_dst": far}


def group_packets(
    world: World, expectation: Expectation, apart: bool
) -> Iterator[tuple[dict[str, int], int]]:
    """Frames to groups, with addresses that are of groups and with others.

    ``apart``: no rule looks at a target and at a protocol or a state at once; then every frame
    and address with one service in one state, and every service and state with a few are enough.
    """
    places, here = expectation.places, expectation.view.switch
    for port in (*world.edge_kinds, *world.trunk_kinds):
        for number, start in _senders(expectation, port):
            six = number >= SIX
            frames, groups = (SIX_FRAMES, SIX_GROUPS) if six else (FOUR_FRAMES, FOUR_GROUPS)
            services = [each for each in services_of(world, six) if each[2] is None]
            targets = [each for each in world.special("eth_dst", *frames) if each & MULTICAST]
            for index, (proto, far, flags) in enumerate(services):
                for at, target in enumerate(targets):
                    for group in groups if not index else groups[:1]:
                        plain = at < 2 and group == groups[0] if apart else at < 2 or not index
                        for state in STATES if plain else STATES[:1]:
                            asked = Asked(number, group | SIX if six else group, proto, far)
                            packet = packet_of(asked, *start, target, state, flags)
                            yield places.framed(here, packet), state
    # No frame goes back where it came from: a flood's every port is seen from another one.
    for port in world.edges:
        for number, start in _senders(expectation, port) if port not in world.edge_kinds else ():
            target, group = (SIX_FRAMES[0], SIX_GROUPS[0] | SIX)
            if number < SIX:
                target, group = FOUR_FRAMES[0], FOUR_GROUPS[0]
            packet = packet_of(Asked(number, group, TCP, 50_002), *start, target, ASKS)
            yield places.framed(here, packet), ASKS


def _senders(expectation: Expectation, port: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """An address of each family that is on a port, with the port and its MAC."""
    held = expectation.places.held.get((expectation.view.switch, port))
    mac, numbers = next(iter((held or {STRANGE_MAC: {STRANGE_FOUR, STRANGE_SIX | SIX}}).items()))
    for number in (min(numbers), max(numbers)):
        yield number, (port, mac)
