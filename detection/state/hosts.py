"""What is remembered of one host: its use of services, its failures, its current window."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from sys import intern
from typing import TypeVar

from detection.alert import Hop
from detection.features.beaconing import BeaconTiming
from detection.features.catalogue import COUNT
from detection.features.services import is_foothold
from detection.state.counters import DecayedCounts, Distinct

MAX_PEERS = 512  # remembered per host and service
MAX_USES = 128  # services remembered per host
MAX_CLIENTS = 4  # clients remembered per served service: enough to tell a server
MAX_SERVED = 64
MAX_ARRIVALS = 8
MAX_ROWS = 64
MAX_HOPS = 8
MAX_CAUSES = 8  # alerts of a host that are remembered until it is released
OPEN_FOR = 15 * 86_400.0  # seconds: what comes weekly may fail once
MAX_RATES = 64
RATE_HABIT = 0.05  # share by which one window moves the habit of an edge
BURST_FROM = 16  # connections of one edge in a host-window before they may be a burst
BURST_STEP = 1.25  # growth after which a burst is looked at again


class ServiceUse:
    """One host as a client of one service.

    ``peers`` are those it was seen to use it with in calm times (address to time
    of last use), ``tried`` new ones that are not taken for normal (yet), ``alerted`` those that an
    alert on this host was about.
    """

    __slots__ = (
        "alerted",
        "followers",
        "foothold",
        "learned",
        "new",
        "own",
        "peers",
        "revisited",
        "service",
        "since",
        "tried",
        "unserved",
        "window",
    )

    def __init__(self, service: str, foothold: bool, now: float) -> None:
        self.service = service
        self.foothold = foothold
        self.since = now
        self.peers: dict[str, float] = {}
        self.tried: dict[str, float] = {}
        self.alerted: dict[str, float] | None = None
        self.new = DecayedCounts()
        self.unserved = DecayedCounts()
        self.own: list[float] = [0.0] * 8  # this host's habit: mean counts, new then unserved
        self.revisited = 0.0  # last time it used a peer that is not known
        self.followers: dict[str, None] = {}  # those who went on elsewhere when it had come in
        self.learned = 0  # windows that the service's norm was learned from
        self.window = -1.0  # start of the last window it was used in


@dataclass(slots=True, eq=False)
class Arrival:
    """Inbound session on a foothold. ``before`` is the depth of the path up to ``src``;
    ``use`` is how ``src`` uses the service, ``new`` whether the edge was.
    """

    ts: float
    src: str
    service: str
    before: float
    use: ServiceUse
    new: bool
    path: tuple[Hop, ...]
    suspicion: int


@dataclass(slots=True)
class Chain:
    """The strongest in-then-on movement of a host that is still fresh."""

    ts: float
    arrival: Arrival
    path: tuple[Hop, ...]


@dataclass(slots=True)
class Episode:
    """An alert that is still going on."""

    alert_id: str
    kind: str
    rank: int
    last: float


@dataclass(slots=True)
class Onward:
    """Habit of going on from an arrival, as jump hosts have it."""

    sources: dict[str, float] = field(default_factory=dict)
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A connection that is not learned before `detection.models.deferred_learning` says so."""

    ts: float
    dst: str
    service: str


