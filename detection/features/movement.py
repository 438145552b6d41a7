"""What one record says about movement: counts on the host that started it.

Nothing here scores. ``notice`` works out what is new, refused or unanswered and
counts it; ``accept`` takes a connection as normal, and is called only for what
may be learned from.
"""

from __future__ import annotations

from sys import intern
from typing import Literal

from detection.alert import Hop
from detection.features.hop_paths import hop
from detection.state.counters import DecayedCounts, Distinct
from detection.state.hosts import MAX_PEERS, HostState, ServiceUse
from topology.graph import CommunicationGraph
from topology.initiator import may_be_reply
from topology.records import FlowRecord

Outcome = Literal["let-in", "denied", "would-deny", "failed"]

WOULD_DENY_WEIGHT = 0.5  # a policy under trial may itself be wrong
GONE_WEIGHT = 0.5  # where nobody was ever seen and no shell is tried: a stale list, or a search
RETRY = 3600.0  # a peer tried again after this long is tried anew
OLD_NEWS = 15 * 86_400.0  # seconds for which what was alerted on is not news: two weeks, a day
FLIP_FOR = 3600.0
SAME_VISIT = 10.0  # seconds
NEVER = float("-inf")


def outcome_of(record: FlowRecord, sampled: bool = False) -> Outcome:
    """How the connection went as far as the record tells.

    Recordings without a state: a TCP connection of three packets or fewer that carried
    nothing beyond headers never came to be; unless packets are ``sampled``, or only one direction
    is known: then few packets say nothing.
    """
    if record.state == "denied" or record.verdict == "deny":
        return "denied"
    if record.state == "rejected" or record.state == "unanswered":
        return "failed"
    if record.verdict == "would-deny":
        return "would-deny"
    if record.state is None and record.phase == "whole" and record.proto == "tcp" and not sampled:
        packets = record.packets
        if packets is None and record.packets_out is not None and record.packets_in is not None:
            packets = record.packets_out + record.packets_in
        if packets is not None and 0 < packets <= 3:
            size = record.bytes
            if size is None and record.bytes_out is not None:
                size = record.bytes_out + (record.bytes_in or 0)
            if size is None or size <= packets * 66:
                return "failed"
    return "let-in"


def is_leftover_reply(record: FlowRecord, graph: CommunicationGraph) -> bool:
    """A late packet of a connection the other end began: a server's answer is no probe."""
    port = record.src_port
    if not may_be_reply(port, record.dst_port):
        return False
    if record.proto != "tcp" and record.proto != "udp":
        return False
    back = graph.edge(record.dst_ip, record.src_ip, f"{record.proto}/{port}")
    return back is not None and back.count > back.denied


def notice_unanswered(host: HostState, record: FlowRecord, known: bool, now: float) -> bool:
    """An address request that nobody answered; ``known`` addresses are just down."""
    if known:
        return False
    if host.unanswered is None:
        host.unanswered = Distinct()
    counted = host.unanswered.add((record.dst_ip, ""), now)
    if counted:
        host.attempts.add(now)
        host.note_hop(Hop(record.ts, record.src_ip, record.dst_ip, record.proto))
    return counted


def notice(
    host: HostState,
    dst: HostState,
    use: ServiceUse,
    record: FlowRecord,
    outcome: Outcome,
    now: float,
    maturity: float,
    hop_window: float,
    peer_known: bool,
) -> bool:
    """Count what ``record`` (a start or a whole connection to an internal peer) shows.

    ``peer_known`` tells whether the two ever talked before. Returns True when it adds evidence.
    """
    address = dst.address
    last = use.peers.get(address)
    new = old_news = False
    revisited = use.revisited
    if last is None:
        tried = use.tried.pop(address, None)
        use.tried[address] = now
        if len(use.tried) > MAX_PEERS:
            del use.tried[next(iter(use.tried))]
        new = tried is None or now - tried > RETRY
        old_news = _is_old_news(use, address, now)
        if not old_news:
            use.revisited = now
    elif last < host.window:
        host.attempts.add(now)
    if new:
        if not old_news:
            _count_new(host, dst, use, now, maturity, peer_known, revisited)
        if host.episode is not None and host.inside:
            hold_against(use, address, now)
        host.note_hop(Hop(record.ts, host.address, address, intern(record.service)))
    evidence = new
    if outcome == "denied" or outcome == "would-deny":
        # What was allowed and normal yesterday is a policy change today, not a probe.
        if last is None:
            if host.denied is None:
                host.denied = Distinct()
            weight = 1.0 if outcome == "denied" else WOULD_DENY_WEIGHT
            weight *= weight_of(dst, use.foothold)
            evidence |= host.denied.add((address, record.service), now, weight)
    elif outcome == "failed":
        evidence |= notice_failure(host, use, dst, record.service, now)
    elif use.foothold:
        if new and not old_news and not use.peers:
            _flip(host, now)
        if host.flip is not None and new and not old_news:
            host.flip.add(now)
        hop(host, dst, use, now, hop_window, last is None, new, record.ts)
    return evidence


