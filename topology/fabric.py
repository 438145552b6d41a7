"""Switches and the links between them, and which port leads where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import networkx as nx

from topology.records import Link


@dataclass(frozen=True, slots=True)
class Fabric:
    """The links known now. A link counts once both or either direction was seen."""

    links: frozenset[Link] = frozenset()

    @classmethod
    def of(cls, links: Iterable[Link]) -> Fabric:
        return cls(frozenset(links))

    def with_link(self, link: Link) -> Fabric:
        """The fabric after ``link`` was seen; a link that used the same port before is gone."""
        kept = {
            known for known in self.links if (known.switch, known.port) != (link.switch, link.port)
        }
        return Fabric(frozenset(kept | {link}))

    def without_port(self, switch: int, port: int) -> Fabric:
        """The fabric after a port went down: both directions of its link go with it."""
        return Fabric(
            frozenset(
                link
                for link in self.links
                if (link.switch, link.port) != (switch, port)
                and (link.peer_switch, link.peer_port) != (switch, port)
            )
        )

    def trunks(self, switch: int) -> frozenset[int]:
        """Ports of ``switch`` that lead to another switch."""
        return frozenset(
            {link.port for link in self.links if link.switch == switch}
            | {link.peer_port for link in self.links if link.peer_switch == switch}
        )

    def next_ports(self, switch: int) -> Mapping[int, int]:
        """For every reachable other switch, the port of ``switch`` on a shortest path to it.

        Ties go to the path whose switches have the smallest numbers, so that
        every run, and every switch on the path, chooses the same way.
        """
        graph: nx.Graph[int] = nx.Graph()
        ports: dict[tuple[int, int], int] = {}
        for link in sorted(self.links, key=lambda each: (each.switch, each.port), reverse=True):
            graph.add_edge(link.switch, link.peer_switch)
            ports[link.peer_switch, link.switch] = link.peer_port
            ports[link.switch, link.peer_switch] = link.port
        if switch not in graph:
            return {}
        distance = nx.single_source_shortest_path_length(graph, switch)
        first_hop: dict[int, int] = {}
        for other in sorted(distance, key=lambda each: (distance[each], each)):
            if other == switch:
                continue
            before = min(
                near for near in graph.neighbors(other) if distance[near] == distance[other] - 1
            )
            first_hop[other] = other if before == switch else first_hop[before]
        return {other: ports[switch, hop] for other, hop in first_hop.items()}
