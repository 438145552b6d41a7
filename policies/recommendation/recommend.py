"""Recommendation of a policy from recorded traffic: roles, allows, and exclusions for review."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.model import Host, Network
from policies.recommendation.cover import Allow, cover, fold_outside, rarest
from policies.recommendation.evidence import (
    OUTSIDE,
    REFUSED,
    LeftOut,
    NodeIndex,
    ObservedEdge,
    edges_of,
)
from policies.recommendation.negotiated_ports import merge_negotiated
from policies.recommendation.roles import NodeRole, find_roles
from policies.recommendation.suspicion import HARDLY, NEVER, suspicious
from policies.review.recorded_traffic import RecordedTraffic, connections

RARE_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Recommendation:
    """``coverage`` is the share of the recording's connections that the allows admit.

    ``tightness`` is the pairs × services that were seen among those that the allows
    admit; all of the outside counts as one end of a pair. ``left_out`` stands
    with most connections first, and holds nothing that the allows admit.
    """

    roles: tuple[NodeRole, ...]
    allows: tuple[Allow, ...]
    left_out: tuple[LeftOut, ...]
    places: NodeIndex
    connections: int
    admitted: int
    seen: int
    allowed: int

    @property
    def coverage(self) -> float:
        return self.admitted / self.connections if self.connections else 1.0

    @property
    def tightness(self) -> float:
        return self.seen / self.allowed if self.allowed else 1.0


def recommend(
    traffic: RecordedTraffic,
    hosts: Sequence[Host] = (),
    inside: Sequence[Network] = (),
    rare_share: float = RARE_SHARE,
) -> Recommendation:
    """The smallest policy that allows recorded traffic, except what is suspicious or rare.

    ``hosts`` is an inventory: its labels make the roles, its names the members.
    ``inside`` says which networks are ours; left out, private ones and those
    public ones that most of the traffic has an end in. At most ``rare_share`` of
    the connections is left out for being rare alone. The same traffic gives the
    same recommendation.
    """
    places = NodeIndex(traffic, hosts, inside)
    edges, left = edges_of(traffic, places)
    edges = merge_negotiated(edges)
    doubtful = suspicious(edges, places, [each.edge for each in left if each.reason == REFUSED])
    avoid = {each.edge.key for each in doubtful}
    left += doubtful
    folded = fold_outside([edge for edge in edges if edge.key not in avoid], places)
    rare = rarest(folded, places, rare_share)
    avoid |= {edge.key for edge in rare}
    left += [LeftOut("seen once, and nothing else like it", edge) for edge in rare]
    good = [edge for edge in folded if edge.key not in avoid]
    # What is out of doubt for one client of a role must not come to it through the role.
    labels = {host.name: tuple(sorted(host.labels)) for host in hosts}
    suspects = {each.edge.client for each in doubtful if each.reason not in (NEVER, HARDLY)}
    roles = find_roles(good, labels, suspects)
    allows = cover(good, roles, avoid)
    admits = _Admits(allows, places)
    left = [each for each in left if not admits(each.edge)]
    left.sort(key=lambda each: (-each.edge.connections, each.edge.key))
    total = sum(seen.connections for _, seen, _ in connections(traffic))
    out = sum(each.edge.connections for each in left)
    return Recommendation(
        roles,
        tuple(allows),
        tuple(left),
        places,
        total,
        total - out,
        sum(allow.seen for allow in allows),
        sum(allow.allowed for allow in allows),
    )


class _Admits:
    """Whether the allows together admit an edge."""

    def __init__(self, allows: Sequence[Allow], places: NodeIndex) -> None:
        self._places = places
        self._as_client: dict[str, set[int]] = defaultdict(set)
        self._as_server: dict[str, set[int]] = defaultdict(set)
        self._ports = [frozenset(allow.ports) for allow in allows]
        for number, allow in enumerate(allows):
            for found, groups in (
                (self._as_client, allow.sources),
                (self._as_server, allow.targets),
            ):
                for group in groups:
                    for node in group:
                        found[node].add(number)

    def __call__(self, edge: ObservedEdge) -> bool:
        sources = self._of(self._as_client, edge.client)
        targets = self._of(self._as_server, edge.server)
        return any(edge.port in self._ports[number] for number in sources & targets)

    def _of(self, found: Mapping[str, set[int]], node: str) -> set[int]:
        if node == OUTSIDE or self._places.is_inside(node):
            return found.get(node, set())
        return found.get(node, set()) | found.get(OUTSIDE, set())
