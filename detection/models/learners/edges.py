"""How unusual one connection is for where its two ends are, and for the habit of its edge.

Four populations are kept apart: connections within our networks, out of them, into them, and
those that only pass by. Of each is counted how long the ends of its connections have known
each other and how far above its habit an edge is; a contribution is the negative logarithm of
the share of calm connections of that population that were at least as strange. So a first
visit costs nothing where most visits are first visits, and much where the same few partners
come every day. (An empirical p-value per feature, added up as in Fisher's method; counts instead of
moments, because none of these values has a shape that two numbers describe.)

Only the horizon that says most contributes, and only what exceeds the burst of the host-window:
the same connections are not counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log2
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from detection.features.catalogue import EDGE_COUNT, EDGE_INDEX
from detection.models.learners.base import Range
from detection.state.edges import LEVELS, WAYS, Edge
from detection.state.stored_values import MOST, Amount

HALF_KNOWN_SECONDS = 86_400.0  # of watching; before, nobody has been known for long
BINS = 24
MOST_HOURS = 4096  # from which on two hosts cannot know each other better
PRIOR = 4.0  # connections that are assumed to have been new, thinning out with familiarity
PRIOR_FADE = 0.7
SURGE_PRIOR = 100.0  # connections assumed to have kept to their habit; half as many at each step up
LEAST = 0.01
CAP = 8.0  # nats that one feature adds at most
REBUILD = 256  # connections learned between two workings-out of the nats
RECENT = (
    1_000_000.0  # connections of a population after which the old half of its weight is dropped
)
ONE_A_SECOND = 60  # connections of one edge in a minute that are learned from

_PAIR = EDGE_INDEX["unfamiliar_pair"]
_PARTY = EDGE_INDEX["unfamiliar_party"]
_SURGE = EDGE_INDEX["edge_surge_1m"]


@dataclass(frozen=True, slots=True)
class EdgeSight:
    """One connection as it is seen: its edge, the hour (since the epoch), how far it is known who
    talks to whom, and the nats that its host-window has for a burst already.
    """

    edge: Edge
    hour: int
    maturity: float
    burst: float = 0.0


Bins = tuple[int, int, int, int, int]  # of each feature in turn


def bins_of(edge: Edge, hour: int) -> Bins:
    """The bin of each feature; that of the outside host says nothing where there is none."""
    pair, party = edge.pair, edge.party
    hours = pair.before + (0 <= pair.hour != hour)
    known = _FAMILIARITY[hours if hours < MOST_HOURS else -1]
    visited = 0
    if party is not None:
        hours = party.before + (0 <= party.hour != hour)
        visited = _FAMILIARITY[hours if hours < MOST_HOURS else -1]
    minute, long, day = edge.minute, edge.hour, edge.day
    return (
        known,
        visited,
        0 if minute < edge.minute_limit else surge(minute / edge.minute_limit),
        0 if long < edge.hour_limit else surge(long / edge.hour_limit),
        0 if day < edge.day_limit else surge(day / edge.day_limit),
    )


def surge(times: float) -> int:
    """Bin of how many ``times`` (>= 1) an edge is above its limit: half an octave each."""
    return min(BINS - 1, 1 + int(2.0 * log2(times)))


# Bin of a number of hours: half an octave each.
_FAMILIARITY = tuple(min(BINS - 1, int(2 * log2(hours + 1))) for hours in range(MOST_HOURS))


class Population:
    """The connections of one of the four kinds: counts per bin, and nats worked out from them."""

    __slots__ = ("nats", "pending", "shares")

    def __init__(self) -> None:
        known = [PRIOR * PRIOR_FADE**b + LEAST for b in range(BINS)]
        calm = [SURGE_PRIOR * 0.5**b + LEAST for b in range(BINS)]
        self.shares = [known, list(known)] + [list(calm) for _ in range(LEVELS)]
        self.nats = [[0.0] * BINS for _ in self.shares]
        self.pending = 0
        self.work_out()

    def work_out(self) -> None:
        """Familiarity is strange when low, a surge when high."""
        for which, (counts, nats) in enumerate(zip(self.shares, self.nats, strict=True)):
            total = sum(counts)
            if total > RECENT:
                counts[:] = [n / 2.0 for n in counts]
                total /= 2.0
            reached = 0.0
            bins = range(BINS) if which < 2 else range(BINS - 1, -1, -1)
            for b in bins:
                reached += counts[b]
                nats[b] = _capped(max(0.0, -log(reached / total)))
        self.pending = 0


_FEATURES = Meta(min_length=2 + LEVELS, max_length=2 + LEVELS)
_BINS = Meta(min_length=BINS, max_length=BINS)
_Share = Annotated[float, Meta(gt=0.0, le=MOST)]


class _PopulationState(Struct, frozen=True, array_like=True):
    shares: Annotated[list[Annotated[list[_Share], _BINS]], _FEATURES]
    nats: Annotated[list[Annotated[list[Amount], _BINS]], _FEATURES]
    pending: Annotated[int, Meta(ge=0, lt=REBUILD)]


class EdgeLearner:
    """``features`` index ``detection.features.catalogue.EDGE_FEATURES``."""

    name = "edges"
    features = tuple(range(EDGE_COUNT))

    def __init__(self) -> None:
        self._populations = [Population() for _ in range(WAYS)]

    def score(self, seen: EdgeSight, into: list[float]) -> None:
        edge = seen.edge
        bins = bins_of(edge, seen.hour)
        nats = self._populations[edge.way].nats
        into[_PAIR] = seen.maturity * nats[0][bins[0]]
        into[_PARTY] = seen.maturity * nats[1][bins[1]] if edge.party is not None else 0.0
        best, most = 0, 0.0
        for i in range(LEVELS):
            into[_SURGE + i] = 0.0
            part = nats[2 + i][bins[2 + i]]
            if part > most:
                best, most = i, part
        into[_SURGE + best] = max(0.0, seen.maturity * most - seen.burst)

    def nats(self, edge: Edge, bins: Bins, maturity: float, burst: float) -> float:
        """The sum of what :meth:`score` writes, in one go: this is asked for every record."""
        nats = self._populations[edge.way].nats
        pair, party, minute, long, day = bins
        total = maturity * nats[0][pair]
        if edge.party is not None:
            total += maturity * nats[1][party]
        if minute or long or day:
            surge = maturity * max(nats[2][minute], nats[3][long], nats[4][day])
            if surge > burst:
                total += surge - burst
        return total

    def learn(self, seen: EdgeSight) -> None:
        """Take one calm connection as normal; of one edge at most one a second on average."""
        self.take(seen.edge, bins_of(seen.edge, seen.hour), seen.hour)

    def take(self, edge: Edge, bins: Bins, hour: int) -> None:
        """:meth:`learn`, without a view made for it: this is done for nearly every record."""
        if edge.ts - edge.second >= 60.0:
            edge.second = edge.ts
            edge.said = 0
        edge.said += 1
        pair, party = edge.pair, edge.party
        if edge.said <= ONE_A_SECOND:
            population = self._populations[edge.way]
            shares = population.shares
            shares[0][bins[0]] += 1.0
            if party is not None:
                shares[1][bins[1]] += 1.0
            shares[2][bins[2]] += 1.0
            shares[3][bins[3]] += 1.0
            shares[4][bins[4]] += 1.0
            population.pending += 1
            if population.pending >= REBUILD:
                population.work_out()
        if pair.hour != hour:
            pair.note(hour)
        if party is not None and party.hour != hour:
            party.note(hour)

    def explain(self, seen: EdgeSight) -> dict[int, Range]:
        ranges = {_SURGE + i: Range(0.0, limit) for i, limit in enumerate(seen.edge.limits)}
        shares = self._populations[seen.edge.way].shares
        ranges[_PAIR] = Range(_least_usual(shares[0]), float(len(_FAMILIARITY)))
        ranges[_PARTY] = Range(_least_usual(shares[1]), float(len(_FAMILIARITY)))
        return ranges

    def snapshot(self) -> object:
        return [_PopulationState(p.shares, p.nats, p.pending) for p in self._populations]

    def restore(self, state: object) -> None:
        found = msgspec.convert(state, list[_PopulationState])
        for population, stored in zip(self._populations, found, strict=True):
            population.shares, population.nats = stored.shares, stored.nats
            population.pending = stored.pending


def _capped(nats: float) -> float:
    """Beyond :data:`CAP` a feature goes on at a quarter: it must not decide alone, nor tie."""
    return nats if nats <= CAP else CAP + 0.25 * (nats - CAP)


def _least_usual(counts: Sequence[float]) -> float:
    """The hours of contact that 99 of 100 connections have at least."""
    reached, enough = 0.0, sum(counts) / 100.0
    for b, n in enumerate(counts):
        reached += n
        if reached >= enough:
            return float(2.0 ** (b / 2.0) - 1.0)
    return 0.0
