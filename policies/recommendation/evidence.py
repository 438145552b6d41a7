"""The connections of a recording as edges between nodes.

A node is the name of an inventory host, the text of an address, or `OUTSIDE`, which stands for
every address that is not inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.model import (
    ICMP,
    ICMPV6,
    ONLY_IN,
    PORT_PROTOCOLS,
    Address,
    Connection,
    Host,
    Network,
    Service,
)
from policies.review.recorded_traffic import RecordedTraffic, connections
from topology.addresses import is_group
from topology.home_networks import PRIVATE, home_networks, within

REFUSED = "the network refused it"
OUTSIDE = ""  # no host can have this name
_MOST_NETWORKS = 8

Port = tuple[int, int]
"""Protocol and responder's port, or ICMP type; ``-n`` for the range of ports from ``n`` on."""


@dataclass(frozen=True, slots=True)
class ObservedEdge:
    """Use of a service of one node by another, ``first`` seen at (seconds since the epoch);
    ``failed`` connections were not answered."""

    client: str
    server: str
    port: Port
    connections: int
    failed: int = 0
    first: float = 0.0

    @property
    def key(self) -> tuple[str, str, Port]:
        return self.client, self.server, self.port


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An edge that is not recommended, and the reason, for review."""

    reason: str
    edge: ObservedEdge


def service_of(port: Port) -> Service:
    proto, number = port
    if number < 0:
        return Service(proto, -number, 65_535)
    if proto in PORT_PROTOCOLS or proto in (ICMP, ICMPV6):
        return Service(proto, number, number)
    return Service(proto)


class NodeIndex:
    """Which node an address is, and whether it is inside."""

    def __init__(
        self, traffic: RecordedTraffic, hosts: Iterable[Host], given: Sequence[Network]
    ) -> None:
        self._names = {address: host.name for host in hosts for address in host.ips}
        self._nodes: dict[int, str] = {}
        self._inside: dict[str, bool] = {}
        self.addresses: dict[str, list[Address]] = {}
        for host in hosts:
            self.addresses.setdefault(host.name, []).extend(host.ips)
        declared = set(self.addresses)
        self.networks = tuple(given) or _inside_networks(traffic, self._names)
        for connection, _, _ in connections(traffic):
            for address in (connection.src, connection.dst):
                if id(address) in self._nodes:
                    continue
                node = self._names.get(address) or str(address)
                self._nodes[id(address)] = node
                if node not in declared:
                    self.addresses.setdefault(node, []).append(address)
                self._inside[node] = (
                    node in declared or is_group(address) or within(address, self.networks)
                )

    def node(self, address: Address) -> str:
        """The node of an address object of the traffic."""
        return self._nodes[id(address)]

    def is_inside(self, node: str) -> bool:
        return self._inside.get(node, False)


def _inside_networks(traffic: RecordedTraffic, names: dict[Address, str]) -> tuple[Network, ...]:
    """Private networks, and whichever public ones most of the traffic has an end in."""
    pairs: list[tuple[Address, Address, int]] = []
    total = 0
    for connection, seen, _ in connections(traffic):
        total += seen.connections
        if connection.src not in names and connection.dst not in names:
            pairs.append((connection.src, connection.dst, seen.connections))
    return (*PRIVATE, *home_networks(pairs, total, _MOST_NETWORKS))


def edges_of(
    traffic: RecordedTraffic, places: NodeIndex
) -> tuple[list[ObservedEdge], list[LeftOut]]:
    """Edges that got an answer, and those left out because they never did."""
    counts: dict[tuple[str, str, Port, bool], list[int]] = {}
    began: dict[tuple[str, str, Port, bool], float] = {}
    for connection, seen, through in connections(traffic):
        client, server = places.node(connection.src), places.node(connection.dst)
        key = (client, server, _port_of(connection), through)
        count = counts.setdefault(key, [0, 0])
        count[0] += seen.connections
        count[1] += min(seen.failed, seen.connections)
        began[key] = min(began.get(key, seen.first), seen.first)
    good: list[ObservedEdge] = []
    left: list[LeftOut] = []
    for key, (times, failed) in sorted(counts.items()):
        client, server, port, through = key
        edge = ObservedEdge(client, server, port, times, failed, began[key])
        reason = _never(edge, through, places)
        if reason is None:
            good.append(edge)
        else:
            left.append(LeftOut(reason, edge))
    return good, left


def _port_of(connection: Connection) -> Port:
    """What a policy can name of a connection's service; some protocols have no ports."""
    proto = connection.proto
    told = proto in PORT_PROTOCOLS or proto in (ICMP, ICMPV6)
    return proto, connection.port if told else 0


def _never(edge: ObservedEdge, through: bool, places: NodeIndex) -> str | None:
    if not through:
        return REFUSED
    if edge.client == edge.server:
        return "to itself"
    if edge.port[0] in PORT_PROTOCOLS and edge.port[1] == 0:
        return "recorded without its port"
    family = ONLY_IN.get(edge.port[0])
    if edge.port[0] in (ICMP, ICMPV6):
        if edge.port[1] > 255:
            return "recorded without its ICMP type"
        if not any(address.version == family for address in places.addresses[edge.server]):
            return "ICMP of the other address family"
    if not places.is_inside(edge.client) and not places.is_inside(edge.server):
        return "neither end is inside"
    return None
