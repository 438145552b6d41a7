"""Hosts and what is remembered of each, as tables.

A use of a service is its host's, of the window that goes on, and of the arrivals that it led to
elsewhere; a beacon's timing is an edge's and its host's. These are tables of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from detection.alert import Hop
from detection.features.beaconing import BeaconTiming
from detection.features.catalogue import COUNT
from detection.models.deferred_learning import MOST as MOST_HELD
from detection.snapshots.columns import (
    AMOUNT,
    EVENTS,
    FLAG,
    HOUR,
    MOMENT,
    PAST,
    SIZE,
    TEXT,
    ColumnReader,
    ColumnWriter,
    Lists,
    Maybe,
    Numbers,
    Objects,
    References,
    dictionaries,
    ordered_keys,
    sized_tuples,
)
from detection.state.counters import DecayedCounts, Distinct
from detection.state.hosts import (
    BURST_FROM,
    MAX_ARRIVALS,
    MAX_CAUSES,
    MAX_CLIENTS,
    MAX_HOPS,
    MAX_PEERS,
    MAX_RATES,
    MAX_ROWS,
    MAX_SERVED,
    MAX_USES,
    Arrival,
    Chain,
    Episode,
    Held,
    HostState,
    Onward,
    ServiceUse,
)
from detection.state.stored_values import MOST, MOST_EVENTS

SEEN = 512  # things that a `Distinct` remembers
HABITS = 8


def _counts(most: Numbers) -> Objects:
    horizons = dict.fromkeys(("minute", "ten", "hour", "day"), most)
    return Objects(DecayedCounts, {"ts": MOMENT, **horizons})


COUNTS = _counts(AMOUNT)
BALANCES = _counts(Numbers(low=-MOST))  # what turned out to be nothing is taken off again
BYTES = _counts(SIZE)
DISTINCT = Objects(
    Distinct,
    {"seen": dictionaries(sized_tuples(TEXT, 2, 2), MOMENT, SEEN), "counts": COUNTS},
    {"limit": SEEN},
)
LATELY = dictionaries(TEXT, MOMENT, MAX_PEERS)
VALUES = Numbers(width=COUNT)
TIMING = Objects(
    BeaconTiming,
    {
        "peer": TEXT, "service": TEXT, "last": MOMENT, "began": MOMENT, "mean": AMOUNT,
        "regular": AMOUNT,
    },
)  # fmt: skip
USE = Objects(
    ServiceUse,
    {
        "service": TEXT, "foothold": FLAG, "since": MOMENT, "peers": LATELY, "tried": LATELY,
        "alerted": Maybe(LATELY), "new": COUNTS, "unserved": COUNTS,
        "own": Numbers(width=HABITS), "revisited": MOMENT,
        "followers": ordered_keys(TEXT, MAX_CLIENTS), "learned": EVENTS, "window": MOMENT,
    },
)  # fmt: skip
HOP = Objects(Hop, {"ts": PAST, "src": TEXT, "dst": TEXT, "service": TEXT})
PATH = sized_tuples(HOP, 1, MAX_HOPS)
ARRIVAL = Objects(
    Arrival,
    {
        "ts": PAST, "src": TEXT, "service": TEXT, "before": AMOUNT, "use": References("uses"),
        "new": FLAG, "path": PATH, "suspicion": Numbers("<i8", 0, 2),
    },
)  # fmt: skip
CHAIN = Objects(Chain, {"ts": PAST, "arrival": ARRIVAL, "path": PATH})
EPISODE = Objects(
    Episode, {"alert_id": TEXT, "kind": TEXT, "rank": Numbers("<i8", 0, 2), "last": MOMENT}
)
ONWARD = Objects(Onward, {"sources": dictionaries(TEXT, MOMENT, MAX_ARRIVALS), "sessions": EVENTS})
HELD = Objects(Held, {"ts": MOMENT, "dst": TEXT, "service": TEXT})


def _by_service(uses: list[ServiceUse]) -> dict[str, ServiceUse]:
    made = {use.service: use for use in uses}
    if len(made) != len(uses):
        raise ValueError("a host has a service twice")
    return made


def _waiting(held: list[Held]) -> deque[Held]:
    return deque(held, MOST_HELD)


HOST = Objects(
    HostState,
    {
        "address": TEXT, "inside": FLAG, "since": MOMENT, "last": MOMENT, "window": MOMENT,
        "suspended": FLAG, "spoke": FLAG,
        "served": dictionaries(TEXT, ordered_keys(TEXT, MAX_CLIENTS), MAX_SERVED),
        "uses": Lists(References("uses"), MAX_USES, 0, _by_service, dict.values),
        "touched": Lists(References("uses")), "strongest": References("uses", may_be_none=True),
        "habit": Maybe(ONWARD), "own": Maybe(VALUES), "episode": Maybe(EPISODE),
        "window_records": EVENTS, "window_bytes": SIZE, "peak": AMOUNT, "by_baseline": FLAG,
        "lead": Maybe(AMOUNT), "taught_hour": HOUR, "taught": EVENTS,
        "edges": dictionaries(TEXT, Numbers("<i8", 0, MOST)),
        "rates": dictionaries(TEXT, AMOUNT, MAX_RATES),
        "burst": AMOUNT, "next_burst": Numbers("<i8", BURST_FROM, MOST_EVENTS),
        "denied": Maybe(DISTINCT), "unanswered": Maybe(DISTINCT), "failed": Maybe(DISTINCT),
        "attempts": COUNTS, "new_peers": COUNTS, "new_services": COUNTS, "novel": COUNTS,
        "onward": BALANCES, "beacon": References("timings", may_be_none=True),
        "sent": Maybe(BYTES), "flip": Maybe(BALANCES), "flip_since": MOMENT,
        "causes": Maybe(dictionaries(sized_tuples(TEXT, 3, 3), MOMENT, MAX_CAUSES)),
        "chain": Maybe(CHAIN), "arrivals": Maybe(Lists(ARRIVAL, MAX_ARRIVALS)),
        "held": Maybe(Lists(HELD, MOST_HELD, 0, _waiting)),
        "rows": Lists(EVENTS, MAX_ROWS), "hops": Lists(HOP, MAX_HOPS),
        "values": VALUES, "contributions": VALUES, "raw": AMOUNT, "score": Numbers(high=1.0),
        "score_version": HOUR, "evaluated": MOMENT,
    },
)  # fmt: skip
HOSTS = Lists(HOST)
USES = Lists(USE)


def write_hosts(hosts: dict[str, HostState], out: ColumnWriter) -> None:
    """Call when the table of timings is numbered."""
    USES.write("uses", [out.refer("uses", _uses(hosts.values()))], out)
    HOSTS.write("hosts", [list(hosts.values())], out)


def read_hosts(source: ColumnReader, most: int) -> dict[str, HostState]:
    """Call when the table of timings is read. Raises ValueError for what is no such table."""
    (source.objects["uses"],) = USES.read("uses", 1, source)
    (found,) = HOSTS.read("hosts", 1, source)
    made = {host.address: host for host in found}
    if len(made) != len(found) or len(made) > most:
        raise ValueError("there are too many hosts, or one is there twice")
    for host in found:
        if host.chain is not None and host.chain.arrival.ts > host.chain.ts:
            raise ValueError("a host went on before anybody arrived")
    return made


def _uses(hosts: Iterable[HostState]) -> Iterator[ServiceUse]:
    for host in hosts:
        yield from host.uses.values()
        yield from host.touched
        if host.strongest is not None:
            yield host.strongest
        for arrival in host.arrivals or ():
            yield arrival.use
        if host.chain is not None:
            yield host.chain.arrival.use
