"""The detector: one record in, one score out, and then it learns.

Deterministic: the same records, settings and seed give the same scores to the
bit, live and offline. Time comes from the records only. One pass; memory is bounded by
``DetectorSettings.max_hosts`` and ``max_edges``.

A record goes one way: which hosts there are (``host_registry``), what it changes in the features
of its host (``feature_update``), how unusual that is (``scoring``), whether it is an alert
(``episodes``, ``thresholds``), and what is learned when the host-window ends (``learning``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from detection.alert import Alert, Scored
from detection.alerting import episodes
from detection.alerting.outsiders import Outsiders
from detection.alerting.sentences import knocking_line
from detection.alerting.thresholds import Thresholds
from detection.features import hop_paths as paths
from detection.features import movement
from detection.features.catalogue import index_of
from detection.features.feature_update import FeatureUpdate
from detection.features.services import is_request
from detection.health import DetectorHealth
from detection.models.baseline import Baseline
from detection.models.calibration import Calibration
from detection.models.drift import DriftWatch
from detection.models.learners.edges import HALF_KNOWN_SECONDS, EdgeLearner, bins_of
from detection.models.learning import Learning
from detection.models.scoring import Scoring
from detection.settings import MODEL, DetectorSettings
from detection.snapshots.detector_snapshot import FORMAT, DetectorParts, Progress, dump, load
from detection.state.address_scope import AddressScope
from detection.state.edges import HOUR, INWARD, WITHIN, Edge
from detection.state.host_registry import HostRegistry
from detection.state.hosts import Episode, HostState
from topology.graph import CommunicationGraph
from topology.records import FlowRecord

STALE = 10.0  # seconds after which a host's fading evidence is worked out again
QUIET = 0.05  # raw scores below this are not worth refreshing
RARE = 7.0  # nats (about one in a thousand) from which a single connection is not learned from
BURST = index_of("burst")
TO_US = (WITHIN, INWARD)


class Detector:
    """Learns what is normal while it watches, and alerts on hosts that move sideways."""

    def __init__(self, settings: DetectorSettings | None = None, seed: int = 0) -> None:
        self.settings = settings = settings or DetectorSettings()
        self.seed = seed
        self.graph = CommunicationGraph(max_edges=settings.max_edges)
        self.host_registry = HostRegistry(settings.internal, settings.max_hosts, settings.max_edges)
        self.scoring = Scoring(seed, settings.hop_window)
        self.thresholds = Thresholds(settings.alert_budget)
        self.learning = Learning(
            self.scoring, self.thresholds, self.host_registry, settings.episode_quiet, seed
        )
        self.edge_learner = EdgeLearner()
        self.outsiders = Outsiders()
        self._feature_update = FeatureUpdate(
            self.host_registry, self.graph, self.scoring, self.thresholds, settings.hop_window
        )
        self.now = 0.0
        self._first: float | None = None
        self._hour = 0
        self._acquainted = 0.0  # in [0, 1): how far it is known who talks to whom
        self._row = 0
        self._window_length = settings.window
        self._alerts = 0

    def step(self, record: FlowRecord) -> Scored:
        """Score the host that started this connection, then learn from it."""
        row = self._row
        self._row = row + 1
        if record.ts > self.now:
            self._advance(record.ts)
        now = self.now
        host_registry = self.host_registry
        src_ip, dst_ip = record.src_ip, record.dst_ip
        host = host_registry.hosts.get(src_ip) or host_registry.meet(src_ip, now)
        host.last = now
        if now - host.window >= self._window_length:
            self.learning.close_window(host, now)
        edge: Edge | None = None
        known = False
        begins = record.phase != "end"
        if begins and is_request(record):
            edge = host_registry.edges.find(src_ip, dst_ip)
            known = edge is not None
            if edge is None:
                edge = host_registry.meet_edge(src_ip, dst_ip, now)
            else:
                edge.use(now, host.episode is None and not host.suspended)
            inward = edge is not None and edge.way in TO_US
        else:
            inward = (
                src_ip != dst_ip and host_registry.territory.scope_of(dst_ip) is AddressScope.INSIDE
            )
        if inward:
            evidence = self._feature_update.inward(host, record, now, known)
        else:
            self.graph.observe(record)
            evidence = host.inside and self._feature_update.outward(
                host, edge, known, record, now, self._hour
            )
        if begins:
            host.window_records += 1
            if host.repeat(dst_ip) and not evidence:
                self.scoring.evaluate(host, now)
            if not host.spoke:
                host_registry.count_in(host)
                self.learning.update_thresholds(now)
        if evidence:
            host.note_row(row)
        elif host.raw > QUIET and now - host.evaluated > STALE:
            self.scoring.evaluate(host, now)
        score = self.scoring.score(host) if edge is None else self._connection(host, record, edge)
        if not host.inside:
            return (
                self._judge_outsider(host, record, row, now, score, evidence)
                if inward
                else (Scored(row, score))
            )
        if evidence and host.raw > 0.0 and (host.episode or host.raw >= self.thresholds.of(host)):
            return self._judge(host, row, now, score)
        return Scored(row, score)

    def include(self, networks: Iterable[str]) -> None:
        """Networks (CIDR) that are ours besides the settings' own: what a policy declares."""
        self.host_registry.include(networks)

    def suspend(self, address: str) -> None:
        """A quarantined host: what it does is scored, but nothing is learned from it."""
        self.host_registry.suspend(address)

    def resume(self, address: str) -> None:
        """Released: it is learned from again, and what was held against it is dropped."""
        self.host_registry.resume(address)

    def health(self) -> DetectorHealth:
        host_registry, learning, ensemble = self.host_registry, self.learning, self.scoring.ensemble
        return DetectorHealth(
            model=MODEL,
            records=self._row,
            hosts=len(host_registry.hosts),
            edges=len(self.graph),
            windows=ensemble.windows,
            withheld=learning.withheld,
            maturity=ensemble.maturity,
            refused=learning.training_quota.refused,
            threshold=self.thresholds.shown,
            alerts=self._alerts,
            open_episodes=sum(1 for h in host_registry.hosts.values() if h.episode is not None),
            suspended=len(host_registry.suspended),
            forgotten_hosts=host_registry.forgotten,
            forgotten_edges=host_registry.edges.forgotten,
            baseline_since=self.baseline.since,
            caution=self.drift.standing(self.now),
            drift_alarms=self.drift.alarms,
            knocking=self.knocking()[-1:],
        )

    def knocking(self) -> tuple[str, ...]:
        """A line for each day on which outside hosts tried ours and came to nothing."""
        return tuple(map(knocking_line, self.outsiders.knocking.days()))

    def contributions(self, address: str) -> tuple[float, dict[str, float]]:
        """A host's raw score, and what each feature adds to it (sums to it)."""
        host = self.host_registry.hosts.get(address)
        if host is None:
            return 0.0, {}
        return host.raw, {c.feature: c.contribution for c in self.scoring.explain(host)}

    def snapshot(self) -> bytes:
        """Everything that was learned and seen, for :meth:`restore`."""
        progress = Progress(str(self.seed), self.now, self._first, self._row, self._alerts)
        return dump(self.settings, progress, self._parts())

    @staticmethod
    def restore(data: bytes) -> Detector:
        """Continue exactly where :meth:`snapshot` was taken. Raises ValueError for other bytes."""
        stored = load(data)
        progress = stored.progress
        try:
            detector = Detector(stored.settings, int(progress.seed))
        except ValueError as problem:
            raise FORMAT.damaged(problem) from None
        stored.fill(detector._parts())
        detector._first, detector._row = progress.first, progress.row
        detector._alerts = progress.alerts
        detector._set_time(progress.now)
        return detector

    def take_over(self, other: Detector, networks: Iterable[str]) -> None:
        """Go on in the place of ``other``: its record numbers, who is suspended now, and the
        networks that are declared to be ours."""
        self._row = other._row
        mine, theirs = self.host_registry.suspended, other.host_registry.suspended
        for address in mine - theirs:
            self.resume(address)
        for address in theirs - mine:
            self.suspend(address)
        self.include(networks)

    def use_alert_budget(self, per_thousand: float) -> None:
        """Go on under another alert budget. Raises ValueError unless it is positive."""
        self.settings = replace(self.settings, alert_budget=per_thousand)
        self.thresholds.use_budget(per_thousand)
        self.learning.update_thresholds(self.now)

    def accept_drift(self) -> None:
        """A person finds what is learned right: the frozen baseline is renewed with it now, and
        caution ends."""
        self.learning.accept_drift(self.now)

    @property
    def baseline(self) -> Baseline:
        return self.scoring.baseline

    @property
    def calibration(self) -> Calibration:
        return self.scoring.calibration

    @property
    def drift(self) -> DriftWatch:
        return self.learning.drift

    def _advance(self, ts: float) -> None:
        if ts >= self.host_registry.due:
            self.host_registry.age(ts)
        self._feature_update.tick(ts)
        if self._first is None:
            self._first = ts
        self._set_time(ts)

    def _set_time(self, ts: float) -> None:
        self.now = ts
        self._hour = int(ts // HOUR)
        watched = 0.0 if self._first is None else ts - self._first
        self._acquainted = watched / (watched + HALF_KNOWN_SECONDS)

    def _parts(self) -> DetectorParts:
        return DetectorParts(
            self.host_registry,
            self.graph,
            self.scoring,
            self.thresholds,
            self.learning,
            self.edge_learner,
            self.outsiders,
            self._feature_update,
        )

    def _connection(self, host: HostState, record: FlowRecord, edge: Edge) -> float:
        """The score of one connection: what its edge adds to its host's raw score; then learn."""
        learner = self.edge_learner
        bins = bins_of(edge, self._hour)
        raw = host.raw + learner.nats(edge, bins, self._acquainted, host.contributions[BURST])
        if raw < RARE and host.episode is None and not host.suspended and _came_to_be(record):
            learner.take(edge, bins, self._hour)
        return self.scoring.calibration.score(raw)

    def _judge(self, host: HostState, row: int, now: float, score: float) -> Scored:
        episode = host.episode
        if episode is not None:
            if now - episode.last > self.settings.episode_quiet:
                host.episode = episode = None
            else:
                episode.last = now
        if host.raw < self.thresholds.of(host):
            return Scored(row, score, None, episode.alert_id if episode else None)
        if episode is not None and episode.rank and not episodes.is_path(host.contributions):
            return Scored(row, score, None, episode.alert_id)
        kind = episodes.kind_of(host, host.contributions)
        rank = episodes.RANKS[kind]
        if episode is not None and rank <= episode.rank:
            return Scored(row, score, None, episode.alert_id)
        cause = episodes.cause_of(host, kind)
        open_alert = host.open_cause(*cause, now)
        if open_alert is not None and not episodes.is_about_other_peers(host.contributions):
            host.episode = Episode(open_alert, kind, rank, now)
            movement.alerted_on(host, now)
            return Scored(row, score, None, open_alert)
        alert = self._alert(host, kind, now)
        if episode is None:
            self.thresholds.spend(host, now)
        host.note_cause(*cause, alert.id, now)
        host.episode = Episode(alert.id, kind, rank, now)
        host.held = None
        movement.alerted_on(host, now)
        self._alerts += 1
        return Scored(row, score, alert, alert.id)

    def _judge_outsider(
        self,
        host: HostState,
        record: FlowRecord,
        row: int,
        now: float,
        score: float,
        evidence: bool,
    ) -> Scored:
        """Who only knocks is counted; see `detection.alerting.outsiders` for what is an alert."""
        if evidence and self._feature_update.outcome_of(record) != "let-in":
            self.outsiders.knocking.count(host.address, record.dst_ip, record.service, now)
        threshold = self.thresholds.of(host)
        edge = self.host_registry.edges.find(record.src_ip, record.dst_ip)
        found = self.outsiders.step(record, edge, host.raw >= threshold, threshold, now)
        if found is None or host.suspended:
            return Scored(row, score)
        calibration = self.scoring.calibration
        raw = sum(part.contribution for part in found.features)
        alert = episodes.outsider_alert(
            host.address, found, now, calibration.score(raw), calibration.score(threshold), row,
            self.seed,
        )  # fmt: skip
        self._alerts += 1
        return Scored(row, max(score, alert.score), alert, alert.id)

    def _alert(self, host: HostState, kind: str, now: float) -> Alert:
        scoring = self.scoring
        arrival = paths.best_arrival(host, "", now, self.settings.hop_window)
        arrived = paths.unusual_path(arrival) if arrival is not None else ()
        path = episodes.path_of(host, kind, arrived, now - self.settings.hop_window)
        threshold = scoring.calibration.score(self.thresholds.of(host))
        return episodes.make_alert(
            host, kind, now, scoring.score(host), threshold, path, scoring.explain(host), self.seed,
            scoring.days_between(host.raw),
        )  # fmt: skip


def _came_to_be(record: FlowRecord) -> bool:
    """Whether policy let a connection pass and nothing shows that it failed."""
    if record.verdict == "deny" or record.verdict == "would-deny":
        return False
    return record.state is None or record.state == "established"


__all__ = ["Detector", "DetectorHealth", "DetectorSettings"]