def is_same_visit(use: ServiceUse, address: str, now: float) -> bool:
    """A known peer used again at once: that says nothing that the visit did not say before."""
    return now - use.peers.get(address, NEVER) < SAME_VISIT


def notice_failure(
    host: HostState, use: ServiceUse | None, dst: HostState, service: str, now: float
) -> bool:
    """A refused or unanswered connection to a peer that is not known to work."""
    if use is not None and dst.address in use.peers:
        return False
    if host.failed is None:
        host.failed = Distinct()
    weight = weight_of(dst, use is not None and use.foothold)
    return host.failed.add((dst.address, service), now, weight)


def weight_of(dst: HostState, foothold: bool) -> float:
    """How much it says that a connection to ``dst`` came to nothing."""
    return 1.0 if foothold or dst.spoke or any(dst.served.values()) else GONE_WEIGHT


def hold_against(use: ServiceUse, address: str, now: float) -> None:
    """The peer is part of what its host is alerted on: until the host is released it becomes no
    habit, and going there again is the same news and no more, or a nightly run that
    nobody has looked at would be an alert each night.
    """
    if use.alerted is None:
        use.alerted = {}
    use.alerted.pop(address, None)
    use.alerted[address] = now
    if len(use.alerted) > MAX_PEERS:
        del use.alerted[next(iter(use.alerted))]


def alerted_on(host: HostState, now: float) -> None:
    """There is an alert on ``host``: it is about what it has tried of late. A host of others that
    comes back has no nightly run here.
    """
    if not host.inside:
        return
    for use in host.uses.values():
        for address, tried in use.tried.items():
            if now - tried <= RETRY:
                hold_against(use, address, now)


def accept(host: HostState, dst: HostState, use: ServiceUse, service: str, now: float) -> None:
    """Take the connection as normal: its peer is known from now on, its server a server."""
    if use.alerted is not None and dst.address in use.alerted:
        return
    peers = use.peers
    if peers.pop(dst.address, None) is None and len(peers) >= MAX_PEERS:
        del peers[next(iter(peers))]
    peers[dst.address] = now
    use.tried.pop(dst.address, None)
    dst.serves(service, host.address)


def _is_old_news(use: ServiceUse, address: str, now: float) -> bool:
    if use.alerted is None or address not in use.alerted:
        return False
    old = now - use.alerted[address] <= OLD_NEWS
    hold_against(use, address, now)
    return old


def _count_new(
    host: HostState,
    dst: HostState,
    use: ServiceUse,
    now: float,
    maturity: float,
    peer_known: bool,
    revisited: float,
) -> None:
    use.new.lapse(now, revisited)
    use.unserved.lapse(now, revisited)
    use.new.add(now)
    host.attempts.add(now)
    host.new_services.add(now)
    points = 0.0
    if use.service not in dst.served:
        # Not known to serve means little while little is known.
        use.unserved.add(now, maturity)
        points += 1.0
    if not peer_known:
        host.new_peers.add(now)
        points += 1.0
    if not use.peers:
        points += 1.0
    host.novel.add(now, points * maturity)


def _flip(host: HostState, now: float) -> None:
    """First use of a foothold: is this a host that so far only served others?"""
    if host.flip is not None and now - host.flip_since < FLIP_FOR:
        return
    if host.is_server() and not any(u.foothold and u.peers for u in host.uses.values()):
        host.flip = DecayedCounts()
        host.flip_since = now
    else:
        host.flip = None
