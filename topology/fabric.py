"""Switches and the links between them, and which port leads where."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from topology.records import Link

Cable = tuple[int, int, int, int]  # switch, port, peer's switch and port: the smaller end first
AROUND = 1_000  # hops that passing through a switch to be avoided counts for


def cable_of(link: Link) -> Cable:
    """The cable of a link: the same for both directions."""
    near, far = (link.switch, link.port), (link.peer_switch, link.peer_port)
    return (*near, *far) if near < far else (*far, *near)


def reversed_link(link: Link) -> Link:
    """The other direction of the same cable."""
    return Link(link.peer_switch, link.peer_port, link.switch, link.port)


@dataclass(frozen=True, slots=True)
class Fabric:
    """The known links, each with both its directions. ``tree`` are the cables that
    multicast takes. A cable stays in the tree while it exists; another one joins only to replace a
    missing one. So a mixture of old and new trees, while switches are updated one after the other,
    never has a loop.
    """

    links: frozenset[Link] = frozenset()
    tree: frozenset[Cable] = frozenset()

    @classmethod
    def of(cls, links: Iterable[Link]) -> Fabric:
        return _grown(frozenset(links), ())

    def with_link(self, link: Link) -> Fabric:
        """The fabric after ``link`` was seen; other links on its ports are removed."""
        if link in self.links:
            return self
        ends = {(link.switch, link.port), (link.peer_switch, link.peer_port)}
        cable = cable_of(link)
        kept = {
            known
            for known in self.links
            if cable_of(known) == cable
            or not ends & {(known.switch, known.port), (known.peer_switch, known.peer_port)}
        }
        return _grown(frozenset(kept | {link}), self.tree)

    def without(self, gone: Collection[Link]) -> Fabric:
        """The fabric without the cables of some links, in both directions."""
        cables = {cable_of(link) for link in gone}
        kept = frozenset(link for link in self.links if cable_of(link) not in cables)
        return self if kept == self.links else _grown(kept, self.tree)

    def without_port(self, switch: int, port: int) -> Fabric:
        """The fabric after a port went down, without both directions of its link."""
        return self.without(self.at(switch, port))

    def at(self, switch: int, port: int) -> list[Link]:
        """The links of a port, in both directions."""
        here = (switch, port)
        return [
            link
            for link in self.links
            if here in ((link.switch, link.port), (link.peer_switch, link.peer_port))
        ]

    def trunks(self, switch: int) -> frozenset[int]:
        """Ports of ``switch`` that lead to another switch."""
        return frozenset(port for cable in _cables(self.links) for port in _at(cable, switch))

    def tree_ports(self, switch: int) -> frozenset[int]:
        """The trunks of ``switch`` that multicast takes."""
        return frozenset(port for cable in self.tree for port in _at(cable, switch))

    def next_ports(self, switch: int, avoid: Collection[int] = ()) -> Mapping[int, int]:
        """For every reachable other switch, the port of ``switch`` on a shortest path to it.

        Paths avoid passing through the switches in ``avoid`` where another path exists. Ties go to
        the path whose switches have the smallest numbers, so that every run, and every switch on
        the path, chooses the same way (Dijkstra, 1959, with these costs).
        """
        ports: dict[int, dict[int, int]] = {}
        for one, port, other, peer in sorted(_cables(self.links), reverse=True):
            ports.setdefault(one, {})[other] = port
            ports.setdefault(other, {})[one] = peer
        if switch not in ports:
            return {}
        distance = {switch: 0}
        waiting = [(0, switch)]
        while waiting:
            far, at = heappop(waiting)
            if far > distance[at]:
                continue
            step = far + 1 + (AROUND if at in avoid and at != switch else 0)
            for near in ports[at]:
                if step < distance.get(near, step + 1):
                    distance[near] = step
                    heappush(waiting, (step, near))
        first_hop: dict[int, int] = {}
        for other in sorted(distance, key=lambda each: (distance[each], each)):
            if other == switch:
                continue
            before = min(
                near
                for near in ports[other]
                if near in distance
                and distance[near] + 1 + (AROUND if near in avoid and near != switch else 0)
                == distance[other]
            )
            first_hop[other] = other if before == switch else first_hop[before]
        return {other: ports[switch][hop] for other, hop in first_hop.items()}


def _cables(links: Iterable[Link]) -> set[Cable]:
    return {cable_of(link) for link in links}


def _at(cable: Cable, switch: int) -> Iterator[int]:
    """The ports of a cable on one switch."""
    one, port, other, peer = cable
    if one == switch:
        yield port
    if other == switch:
        yield peer


def _grown(links: frozenset[Link], tree: Iterable[Cable]) -> Fabric:
    """The tree without missing cables, plus the fewest cables that reconnect its parts: breadth
    first from the smallest switch, so that paths along it are short."""
    there = _cables(links)
    kept = {cable for cable in tree if cable in there}
    near: dict[int, list[tuple[bool, int, Cable]]] = {}
    for cable in sorted(there):
        one, _, other, _ = cable
        if one != other:
            near.setdefault(one, []).append((cable not in kept, other, cable))
            near.setdefault(other, []).append((cable not in kept, one, cable))
    joined: set[int] = set()
    groups = _groups(near, kept)
    for start in sorted(near):
        if start in joined:
            continue
        waiting = deque([start])
        joined |= groups[start]
        waiting.extend(sorted(groups[start] - {start}))
        while waiting:
            at = waiting.popleft()
            for _, other, cable in sorted(near[at]):
                if other not in joined:
                    kept.add(cable)
                    waiting.extend([other, *sorted(groups[other] - {other})])
                    joined |= groups[other]
    return Fabric(links, frozenset(kept))


def _groups(
    near: Mapping[int, Collection[tuple[bool, int, Cable]]], kept: Collection[Cable]
) -> dict[int, set[int]]:
    """For each switch, the switches connected to it by remaining cables."""
    groups: dict[int, set[int]] = {switch: {switch} for switch in near}
    for one, _, other, _ in kept:
        if groups[one] is not groups[other]:
            whole = groups[one] | groups[other]
            for switch in whole:
                groups[switch] = whole
    return groups
