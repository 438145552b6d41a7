"""What is remembered of one edge (who began a connection, to whom): how long it is known, how busy.

A single connection says little; that two hosts talk every day says a lot. Of every edge is kept in
how many hours its two ends were in contact before, and how often it was used in the last minute,
hour and day against its own habit at these horizons. ``learners.edges`` turns that into nats.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from sys import intern

from detection.features.beaconing import BeaconTiming

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
TIMES = (MINUTE, HOUR, DAY)  # seconds over which uses of an edge are counted, fading
FLOORS = (15.0, 40.0, 100.0)  # uses at these horizons that no edge is remarkable for
HABIT = 0.3  # share by which one spell of use moves an edge's habit
SPELL = 3.0  # horizons after which a spell that does not end is taken for habit as well
KEPT = 15 * DAY  # seconds without use: two weeks and a day, so that what is weekly may fail once
LEVELS = len(TIMES)

# Where the two ends of an edge are, seen from our networks.
WITHIN, OUTWARD, INWARD, BEYOND = range(4)
WAYS = 4


class Contact:
    """The hours in which two hosts were in contact."""

    __slots__ = ("before", "hour")

    def __init__(self) -> None:
        self.before = 0  # hours with contact, not counting the latest
        self.hour = -1

    def note(self, hour: int) -> None:
        if hour != self.hour:
            if self.hour >= 0:
                self.before += 1
            self.hour = hour

    def known(self, hour: int) -> int:
        """Hours of contact before this one."""
        return self.before + (0 <= self.hour != hour)


class Party(Contact):
    """An outside host: the hours in which it was in contact with any of ours."""

    __slots__ = ("edges", "users")

    def __init__(self) -> None:
        super().__init__()
        self.users = 0  # hosts of ours that connected to it
        self.edges = 0  # edges that it is an end of


class Edge:
    """One direction of a pair, used once when it is made.

    At each horizon of :data:`TIMES` stand the uses counted, the limit from which on it is busier
    than it should be (a floor, plus twice its habit), the peak of the spell of use that goes on,
    and when that began. There are many edges, so these are plain attributes and no lists.
    """

    __slots__ = (
        "day", "day_limit", "day_peak", "day_since",
        "hour", "hour_limit", "hour_peak", "hour_since",
        "minute", "minute_limit", "minute_peak", "minute_since",
        "pair", "party", "said", "second", "timing", "ts", "way",
    )  # fmt: skip

    def __init__(self, way: int, pair: Contact, party: Party | None, now: float) -> None:
        self.way = way
        self.pair = pair
        self.party = party  # the outside end; None within our networks
        self.ts = now
        self.minute = self.hour = self.day = 1.0
        self.minute_limit, self.hour_limit, self.day_limit = FLOORS
        self.minute_peak = self.hour_peak = self.day_peak = 1.0
        self.minute_since = self.hour_since = self.day_since = now
        self.second = now  # when learning from it was last counted anew, and how often since
        self.said = 0
        self.timing: BeaconTiming | None = None

    @property
    def counts(self) -> tuple[float, float, float]:
        return self.minute, self.hour, self.day

    @property
    def limits(self) -> tuple[float, float, float]:
        return self.minute_limit, self.hour_limit, self.day_limit

    @property
    def hour_habit(self) -> float:
        """Uses within an hour that are usual."""
        return (self.hour_limit - FLOORS[1]) / 2.0

    def use(self, now: float, calm: bool) -> None:
        """Count one more connection; what it did while its host was not calm becomes no habit."""
        gone = now - self.ts
        if gone > 0.0:
            self.ts = now
            self.minute *= exp(-gone / MINUTE)
            self.hour *= exp(-gone / HOUR)
            self.day *= exp(-gone / DAY)
            if gone > MINUTE or now - self.minute_since > SPELL * MINUTE:
                self.minute_limit = _limit(self.minute_limit, FLOORS[0], self.minute_peak, calm)
                self.minute_peak, self.minute_since = 0.0, now
            if gone > HOUR or now - self.hour_since > SPELL * HOUR:
                self.hour_limit = _limit(self.hour_limit, FLOORS[1], self.hour_peak, calm)
                self.hour_peak, self.hour_since = 0.0, now
            if gone > DAY or now - self.day_since > SPELL * DAY:
                self.day_limit = _limit(self.day_limit, FLOORS[2], self.day_peak, calm)
                self.day_peak, self.day_since = 0.0, now
        n = self.minute = self.minute + 1.0
        if n > self.minute_peak:
            self.minute_peak = n
        n = self.hour = self.hour + 1.0
        if n > self.hour_peak:
            self.hour_peak = n
        n = self.day = self.day + 1.0
        if n > self.day_peak:
            self.day_peak = n


def _limit(limit: float, floor: float, peak: float, calm: bool) -> float:
    """The limit after a spell of use with this peak."""
    if not calm or peak <= 0.0:
        return limit
    habit = (limit - floor) / 2.0
    return floor + 2.0 * (habit + HABIT * (peak - habit) if habit > 0.0 else peak)


class EdgeStore:
    """All edges, by who begins and whom it reaches; at most ``limit``.

    What was not used for :data:`KEPT` is forgotten, and when the book is full the quarter that was
    idle longest; ``forgotten`` counts both.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = 0
        self.edges: dict[str, dict[str, Edge]] = {}
        self._parties: dict[str, Party] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, src: str, dst: str) -> Edge | None:
        known = self.edges.get(src)
        return None if known is None else known.get(dst)

    def meet(self, src: str, dst: str, way: int, now: float) -> Edge:
        """A new edge, used once; call when :attr:`edges` has none."""
        if self._count >= self.limit:
            self._forget_idle()
        src, dst = intern(src), intern(dst)
        back = self.find(dst, src)
        edge = Edge(way, back.pair if back is not None else Contact(), None, now)
        self.edges.setdefault(src, {})[dst] = edge
        self._count += 1
        self._join_party(src, dst, edge)
        return edge

    def forget_before(self, ts: float) -> None:
        """What was not used since ``ts``."""
        for src in list(self.edges):
            for dst in [dst for dst, edge in self.edges[src].items() if edge.ts <= ts]:
                self._drop(src, dst)

    def classify_again(self, way_of: Callable[[str, str], int]) -> None:
        """It turned out where our networks are: edges keep their habits and change their kind."""
        self._parties.clear()
        for src, known in self.edges.items():
            for dst, edge in known.items():
                edge.way = way_of(src, dst)
                self._join_party(src, dst, edge)

    @property
    def parties(self) -> dict[str, Party]:
        return self._parties

    def rows(self) -> list[tuple[str, str, Edge]]:
        """Who begins, whom it reaches, and the edge."""
        return [(src, dst, edge) for src, to in self.edges.items() for dst, edge in to.items()]

    def restore(self, rows: list[tuple[str, str, Edge]], parties: dict[str, Party]) -> None:
        """Take the place of an empty store. Raises ValueError for edges that are there twice or
        too many, and for outside hosts that are no end of any."""
        self._parties = parties
        for src, dst, edge in rows:
            self.edges.setdefault(src, {})[dst] = edge
            self._join_party(src, dst, edge)
        self._count = sum(map(len, self.edges.values()))
        if self._count != len(rows) or self._count > self.limit:
            raise ValueError("there are too many edges, or one is there twice")
        if not all(party.edges for party in parties.values()):
            raise ValueError("an outside host has no edge")

    def _join_party(self, src: str, dst: str, edge: Edge) -> None:
        edge.party = None
        if edge.way == WITHIN:
            return
        outside = dst if edge.way == OUTWARD else src
        party = self._parties.get(outside)
        if party is None:
            party = self._parties[outside] = Party()
        party.edges += 1
        party.users += edge.way == OUTWARD
        edge.party = party

    def _drop(self, src: str, dst: str) -> None:
        known = self.edges[src]
        edge = known.pop(dst)
        if not known:
            del self.edges[src]
        self._count -= 1
        self.forgotten += 1
        party = edge.party
        if party is not None:
            party.edges -= 1
            party.users -= edge.way == OUTWARD
            if not party.edges:
                del self._parties[dst if edge.way == OUTWARD else src]

    def _forget_idle(self) -> None:
        times = sorted(edge.ts for known in self.edges.values() for edge in known.values())
        self.forget_before(times[len(times) // 4])
