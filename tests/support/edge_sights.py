"""Connections as the edge learner sees them."""

from __future__ import annotations

import random

from detection.models.learners.edges import EdgeSight
from detection.state.edges import WAYS, WITHIN, Contact, Edge, Party


def sight(rng: random.Random, scale: float = 1.0) -> EdgeSight:
    """One connection, the less familiar the greater ``scale``."""
    way = rng.randrange(WAYS)
    pair, party = Contact(), Party() if way != WITHIN else None
    pair.before = int(rng.expovariate(0.05 * scale))
    if party is not None:
        party.before = int(rng.expovariate(0.02 * scale))
    edge = Edge(way, pair, party, 0.0)
    edge.minute, edge.hour, edge.day = (
        scale * rng.expovariate(1.0 / limit) for limit in edge.limits
    )
    return EdgeSight(edge, rng.randrange(500), 0.8, rng.choice((0.0, 1.0)))
