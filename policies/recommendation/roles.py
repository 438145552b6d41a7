"""Roles: groups of hosts with the same behaviour.

Hosts that serve the same services to similar clients, or that serve nothing
and use similar services, are one role: the similarity of their neighbours is
that of Tan, Poletto, Guttag and Kaashoek, "Role Classification of Hosts
within Enterprise Networks Based on Connection Patterns" (USENIX ATC 2003),
here as the Jaccard index of neighbour sets and with one pass in a fixed order
(each host joins the first role whose founder is similar enough), so that the
same traffic always gives the same roles. Hosts with labels are grouped by
them instead.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from policies.recommendation.evidence import OUTSIDE, ObservedEdge, Port

SIMILAR = 0.5

Labels = tuple[tuple[str, str], ...]
Neighbour = tuple[str, Port]


@dataclass(frozen=True, slots=True)
class NodeRole:
    """Nodes that are treated equally; ``labels`` where those are the reason."""

    members: tuple[str, ...]
    serves: frozenset[Port]
    labels: Labels = ()


def find_roles(
    edges: Sequence[ObservedEdge], labels: Mapping[str, Labels], alone: Set[str]
) -> tuple[NodeRole, ...]:
    """Put every node but `OUTSIDE` in one role; each of ``alone`` gets a role of its own."""
    served: dict[str, set[Port]] = defaultdict(set)
    clients: dict[str, set[Neighbour]] = defaultdict(set)
    used: dict[str, set[Neighbour]] = defaultdict(set)
    for edge in edges:
        served[edge.server].add(edge.port)
        clients[edge.server].add((edge.client, edge.port))
        used[edge.client].add((edge.server, edge.port))
    users = Counter(neighbour for neighbours in used.values() for neighbour in neighbours)
    nodes = sorted({*served, *used} - {OUTSIDE})
    roles = []
    labelled: dict[Labels, list[str]] = defaultdict(list)
    kinds: dict[frozenset[Port], list[str]] = defaultdict(list)
    for node in nodes:
        if labels.get(node):
            labelled[labels[node]].append(node)
        elif node in alone:
            roles.append(NodeRole((node,), frozenset(served[node])))
        else:
            kinds[frozenset(served[node])].append(node)
    for shared, members in labelled.items():
        ports = frozenset(port for node in members for port in served[node])
        roles.append(NodeRole(tuple(members), ports, shared))
    for ports, members in kinds.items():
        if ports:
            neighbours = {node: clients[node] for node in members}
        else:
            # What one client alone uses does not make it unlike the others.
            neighbours = {node: {n for n in used[node] if users[n] > 1} for node in members}
        roles += [NodeRole(tuple(group), ports) for group in _similar(neighbours)]
    return tuple(sorted(roles, key=lambda role: (role.labels, role.members)))


def _similar(neighbours: Mapping[str, Set[Neighbour]]) -> Iterable[list[str]]:
    """Groups around founders; those with most neighbours found first."""
    founded: list[tuple[Set[Neighbour], list[str]]] = []
    exact: dict[frozenset[Neighbour], list[str]] = {}
    for node in sorted(neighbours, key=lambda node: (-len(neighbours[node]), node)):
        own = frozenset(neighbours[node])
        group = exact.get(own)
        if group is None:
            group = next((g for theirs, g in founded if _jaccard(own, theirs) >= SIMILAR), None)
            if group is None:
                group = []
                founded.append((own, group))
            exact[own] = group
        group.append(node)
    return [sorted(group) for _, group in founded]


def _jaccard(one: Set[Neighbour], other: Set[Neighbour]) -> float:
    if not one and not other:
        return 1.0
    small, large = sorted((len(one), len(other)))
    if small < SIMILAR * large:
        return 0.0
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
