"""Hop paths: an inbound session on a foothold, continued from that host.

Every connection on a foothold service (`topology.services.FOOTHOLDS`) that is let through
leaves an arrival at its responder. When that host then opens a foothold connection itself, over an
edge that is new for it, the two are one movement: A → B, B → C is a path A → B → C.
``depth`` counts only hops over new edges, so the routine of an administrator is not
depth; the path shown names them all. Connections need not use the same service.
"""

from __future__ import annotations

from math import exp

from detection.alert import Hop
from detection.state.hosts import (
    MAX_ARRIVALS,
    MAX_HOPS,
    Arrival,
    Chain,
    HostState,
    Onward,
    ServiceUse,
    keep,
)

OUT_OF_ORDER = 1.0  # seconds by which records of one moment may come the wrong way round
SESSION = 300.0  # an arrival from the same source counts as a new session after this long
FEW_PEERS = 3.0  # a host with more peers than this on a foothold makes rounds
ENOUGH_FOLLOWERS = 2  # hosts that go on after one and the same visitor, to make it a suspect
STABLE_CLIENT = 0.3  # weight of going on for a host that was a client before the arrival
LEAST_WEIGHT = 0.1
KNOWN_AFTER = 300.0  # seconds of watching a host after which its habits are half known


def best_arrival(
    host: HostState, dst: str, now: float, within: float, began: float | None = None
) -> Arrival | None:
    """The arrival that a connection to ``dst`` most likely goes on from.

    ``began`` is when that connection did, where its record came late: what arrived after that
    it cannot go on from. Coming back where one came from is no hop. A suspect origin is the
    best guess, then the longest chain, then the latest.
    """
    if host.arrivals is None:
        return None
    best: Arrival | None = None
    best_rank = (0, 0.0, 0.0)
    for arrival in host.arrivals:
        if now - arrival.ts > within or arrival.src == dst:
            continue
        if any(hop.src == dst for hop in arrival.path):
            continue
        if began is not None and arrival.path[-1].ts > began + OUT_OF_ORDER:
            continue
        rank = (arrival.suspicion, depth_of(arrival, now, within), arrival.ts)
        if best is None or rank >= best_rank:
            best, best_rank = arrival, rank
    return best


def unusual_path(arrival: Arrival) -> tuple[Hop, ...]:
    """The hops up to an arrival; none for the usual visit of one who is no suspect."""
    return arrival.path if arrival.new or arrival.before or arrival.suspicion else ()


def depth_of(arrival: Arrival, now: float, within: float) -> float:
    """Hops that count up to and with this arrival: less for old ones, and for the visit of a
    host that visits everybody, which says little about what happens next.
    """
    last = 0.0
    if arrival.new:
        peers = len(arrival.use.peers) + len(arrival.use.tried)
        rounds = 0.0 if arrival.suspicion else max(0.0, peers - FEW_PEERS) / FEW_PEERS
        last = 1.0 / (1.0 + rounds)
    return (arrival.before + last) * exp(-(now - arrival.ts) / within)


def depth(chain: Chain, within: float) -> float:
    """Hops of a chain as they are judged now: who turns out to make rounds counts for less."""
    return 1.0 + depth_of(chain.arrival, chain.ts, within)


def hop(
    host: HostState,
    dst: HostState,
    use: ServiceUse,
    now: float,
    within: float,
    new_edge: bool,
    first_try: bool,
    began: float,
) -> None:
    """``host`` was let through to ``dst`` on a foothold: note the movement at both ends.

    ``new_edge``: it is not known to do so; ``first_try``: nor did it try in the last hour;
    ``began``: its own time, which a log in the order of ends has earlier than ``now``.
    """
    step = Hop(began, host.address, dst.address, use.service)
    arrival = best_arrival(host, dst.address, now, within, began)
    suspicion = 2 if host.episode is not None else (1 if host.flip is not None else 0)
    path: tuple[Hop, ...] = (step,)
    before = 0.0
    if arrival is not None:
        path = (*unusual_path(arrival), step)[-MAX_HOPS:]
        before = depth_of(arrival, now, within)
        suspicion = max(suspicion, arrival.suspicion)
        if first_try:
            host.onward.add(now)
            if len(arrival.use.followers) < ENOUGH_FOLLOWERS:
                arrival.use.followers[host.address] = None
        if new_edge:
            old = host.chain
            if (
                old is None
                or now - old.ts > within
                or (arrival.suspicion, before) >= (old.arrival.suspicion, depth(old, within) - 1.0)
            ):
                host.chain = Chain(now, arrival, path)
    if dst.arrivals is None:
        dst.arrivals = []
    for old_arrival in dst.arrivals:
        # One arrival per source and service is enough; a deeper one that is fresh stays.
        if old_arrival.src == host.address and old_arrival.service == use.service:
            # As of when it came: coming again and again does not keep it new.
            fresh = now - old_arrival.path[-1].ts <= within
            if fresh and (old_arrival.new, old_arrival.before) > (new_edge, before):
                new_edge, before, path = old_arrival.new, old_arrival.before, old_arrival.path
            suspicion = max(suspicion, old_arrival.suspicion)
            dst.arrivals.remove(old_arrival)
            break
    arrived = Arrival(now, host.address, use.service, before, use, new_edge, path, suspicion)
    keep(dst.arrivals, arrived, MAX_ARRIVALS)


def suspicion(chain: Chain) -> int:
    """How suspect the chain's origin is, as ``suspect_origin`` counts it."""
    followed = len(chain.arrival.use.followers) >= ENOUGH_FOLLOWERS
    return max(chain.arrival.suspicion, int(followed))


def retract(host: HostState, dst: HostState, now: float) -> None:
    """What was let through to ``dst`` came to nothing: it was no hop."""
    if host.flip is not None:
        host.flip.add(now, -1.0)
    if host.chain is not None:
        host.onward.add(now, -1.0)
        if host.chain.path[-1].dst == dst.address:
            host.chain = None
    if dst.arrivals is not None:
        dst.arrivals = [arrival for arrival in dst.arrivals if arrival.src != host.address]


def acquaintance(host: HostState, now: float) -> float:
    """How well a host's habits are known, in [0, 1): that it was not seen to do something in
    its first half minute says nothing about what it does every few minutes.
    """
    watched = max(0.0, now - host.since)
    return watched / (watched + KNOWN_AFTER)


def weight(host: HostState, within: float, now: float) -> float:
    """How much going on from an arrival means for this host, in (0, 1].

    Less for one that does so as a habit, for several people or again and again, and
    for one that was a client of footholds already before anybody arrived.
    """
    sessions = host.habit.sessions if host.habit is not None else 0
    value = 1.0 / (1.0 + sessions)
    chain = host.chain
    if chain is not None and host.flip is None:
        arrived = chain.arrival.ts
        if any(use.foothold and use.peers and use.since < arrived for use in host.uses.values()):
            value *= STABLE_CLIENT
    return max(LEAST_WEIGHT, value)


def note_session(host: HostState, dst: str, now: float, within: float) -> None:
    """A calm host went on from an arrival: that much more is it a habit."""
    arrival = best_arrival(host, dst, now, within)
    if arrival is None or arrival.suspicion:
        return
    if host.habit is None:
        host.habit = Onward()
    sources = host.habit.sources
    last = sources.pop(arrival.src, None)
    if last is None or now - last >= SESSION:
        sources[arrival.src] = now
        host.habit.sessions += 1
    else:
        sources[arrival.src] = last
    if len(sources) > MAX_ARRIVALS:
        del sources[next(iter(sources))]
