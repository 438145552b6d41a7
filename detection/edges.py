"""What is remembered of one edge (who began a connection, to whom): how long it is known, how busy.

A single connection says little; that two hosts talk every day says a lot. Of every edge is kept in
how many hours its two ends were in contact before, and how often it was used in the last minute,
hour and day against its own habit at these horizons. ``learners.edges`` turns that into nats.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

from detection.rhythm import Rhythm

HOUR = 3600.0
TIMES = (60.0, 3600.0, 86_400.0)  # seconds over which uses of an edge are counted, fading
FLOORS = (15.0, 40.0, 100.0)  # uses at these horizons that no edge is remarkable for
HABIT = 0.3  # share by which one spell of use moves an edge's habit
SPELL = 3.0  # horizons after which a spell that does not end is taken for habit as well
LEVELS = len(TIMES)

# Where the two ends of an edge are, seen from our networks.
WITHIN, OUTWARD, INWARD, BEYOND = range(4)
WAYS = 4


class Contact:
    """Two hosts, or an outside host and all of ours: the hours in which they were in contact."""

    __slots__ = ("before", "hour", "users")

    def __init__(self) -> None:
        self.before = 0  # hours with contact, not counting the latest
        self.hour = -1
        self.users = 0  # hosts of ours that connected to it (an outside host)

    def note(self, hour: int) -> None:
        if hour != self.hour:
            if self.hour >= 0:
                self.before += 1
            self.hour = hour

    def known(self, hour: int) -> int:
        """Hours of contact before this one."""
        return self.before + (0 <= self.hour != hour)


class Edge:
    """One direction of a pair. ``counts`` and ``limits`` stand at the horizons of :data:`TIMES`:
    an edge is busier than it should be from ``limits`` on (a floor, plus twice its habit).
    """

    __slots__ = (
        "counts",
        "limits",
        "pair",
        "party",
        "peaks",
        "rhythm",
        "said",
        "second",
        "since",
        "ts",
        "way",
    )

    def __init__(self, way: int, pair: Contact, party: Contact | None, now: float) -> None:
        self.way = way
        self.pair = pair
        self.party = party  # the outside end's contact with any of ours; None within our networks
        self.ts = now
        self.counts = [0.0] * LEVELS
        self.limits = list(FLOORS)
        self.peaks = [0.0] * LEVELS
        self.since = [now] * LEVELS
        self.second = now  # when learning from it was last counted anew, and how often since
        self.said = 0
        self.rhythm: Rhythm | None = None

    def use(self, now: float, calm: bool) -> None:
        """Count one connection; what it did while its host was not calm becomes no habit."""
        counts = self.counts
        gone = now - self.ts
        if gone > 0.0:
            self.ts = now
            since = self.since
            for i, time in enumerate(TIMES):
                counts[i] *= exp(-gone / time)
                if gone > time or now - since[i] > SPELL * time:
                    self._end_spell(i, calm)
                    since[i] = now
        peaks = self.peaks
        n = counts[0] = counts[0] + 1.0
        if n > peaks[0]:
            peaks[0] = n
        n = counts[1] = counts[1] + 1.0
        if n > peaks[1]:
            peaks[1] = n
        n = counts[2] = counts[2] + 1.0
        if n > peaks[2]:
            peaks[2] = n

    def _end_spell(self, i: int, calm: bool) -> None:
        peak = self.peaks[i]
        self.peaks[i] = 0.0
        if calm and peak > 0.0:
            floor = FLOORS[i]
            habit = (self.limits[i] - floor) / 2.0
            habit = habit + HABIT * (peak - habit) if habit > 0.0 else peak
            self.limits[i] = floor + 2.0 * habit


class EdgeBook:
    """All edges, by who begins and whom it reaches; at most ``limit``.

    When it is full the quarter that was idle longest is forgotten.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.edges: dict[str, dict[str, Edge]] = {}
        self._parties: dict[str, Contact] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def meet(self, src: str, dst: str, way: int, now: float) -> Edge:
        """A new edge; call when :attr:`edges` has none."""
        if self._count >= self.limit:
            self._forget_idle()
        back = self.edges.get(dst, {}).get(src)
        pair = back.pair if back is not None else Contact()
        edge = Edge(way, pair, self._party(src, dst, way), now)
        self.edges.setdefault(src, {})[dst] = edge
        self._count += 1
        if way == OUTWARD and edge.party is not None:
            edge.party.users += 1
        return edge

    def forget(self, src: str) -> None:
        """Whatever ``src`` began; what others began stays."""
        self._count -= len(self.edges.pop(src, ()))

    def place_anew(self, way_of: Callable[[str, str], int]) -> None:
        """It turned out where our networks are: edges keep their habits and change their kind."""
        self._parties.clear()
        for src, known in self.edges.items():
            for dst, edge in known.items():
                edge.way = way_of(src, dst)
                edge.party = self._party(src, dst, edge.way)
                if edge.way == OUTWARD and edge.party is not None:
                    edge.party.users += 1

    def _party(self, src: str, dst: str, way: int) -> Contact | None:
        if way == WITHIN:
            return None
        outside = dst if way == OUTWARD else src
        party = self._parties.get(outside)
        if party is None:
            party = self._parties[outside] = Contact()
        return party

    def _forget_idle(self) -> None:
        times = sorted(edge.ts for known in self.edges.values() for edge in known.values())
        oldest = times[len(times) // 4]
        for src in list(self.edges):
            known = self.edges[src]
            for dst in [dst for dst, edge in known.items() if edge.ts <= oldest]:
                del known[dst]
            if not known:
                del self.edges[src]
        self._count = sum(len(known) for known in self.edges.values())
        used = {edge.party for known in self.edges.values() for edge in known.values()}
        self._parties = {name: p for name, p in self._parties.items() if p in used}
