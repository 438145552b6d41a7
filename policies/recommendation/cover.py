"""From observed edges to the allows that cover them: between roles where that fits, else host by
host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from policies.recommendation.evidence import OUTSIDE, NodeIndex, ObservedEdge, Port
from policies.recommendation.roles import NodeRole
from policies.recommendation.suspicion import ADMINISTRATION, HABIT, POPULAR, popular

FITS = 0.5  # of a role's pairs that were seen make the rest worth allowing too

Triple = tuple[str, str, Port]
Group = tuple[str, ...]  # the members of a role, one node, or (OUTSIDE,)


@dataclass(frozen=True, slots=True)
class Allow:
    """All of ``sources`` may use ``ports`` of all of ``targets``; ``seen`` of these pairs × ports
    were observed."""

    sources: tuple[Group, ...]
    targets: tuple[Group, ...]
    ports: tuple[Port, ...]
    connections: int
    seen: int
    allowed: int


def fold_outside(edges: Sequence[ObservedEdge], places: NodeIndex) -> list[ObservedEdge]:
    """Replace outside addresses by one node, where they are many or the service is the Internet's.

    A service that only a few outside addresses serve or use keeps them as nodes; so does one that a
    client uses regularly of a few. Administration from outside always does.
    """
    common = popular(edges, places)
    peers: dict[str, set[str]] = defaultdict(set)
    on_port: dict[tuple[str, Port], set[str]] = defaultdict(set)
    users: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        if not places.is_inside(edge.server) and edge.port not in common:
            peers[edge.client].add(edge.server)
            on_port[edge.client, edge.port].add(edge.server)
        if not places.is_inside(edge.client) and edge.port not in ADMINISTRATION:
            users[edge.server].add(edge.client)
    folded: dict[Triple, list[int]] = {}
    for edge in edges:
        client, server = edge.client, edge.server
        if not places.is_inside(server):
            many = len(on_port[client, edge.port]) >= POPULAR
            passing = len(peers[client]) >= POPULAR and edge.connections < HABIT
            if edge.port in common or many or passing:
                server = OUTSIDE
        elif not places.is_inside(client):
            if edge.port not in ADMINISTRATION and len(users[server]) >= POPULAR:
                client = OUTSIDE
        count = folded.setdefault((client, server, edge.port), [0, 0])
        count[0] += edge.connections
        count[1] += edge.failed
    return [ObservedEdge(*key, *count) for key, count in sorted(folded.items())]


def rarest(edges: Sequence[ObservedEdge], places: NodeIndex, share: float) -> list[ObservedEdge]:
    """Edges seen once that nothing else supports, at most ``share`` of all connections.

    Administration first, then connections inside: the less usual an edge is, the sooner it is left
    to a person.
    """
    clients: dict[tuple[str, Port], int] = defaultdict(int)
    for edge in edges:
        clients[edge.server, edge.port] += 1
    once = [
        edge
        for edge in edges
        if edge.connections == 1
        and (edge.port in ADMINISTRATION or clients[edge.server, edge.port] == 1)
    ]
    once.sort(
        key=lambda edge: (
            edge.port not in ADMINISTRATION,
            not places.is_inside(edge.server),
            not places.is_inside(edge.client),
            edge.key,
        )
    )
    return once[: int(share * sum(edge.connections for edge in edges))]


def cover(
    edges: Sequence[ObservedEdge], roles: Sequence[NodeRole], avoid: Set[Triple]
) -> list[Allow]:
    """Allows that cover every edge and none of ``avoid``.

    A role's members are treated alike where at least half of the pairs of two
    roles were seen on a service, or one of two members, and nothing to avoid is among them.
    """
    group_of: dict[str, Group] = {OUTSIDE: (OUTSIDE,)}
    for role in roles:
        group_of.update((node, role.members) for node in role.members)
    blocks: dict[tuple[Group, Group, Port], list[ObservedEdge]] = defaultdict(list)
    for edge in edges:
        blocks[group_of[edge.client], group_of[edge.server], edge.port].append(edge)
    avoided: dict[tuple[Group, Group, Port], int] = defaultdict(int)
    for client, server, port in avoid:
        if client in group_of and server in group_of:
            avoided[group_of[client], group_of[server], port] += 1
    wide: dict[tuple[Group, Group], dict[Port, list[ObservedEdge]]] = defaultdict(dict)
    narrow: list[ObservedEdge] = []
    for (source, target, port), block in blocks.items():
        pairs = _pairs((source,), (target,))
        if not avoided[source, target, port] and len(block) >= FITS * pairs:
            wide[source, target][port] = block
        else:
            narrow += block
    return _merged(
        [
            *((source, target, found) for (source, target), found in wide.items()),
            *(((e.client,), (e.server,), {e.port: [e]}) for e in narrow),
        ]
    )


def _pairs(sources: Iterable[Group], targets: Iterable[Group]) -> int:
    """Pairs of different nodes."""
    starts = {node for group in sources for node in group}
    ends = {node for group in targets for node in group}
    return len(starts) * len(ends) - len(starts & ends)


def _merged(parts: Iterable[tuple[Group, Group, Mapping[Port, list[ObservedEdge]]]]) -> list[Allow]:
    """Join what differs only in its services, then in its sources, then in its targets."""
    services: dict[tuple[Group, Group], dict[Port, list[ObservedEdge]]] = defaultdict(dict)
    for source, target, part in parts:
        services[source, target].update(part)
    starts: dict[tuple[Group, tuple[Port, ...]], list[Group]] = defaultdict(list)
    for (source, target), by_port in services.items():
        starts[target, tuple(sorted(by_port))].append(source)
    ends: dict[tuple[tuple[Group, ...], tuple[Port, ...]], list[Group]] = defaultdict(list)
    for (target, ports), asking in starts.items():
        ends[tuple(sorted(asking)), ports].append(target)
    allows = []
    for (sources, ports), found in ends.items():
        targets = tuple(sorted(found))
        seen = [
            edge
            for source in sources
            for target in targets
            for port in ports
            for edge in services[source, target][port]
        ]
        allows.append(
            Allow(
                sources,
                targets,
                ports,
                sum(edge.connections for edge in seen),
                len(seen),
                _pairs(sources, targets) * len(ports),
            )
        )
    return sorted(allows, key=lambda allow: (-allow.connections, allow.targets, allow.sources))
