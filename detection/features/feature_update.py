"""What a record says against the host that began the connection; the host is scored at once for it.

Three kinds of it: movement between our hosts, what leaves for outside peers that hardly anybody
uses, and how a connection ended. Every function returns whether there was evidence.
"""

from __future__ import annotations

from detection.alerting.thresholds import Thresholds
from detection.features import hop_paths as paths
from detection.features import movement
from detection.features.beaconing import FEW_HOSTS, FEW_USERS, BeaconTiming, grain_of, may_be_beacon
from detection.features.record_form import RecordForm
from detection.features.services import UNKNOWN_SERVICES, is_foothold, is_request, service_of
from detection.models import deferred_learning
from detection.models.scoring import Scoring
from detection.state.counters import DecayedCounts
from detection.state.edges import Edge
from detection.state.host_registry import HostRegistry
from detection.state.hosts import HostState
from topology.graph import CommunicationGraph, total_bytes
from topology.records import FlowRecord

KNOWN = 0.5  # acquaintance from which on what a host reaches for is a change in what it does
BEACON_MATURITY = 0.5  # of the background, from which on a new rhythm is news
FEW_HOURS = 2  # of contact before, up to which an outside peer is hardly known
WORTH_A_LOOK = 1_000_000  # bytes sent at once to such a peer


class FeatureUpdate:
    """``hop_window`` in seconds, as the settings have it; ``grain`` (seconds) is how coarse the
    clock of the records is."""

    def __init__(
        self,
        host_registry: HostRegistry,
        graph: CommunicationGraph,
        scoring: Scoring,
        thresholds: Thresholds,
        hop_window: float,
    ) -> None:
        self._host_registry = host_registry
        self._graph = graph
        self._scoring = scoring
        self._thresholds = thresholds
        self._hop_window = hop_window
        self.grain = 60.0
        self.form = RecordForm()

    def tick(self, ts: float) -> None:
        """A record is later than all before."""
        if self.grain:
            self.grain = grain_of(ts, self.grain)

    def outcome_of(self, record: FlowRecord) -> movement.Outcome:
        return movement.outcome_of(record, self.form.sampled)

    def inward(self, host: HostState, record: FlowRecord, now: float, known: bool) -> bool:
        """A connection to a host of ours; ``known``: the two ever talked before."""
        if record.phase == "end":
            return self._ended(host, record, now)
        dst_ip = record.dst_ip
        if record.state == "unanswered" and record.proto in ("arp", "nd"):
            owner = self._host_registry.hosts.get(dst_ip)
            known_address = owner is not None and owner.spoke
            evidence = movement.notice_unanswered(host, record, known_address, now)
            if evidence:
                self._scoring.evaluate(host, now)
            return evidence
        if record.state is None and record.phase == "whole":
            self.form.notice(record)
        leftover = not is_request(record) or movement.is_leftover_reply(record, self._graph)
        self._graph.observe(record)
        if leftover:
            return False
        dst = self._host_registry.hosts.get(dst_ip) or self._host_registry.meet(dst_ip, now)
        if dst.suspended:
            return False
        service = service_of(record)
        use = host.uses.get(service) or host.use(service, is_foothold(service), now)
        if use.window != host.window:
            use.window = host.window
            host.touched.append(use)
        outcome = self.outcome_of(record)
        if record.phase == "whole":
            host.window_bytes += total_bytes(record)
        if outcome == "let-in" and movement.is_same_visit(use, dst_ip, now):
            return False
        evidence = movement.notice(
            host, dst, use, record, outcome, now,
            self._scoring.ensemble.maturity, self._hop_window, known,
        )  # fmt: skip
        if evidence:
            if use.foothold and service not in UNKNOWN_SERVICES:
                self._note_coordination(host, dst, service, outcome, now)
            self._scoring.choose_strongest(host, use, now)
            self._scoring.evaluate(host, now)
        if outcome == "let-in":
            if self._thresholds.is_calm(host):
                if use.foothold:
                    paths.note_session(host, dst_ip, now, self._hop_window)
                movement.accept(host, dst, use, service, now)
            elif host.episode is None and not host.suspended:
                deferred_learning.hold(host, dst_ip, service, now)
        return evidence

    def outward(
        self,
        host: HostState,
        edge: Edge | None,
        known: bool,
        record: FlowRecord,
        now: float,
        hour: int,
    ) -> bool:
        """What leaves for an outside peer that hardly anybody uses: by the clock, or in bulk."""
        if edge is None:
            edge = self._host_registry.edges.find(record.src_ip, record.dst_ip)
        if edge is None or edge.party is None or edge.party.users > FEW_USERS:
            return False
        evidence = False
        timing = edge.timing
        if (
            record.phase == "end"
            or self._host_registry.inside < FEW_HOSTS
            or not may_be_beacon(record)
        ):
            pass
        elif timing is not None:
            evidence = timing.visit(now, self.grain)
            if host.beacon is timing and host.episode is not None and host.episode.kind == "beacon":
                host.episode.last = timing.until  # quiet between two visits is no end of it
            if evidence and (host.beacon is None or timing.regular >= host.beacon.now(now)):
                host.beacon = timing
        elif not known and self._scoring.ensemble.maturity >= BEACON_MATURITY:
            # What ran before the background was known is part of it.
            edge.timing = BeaconTiming(record.dst_ip, record.service, now)
        size = record.bytes_out if record.phase != "start" else None
        if size and edge.pair.known(hour) <= FEW_HOURS:
            if host.sent is None:
                host.sent = DecayedCounts()
            host.sent.add(now, float(size))
            evidence |= size >= WORTH_A_LOOK
        if evidence:
            self._scoring.evaluate(host, now)
        return evidence

    def _note_coordination(
        self, host: HostState, dst: HostState, service: str, outcome: movement.Outcome, now: float
    ) -> None:
        coordination = self._scoring.coordination
        if not coordination.serves(service, dst.address):
            if paths.acquaintance(host, now) >= KNOWN:
                coordination.reach(service, host.address, now)
            if outcome == "let-in":
                coordination.let_in(service, dst.address)

    def _ended(self, host: HostState, record: FlowRecord, now: float) -> bool:
        edge = self._graph.observe(record)
        host.window_bytes += total_bytes(record)
        if record.state not in ("rejected", "unanswered") or not is_request(record):
            return False
        dst = self._host_registry.hosts.get(record.dst_ip)
        if dst is None or dst.suspended:
            return False
        service = service_of(record)
        use = host.uses.get(service)
        if edge.established == 0:
            # Its start looked like a connection; now it is known that none came to be.
            dst.served.get(service, {}).pop(host.address, None)
            if use is not None:
                use.peers.pop(record.dst_ip, None)
        evidence = movement.notice_failure(host, use, dst, record.service, now)
        if evidence:
            if use is not None and use.foothold and edge.established == 0:
                paths.retract(host, dst, now)
            self._scoring.evaluate(host, now)
        return evidence