class HostState:
    """One address. Parts that few hosts need are made when they are needed."""

    __slots__ = (
        "address", "arrivals", "attempts", "beacon", "burst", "by_baseline", "causes", "chain",
        "contributions", "denied", "edges",
        "episode", "evaluated", "failed", "flip", "flip_since", "habit", "held", "hops", "inside",
        "last", "lead", "new_peers", "new_services", "next_burst", "novel", "onward", "own", "peak",
        "rates", "raw", "rows", "score", "score_version", "sent", "served", "since", "spoke",
        "strongest", "suspended", "taught", "taught_hour", "touched", "unanswered", "uses",
        "values", "window",
        "window_bytes", "window_records",
    )  # fmt: skip

    def __init__(self, address: str, inside: bool, now: float) -> None:
        self.address = intern(address)
        self.inside = inside
        self.since = now
        self.last = now
        self.window = now
        self.suspended = False
        self.spoke = False  # it sent something itself, so the address is somebody's
        self.served: dict[str, dict[str, None]] = {}
        self.uses: dict[str, ServiceUse] = {}
        self.touched: list[ServiceUse] = []
        self.strongest: ServiceUse | None = None
        self.habit: Onward | None = None
        self.own: list[float] | None = None
        self.episode: Episode | None = None
        self.window_records = 0
        self.window_bytes = 0.0
        self.peak = 0.0
        self.by_baseline = False  # the frozen model finds it less normal than the fast one
        self.lead: float | None = None  # nats by which it does so, at most, in this window
        self.taught_hour = -1
        self.taught = 0  # windows learned from it in that hour
        self.edges: dict[str, int] = {}
        self.rates: dict[str, float] = {}
        self.burst = 0.0
        self.next_burst = BURST_FROM
        self.forget_evidence()

    def forget_evidence(self) -> None:
        """Start with a clean record, keeping what is known of the host's habits."""
        self.denied: Distinct | None = None
        self.unanswered: Distinct | None = None
        self.failed: Distinct | None = None
        self.attempts = DecayedCounts()
        self.new_peers = DecayedCounts()
        self.new_services = DecayedCounts()
        self.novel = DecayedCounts()
        self.onward = DecayedCounts()
        self.beacon: BeaconTiming | None = (
            None  # the most regular of its visits to rare outside peers
        )
        self.sent: DecayedCounts | None = None  # bytes to rare outside peers
        self.flip: DecayedCounts | None = None
        self.flip_since = 0.0
        self.chain: Chain | None = None
        self.arrivals: list[Arrival] | None = None  # oldest first
        self.held: deque[Held] | None = None
        # Alerts that nobody has released: kind, service and id, and when it last went on.
        self.causes: dict[tuple[str, ...], float] | None = None
        self.rows: list[
            int
        ] = []  # what was evidence lately (lists: an empty deque takes 760 bytes)
        self.hops: list[Hop] = []
        self.values: list[float] = [0.0] * COUNT
        self.contributions: list[float] = [0.0] * COUNT
        self.raw = 0.0
        self.score = 0.0
        self.score_version = -1
        self.evaluated = self.last
        for use in self.uses.values():
            use.new = DecayedCounts()
            use.unserved = DecayedCounts()
            use.alerted = None
        self.strongest = None

    def note_row(self, row: int) -> None:
        """An input row was evidence."""
        keep(self.rows, row, MAX_ROWS)

    def open_cause(self, kind: str, service: str, now: float) -> str | None:
        """The id of an earlier alert for this cause that was not released; it goes on then."""
        for cause, last in (self.causes or {}).items():
            if cause[:2] == (kind, service) and now - last <= OPEN_FOR:
                self.note_cause(kind, service, cause[2], now)
                return cause[2]
        return None

    def note_cause(self, kind: str, service: str, alert_id: str, now: float) -> None:
        if self.causes is None:
            self.causes = {}
        self.causes.pop((kind, service, alert_id), None)
        self.causes[kind, service, alert_id] = now
        if len(self.causes) > MAX_CAUSES:
            del self.causes[next(iter(self.causes))]

    def note_hop(self, hop: Hop) -> None:
        keep(self.hops, hop, MAX_HOPS)

    def use(self, service: str, foothold: bool, now: float) -> ServiceUse:
        found = self.uses.get(service)
        if found is None:
            if len(self.uses) >= MAX_USES:
                first = next(iter(self.uses))
                if self.uses[first] is self.strongest:
                    self.strongest = None
                del self.uses[first]
            found = self.uses[service] = ServiceUse(service, foothold, now)
        return found

    def serves(self, service: str, client: str) -> None:
        """``client`` was let in on ``service``."""
        clients = self.served.get(service)
        if clients is None:
            if len(self.served) >= MAX_SERVED:
                del self.served[next(iter(self.served))]
            clients = self.served[service] = {}
        if client not in clients:
            if len(clients) >= MAX_CLIENTS:
                del clients[next(iter(clients))]
            clients[client] = None

    def repeat(self, dst: str) -> bool:
        """Count a connection to ``dst`` in this window; True when a burst has grown."""
        count = self.edges.get(dst, 0) + 1
        self.edges[dst] = count
        if count < self.next_burst:
            return False
        self.next_burst = int(count * BURST_STEP) + 1
        excess = count - 2.0 * self.rates.get(dst, 0.0)
        if excess <= self.burst:
            return False
        self.burst = excess
        return True

    def end_bursts(self, calm: bool) -> None:
        """The window is over; what was busy in calm times is this host's habit."""
        if calm and self.next_burst > BURST_FROM:
            for dst, count in self.edges.items():
                if count >= BURST_FROM:
                    rate = self.rates.pop(dst, 0.0)
                    if len(self.rates) >= MAX_RATES:
                        del self.rates[next(iter(self.rates))]
                    self.rates[dst] = rate + RATE_HABIT * (count - rate)
        self.edges.clear()
        self.burst = 0.0
        self.next_burst = BURST_FROM

    def begin_window(self, now: float) -> None:
        """The window before is over, and judged."""
        self.window = now
        self.touched = []
        self.window_records = 0
        self.window_bytes = 0.0
        self.peak = 0.0
        self.lead = None

    def is_server(self) -> bool:
        """True for one that serves two or more clients something that is not itself a foothold."""
        return any(
            len(clients) >= 2 and not is_foothold(service)
            for service, clients in self.served.items()
        )


T = TypeVar("T")


def keep(latest: list[T], one: T, most: int) -> None:
    """Append, and let the oldest go."""
    latest.append(one)
    if len(latest) > most:
        del latest[0]
