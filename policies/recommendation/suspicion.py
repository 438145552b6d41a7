"""Edges that look like reconnaissance rather than work.

What is looked for is what lateral movement leaves in a graph of who serves
what to whom: one client that asks many servers the same thing (a sweep), one
that asks a server many things (a port scan), and the rest of what such a
client did. Counting failures and fan-out per service follows Jung et al.,
"Fast Portscan Detection Using Sequential Hypothesis Testing" (IEEE S&P 2004),
in its observation that scanners' first contacts mostly fail; administration
services need no failures, because a stolen password works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from policies.model import PROTOCOL_NUMBERS
from policies.recommendation.evidence import LeftOut, NodeIndex, ObservedEdge, Port
from topology.services import REMOTE_ADMINISTRATION

ADMINISTRATION: frozenset[Port] = frozenset(
    (PROTOCOL_NUMBERS[proto], port) for proto, port in REMOTE_ADMINISTRATION
)
RARE = 2  # connections: as often as this, an edge says nothing about habit
ADMINISTRATION_FAN_OUT = 5  # servers
FAN_OUT = 10
OUTWARD_FAN_OUT = 20
PORTS = 15  # of one server
POPULAR = 5  # outside addresses that serve it: a service of the Internet, not of one peer
HABIT = 3  # connections: an edge so often used is somebody's habit
OFTEN = 20  # connections: enough to tell a server that is down now and then from one that is none
IN_VAIN = 0.95
_OTHERS = 2  # clients of good standing make a service an established one

NEVER, HARDLY = "never answered", "hardly ever answered"

T = TypeVar("T", bound=Hashable)


def _grouped(
    edges: Iterable[ObservedEdge], key: Callable[[ObservedEdge], T]
) -> dict[T, list[ObservedEdge]]:
    groups: dict[T, list[ObservedEdge]] = defaultdict(list)
    for edge in edges:
        groups[key(edge)].append(edge)
    return groups


def _weak(edge: ObservedEdge) -> bool:
    return edge.connections <= RARE or 2 * edge.failed >= edge.connections


def _mostly_failed(edges: Sequence[ObservedEdge]) -> bool:
    return 2 * sum(e.failed for e in edges) >= sum(e.connections for e in edges)


def popular(edges: Iterable[ObservedEdge], places: NodeIndex) -> frozenset[Port]:
    """Services that several inside nodes use of many outside addresses."""
    servers, clients = defaultdict(set), defaultdict(set)
    for edge in edges:
        if not places.is_inside(edge.server) and edge.failed < edge.connections:
            servers[edge.port].add(edge.server)
            clients[edge.port].add(edge.client)
    return frozenset(
        port for port, found in servers.items() if len(found) >= POPULAR and len(clients[port]) > 1
    )


def suspicious(
    edges: Sequence[ObservedEdge], places: NodeIndex, refused: Sequence[ObservedEdge] = ()
) -> list[LeftOut]:
    """The edges to exclude from a recommendation, each with one reason. ``refused`` are those that
    the network denied; they indicate reconnaissance.
    """
    tried = [*edges, *(replace(edge, failed=edge.connections) for edge in refused)]
    looking = _sweeps(tried, places) | _port_scans(tried)
    suspects = {client for client, _, _ in looking}
    rest = [edge for edge in edges if edge.key not in looking]
    common = popular((e for e in rest if e.client not in suspects), places)
    began: dict[str, float] = {}
    for edge in tried:
        if edge.key in looking:
            began[edge.client] = min(began.get(edge.client, edge.first), edge.first)
    followed = _of_suspects(rest, looking, began, common, places)
    reasons = looking | followed
    # Whom a suspect meets outside on a service of its own, others should not meet unseen.
    met = {
        edge.server
        for edge in edges
        if edge.client in suspects and not places.is_inside(edge.server) and edge.port not in common
    }
    for edge in rest:
        if edge.server in met and edge.port not in common:
            reasons.setdefault(edge.key, "to an outside address that a sweeping host uses too")
        elif (
            edge.port in ADMINISTRATION
            and not places.is_inside(edge.client)
            and edge.connections - edge.failed < HABIT
        ):
            reasons.setdefault(edge.key, "administration from outside, not a habit")
    found = [LeftOut(reasons[edge.key], edge) for edge in edges if edge.key in reasons]
    return found + [
        LeftOut(_unanswered(edge), edge)
        for edge in edges
        if edge.key not in reasons and _unanswered(edge)
    ]


def _unanswered(edge: ObservedEdge) -> str:
    """Whether an edge is repeatedly tried without success, and so no service."""
    if edge.failed >= edge.connections:
        return NEVER
    if edge.connections >= OFTEN and edge.failed >= IN_VAIN * edge.connections:
        return HARDLY
    return ""


Reasons = dict[tuple[str, str, Port], str]


def _sweeps(edges: Sequence[ObservedEdge], places: NodeIndex) -> Reasons:
    clients = {
        key: len(group) for key, group in _grouped(edges, lambda e: (e.server, e.port)).items()
    }
    found: Reasons = {}
    for (_, port), group in _grouped(edges, lambda e: (e.client, e.port)).items():
        within = [edge for edge in group if places.is_inside(edge.server)]
        for part, inside in ((within, True), ([e for e in group if e not in within], False)):
            weak = [edge for edge in part if _weak(edge)]
            if 2 * len(weak) < len(part):
                continue
            if inside and port in ADMINISTRATION and len(weak) >= ADMINISTRATION_FAN_OUT:
                why = "administration of many hosts, none of them a habit"
            elif inside and len(weak) >= FAN_OUT:
                lonely = sum(clients[edge.server, port] == 1 for edge in weak)
                if not _mostly_failed(weak) and 2 * lonely < len(weak):
                    continue
                why = "a sweep of many hosts"
            elif not inside and len(weak) >= OUTWARD_FAN_OUT and _mostly_failed(weak):
                why = "a sweep of many outside addresses"
            else:
                continue
            found.update((edge.key, why) for edge in weak)
    return found


def _port_scans(edges: Sequence[ObservedEdge]) -> Reasons:
    clients = {
        key: len(group) for key, group in _grouped(edges, lambda e: (e.server, e.port)).items()
    }
    told = any(edge.failed for edge in edges)
    found: Reasons = {}
    for group in _grouped(edges, lambda e: (e.client, e.server)).values():
        weak = [edge for edge in group if _weak(edge)]
        if len(weak) < PORTS:
            continue
        # A client that takes a new port for every transfer meets open ones.
        lonely = sum(clients[edge.server, edge.port] == 1 for edge in weak)
        if _mostly_failed(weak) if told else 2 * lonely >= len(weak):
            found.update((edge.key, "a scan of many ports of one host") for edge in weak)
    return found


def _of_suspects(
    edges: Sequence[ObservedEdge],
    looking: Reasons,
    began: Mapping[str, float],
    common: frozenset[Port],
    places: NodeIndex,
) -> Reasons:
    """Other edges of a sweeping client, except those that unsuspicious clients share to peers it
    did not sweep, and those inside from before the sweep ``began``."""
    suspects = {client for client, _, _ in looking}
    looked_at = {(client, server) for client, server, _ in looking}
    standing = _grouped(
        (e for e in edges if e.client not in suspects and e.failed < e.connections),
        lambda e: (e.server, e.port),
    )
    found: Reasons = {}
    for edge in edges:
        if edge.client not in suspects:
            continue
        if not places.is_inside(edge.server) and edge.port in common:
            continue
        others = len(standing.get((edge.server, edge.port), ()))
        seen = (edge.client, edge.server) in looked_at
        # A host that was taken over goes on with its work.
        habit = edge.connections - edge.failed >= HABIT and edge.first < began[edge.client]
        work = habit and places.is_inside(edge.server) and (others > 0 or not seen)
        if edge.port in ADMINISTRATION or not (work or (others >= _OTHERS and not seen)):
            found[edge.key] = "by a host that swept or scanned others"
    return found
