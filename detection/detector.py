"""The detector: one record in, one score out, and then it learns.

Deterministic: the same records, settings and seed give the same scores to the
bit, live and offline. Time comes from the records only. One pass; memory is bounded by
``DetectorSettings.max_hosts`` and ``max_edges``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from detection import episodes, movement, paths, probation
from detection.alerts import Alert, Scored
from detection.baseline import DOUBT, Baseline
from detection.budget import AlertBudget
from detection.calibration import Calibration
from detection.counters import Tally
from detection.drift import CALMER, NATS, DriftWatch
from detection.edges import BEYOND, HOUR, INWARD, OUTWARD, WITHIN, Edge, EdgeBook
from detection.features import COUNT, index_of
from detection.health import DetectorHealth
from detection.hosts import Episode, HostState, ServiceUse
from detection.influence import Influence
from detection.learners.base import HostWindow, Range, UseCounts
from detection.learners.edges import HALF_KNOWN_SECONDS, EdgeLearner
from detection.learners.ensemble import Ensemble, default_learners
from detection.places import Place, Territory
from detection.rhythm import FEW_HOSTS, FEW_USERS, Rhythm, grain_of, may_be_beacon
from detection.services import is_foothold, is_request, service_of
from detection.settings import MODEL, DetectorSettings
from detection.snapshots import dump, load
from detection.values import fill, has_refusals
from topology.graph import CommunicationGraph, total_bytes
from topology.records import FlowRecord

CALM = 0.6  # of the threshold: a host above it is not learned from
STALE = 10.0  # seconds after which a host's fading evidence is worked out again
QUIET = 0.05  # raw scores below this are not worth refreshing
BURST = index_of("burst")
VOLUME = index_of("volume")
BUDGET_EVERY = 60.0  # seconds after which spent alerts are looked through for old ones
BEACON_MATURITY = 0.5  # of the background, from which on a new rhythm is news
FEW_HOURS = 2  # of contact before, up to which an outside peer is hardly known
WORTH_A_LOOK = 1_000_000  # bytes sent at once to such a peer
TO_US = (WITHIN, INWARD)
NO_EDGES: dict[str, Edge] = {}
RARE = 7.0  # nats (about one in a thousand) from which a single connection is not learned from


class Detector:
    """Learns what is normal while it watches, and alerts on hosts that move sideways."""

    def __init__(self, settings: DetectorSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or DetectorSettings()
        self.seed = seed
        self.graph = CommunicationGraph(max_edges=self.settings.max_edges)
        self.ensemble = Ensemble(default_learners(seed))
        self.edges = EdgeBook(self.settings.max_edges)
        self.edge_learner = EdgeLearner()
        self.budget = AlertBudget(self.settings.alert_budget)
        # The Internet scans all day; that must not blunt the threshold for our own hosts.
        self.outside_budget = AlertBudget(self.settings.alert_budget)
        self.calibration = Calibration()
        self.baseline = Baseline()
        self.drift = DriftWatch(seed)
        self.influence = Influence()
        self._relief, self._calm = 0.0, CALM
        self.territory = Territory(self.settings.internal)
        self.now = 0.0
        self._first: float | None = None
        self._hour = 0
        self._grain = 60.0
        self._acquainted = 0.0  # in [0, 1): how far it is known who talks to whom
        self._row = 0
        self._budgets_due = 0.0
        self._window_length = self.settings.window
        self._hosts: dict[str, HostState] = {}
        self._inside = 0
        self._suspended: set[str] = set()
        self._alerts = self._withheld = self._forgotten = 0

    def step(self, record: FlowRecord) -> Scored:
        """Score the host that started this connection, then learn from it."""
        row = self._row
        self._row = row + 1
        if record.ts > self.now:
            self._advance(record.ts)
        now = self.now
        territory = self.territory
        if not territory.settled:
            self._notice_place(record)
        src_ip, dst_ip = record.src_ip, record.dst_ip
        host = self._hosts.get(src_ip) or self._meet(src_ip)
        host.last = now
        if now - host.window >= self._window_length:
            self._close_window(host, now)
        edge: Edge | None = None
        known = False
        begins = record.phase != "end"
        if begins and is_request(record):
            edge = self.edges.edges.get(src_ip, NO_EDGES).get(dst_ip)
            known = edge is not None
            if edge is None and src_ip != dst_ip and territory.place(dst_ip) is not Place.NOBODY:
                edge = self.edges.meet(src_ip, dst_ip, self._way(src_ip, dst_ip), now)
            if edge is not None:
                edge.use(now, host.episode is None and not host.suspended)
            inward = edge is not None and edge.way in TO_US
        else:
            inward = src_ip != dst_ip and territory.place(dst_ip) is Place.INSIDE
        if inward:
            evidence = self._movement(host, record, now, known)
        else:
            self.graph.observe(record)
            evidence = host.inside and self._outward(host, record, known, now)
        if begins:
            host.window_records += 1
            if host.repeat(dst_ip) and not evidence:
                self._evaluate(host, now)
            if not host.spoke:
                self._count_in(host)
        if evidence:
            host.rows.append(row)
        elif host.raw > QUIET and now - host.evaluated > STALE:
            self._evaluate(host, now)
        score = self._score(host) if edge is None else self._score_edge(host, record, edge)
        if evidence and host.raw > 0.0 and (host.episode or host.raw >= self._threshold(host)):
            return self._judge(host, row, now, score)
        return Scored(row, score)

    def include(self, networks: Iterable[str]) -> None:
        """Networks (CIDR) that are ours besides the settings' own: what a policy declares."""
        self.territory.include(networks)
        self._place_hosts()

    def suspend(self, address: str) -> None:
        """A quarantined host: what it does is scored, but nothing is learned from it."""
        self._suspended.add(address)
        if address in self._hosts:
            self._hosts[address].suspended = True

    def resume(self, address: str) -> None:
        """Released: it is learned from again, and what was held against it is dropped."""
        self._suspended.discard(address)
        host = self._hosts.get(address)
        if host is not None:
            host.suspended = False
            host.episode = None
            host.peak = 0.0
            host.forget_evidence()

    def health(self) -> DetectorHealth:
        return DetectorHealth(
            model=MODEL,
            records=self._row,
            hosts=len(self._hosts),
            edges=len(self.graph),
            windows=self.ensemble.windows,
            withheld=self._withheld,
            maturity=self.ensemble.maturity,
            refused=self.influence.refused,
            threshold=self.budget.threshold - self._relief,
            alerts=self._alerts,
            open_episodes=sum(1 for h in self._hosts.values() if h.episode is not None),
            suspended=len(self._suspended),
            forgotten_hosts=self._forgotten,
            baseline_since=self.baseline.since,
            caution=self.drift.standing(self.now),
            drift_alarms=self.drift.alarms,
        )

    def contributions(self, address: str) -> tuple[float, dict[str, float]]:
        """A host's raw score, and what each feature adds to it (sums to it)."""
        host = self._hosts.get(address)
        if host is None:
            return 0.0, {}
        ranked = episodes.explain(host, host.contributions, self._ranges(host))
        return host.raw, {c.feature: c.contribution for c in ranked}

    def knows(self, src: str, dst: str, service: str) -> bool:
        """Whether ``src`` is taken to use ``service`` at ``dst`` as a rule."""
        host = self._hosts.get(src)
        use = None if host is None else host.uses.get(service)
        return use is not None and dst in use.peers

    def snapshot(self) -> bytes:
        """Everything that was learned and seen, for :meth:`restore`."""
        return dump(self)

    @staticmethod
    def restore(data: bytes) -> Detector:
        """Continue exactly where :meth:`snapshot` was taken. Raises ValueError for other bytes."""
        detector = load(data)
        if not isinstance(detector, Detector):
            raise ValueError("not a detector snapshot")
        return detector

    def take_over(self, other: Detector, networks: Iterable[str]) -> None:
        """Go on in the place of ``other``: its record numbers, who is suspended now, and the
        networks that are declared to be ours."""
        self._row = other._row
        for address in self._suspended - other._suspended:
            self.resume(address)
        for address in other._suspended - self._suspended:
            self.suspend(address)
        self.include(networks)

    def use_alert_budget(self, per_thousand: float) -> None:
        """Go on under another alert budget. Raises ValueError unless it is positive."""
        self.settings = replace(self.settings, alert_budget=per_thousand)
        self.budget.per_thousand = self.outside_budget.per_thousand = per_thousand
        self._update_budgets()

    def accept_drift(self) -> None:
        """A person finds what is learned right: the frozen baseline is renewed with it now, and
        caution ends."""
        self.baseline.renew(self.ensemble, self.now)
        self.drift.clear()
        self._update_budgets()

    def _movement(self, host: HostState, record: FlowRecord, now: float, known: bool) -> bool:
        if record.phase == "end":
            return self._ended(host, record, now)
        dst_ip = record.dst_ip
        if record.state == "unanswered" and record.proto in ("arp", "nd"):
            owner = self._hosts.get(dst_ip)
            known_address = owner is not None and owner.spoke
            evidence = movement.notice_unanswered(host, record, known_address, now)
            if evidence:
                self._evaluate(host, now)
            return evidence
        if not is_request(record) or movement.is_leftover_reply(record, self.graph):
            self.graph.observe(record)
            return False
        self.graph.observe(record)
        dst = self._hosts.get(dst_ip) or self._meet(dst_ip)
        if dst.suspended:
            return False
        service = service_of(record)
        use = host.uses.get(service) or host.use(service, is_foothold(service), now)
        if use.window != host.window:
            use.window = host.window
            host.touched.append(use)
        outcome = movement.outcome_of(record)
        if record.phase == "whole":
            host.window_bytes += total_bytes(record)
        if outcome == "let-in" and movement.is_same_visit(use, dst_ip, now):
            return False
        evidence = movement.notice(
            host, dst, use, record, outcome, now,
            self.ensemble.maturity, self.settings.hop_window, known,
        )  # fmt: skip
        if evidence:
            self._choose_strongest(host, use, now)
            self._evaluate(host, now)
        if outcome == "let-in":
            if self._is_calm(host):
                if use.foothold:
                    paths.note_session(host, dst_ip, now, self.settings.hop_window)
                movement.accept(host, dst, use, service, now)
            elif host.episode is None and not host.suspended:
                probation.hold(host, dst_ip, service, now)
        return evidence

    def _outward(self, host: HostState, record: FlowRecord, known: bool, now: float) -> bool:
        """What leaves for an outside peer that hardly anybody uses: by the clock, or in bulk."""
        edge = self.edges.edges.get(record.src_ip, NO_EDGES).get(record.dst_ip)
        if edge is None or edge.party is None or edge.party.users > FEW_USERS:
            return False
        evidence = False
        rhythm = edge.rhythm
        if record.phase == "end" or self._inside < FEW_HOSTS or not may_be_beacon(record):
            pass
        elif rhythm is not None:
            evidence = rhythm.visit(now, self._grain)
            if host.beacon is rhythm and host.episode is not None and host.episode.kind == "beacon":
                host.episode.last = rhythm.until  # quiet between two visits is no end of it
            if evidence and (host.beacon is None or rhythm.regular >= host.beacon.now(now)):
                host.beacon = rhythm
        elif not known and self.ensemble.maturity >= BEACON_MATURITY:
            # What ran before the background was known is part of it.
            edge.rhythm = Rhythm(record.dst_ip, record.service, now)
        size = record.bytes_out if record.phase != "start" else None
        if size and edge.pair.known(self._hour) <= FEW_HOURS:
            if host.sent is None:
                host.sent = Tally()
            host.sent.add(now, float(size))
            evidence |= size >= WORTH_A_LOOK
        if evidence:
            self._evaluate(host, now)
        return evidence

    def _ended(self, host: HostState, record: FlowRecord, now: float) -> bool:
        edge = self.graph.observe(record)
        host.window_bytes += total_bytes(record)
        if record.state not in ("rejected", "unanswered") or not is_request(record):
            return False
        dst = self._hosts.get(record.dst_ip)
        if dst is None or dst.suspended:
            return False
        service = service_of(record)
        use = host.uses.get(service)
        if edge.established == 0:
            # Its start looked like a connection; now it is known that none came to be.
            dst.served.get(service, {}).pop(host.address, None)
            if use is not None:
                use.peers.pop(record.dst_ip, None)
        evidence = movement.notice_failure(host, use, record.dst_ip, record.service, now)
        if evidence:
            if use is not None and use.foothold and edge.established == 0:
                paths.retract(host, dst, now)
            self._evaluate(host, now)
        return evidence

    def _evaluate(self, host: HostState, now: float) -> None:
        fill(host, now, self.settings.hop_window)
        window = self._window(host, now)
        host.raw = self.ensemble.score(window, host.contributions)
        host.by_baseline = False
        if host.raw > DOUBT:
            self._ask_baseline(host, window)
        host.evaluated = now
        host.score_version = -1
        if host.raw > host.peak:
            host.peak = host.raw

    def _ask_baseline(self, host: HostState, window: HostWindow) -> None:
        stricter = self.baseline.score(window, host.contributions)
        if stricter is None:
            host.lead = max(host.lead or 0.0, 0.0)
            return
        raw = sum(stricter)
        host.lead = max(host.lead or 0.0, raw - host.raw)
        host.contributions = stricter
        host.raw = raw
        host.by_baseline = True

    def _choose_strongest(self, host: HostState, use: ServiceUse, now: float) -> None:
        """Fan-out is shown for the service on which it says most."""
        strongest = host.strongest
        if strongest is use or strongest is None:
            host.strongest = use
            return
        fanout = self.ensemble.fanout
        day = self.ensemble.day_known
        if fanout.nats(self._counts(use, now), day) > fanout.nats(
            self._counts(strongest, now), day
        ):
            host.strongest = use

    def _judge(self, host: HostState, row: int, now: float, score: float) -> Scored:
        episode = host.episode
        if episode is not None:
            if now - episode.last > self.settings.episode_quiet:
                host.episode = episode = None
            else:
                episode.last = now
        threshold = self._threshold(host)
        if host.raw < threshold:
            return Scored(row, score, None, episode.alert_id if episode else None)
        if episode is not None and episode.rank and not episodes.is_path(host.contributions):
            return Scored(row, score, None, episode.alert_id)
        kind = episodes.kind_of(host, host.contributions)
        rank = episodes.RANKS[kind]
        if episode is not None and rank <= episode.rank:
            return Scored(row, score, None, episode.alert_id)
        alert = self._alert(host, kind, self._score(host), now)
        if episode is None:
            (self.budget if host.inside else self.outside_budget).spend(now)
        host.episode = Episode(alert.id, kind, rank, now)
        host.held = None
        self._alerts += 1
        return Scored(row, score, alert, alert.id)

    def _alert(self, host: HostState, kind: str, score: float, now: float) -> Alert:
        arrival = paths.best_arrival(host, "", now, self.settings.hop_window)
        path = episodes.path_of(host, kind, arrival.path if arrival is not None else ())
        features = episodes.explain(host, host.contributions, self._ranges(host))
        threshold = self.calibration.score(self._threshold(host))
        return episodes.make_alert(host, kind, now, score, threshold, path, features, self.seed)

    def _close_window(self, host: HostState, now: float) -> None:
        """A host-window ended: learn it if it was calm, and begin the next."""
        window = self._window(host, now, learning=True)
        if host.window_records:
            self.ensemble.close(window, host.contributions)
            calm = self._is_calm(host) and host.peak < self._calm_mark(host)
            host.end_bursts(calm)
            if calm:
                self._learn(host, window, now)
            else:
                self._withheld += 1
        host.window = now
        host.touched = []
        host.window_records = 0
        host.window_bytes = 0.0
        episode = host.episode
        if episode is not None and now - episode.last > self.settings.episode_quiet:
            host.episode = None
        host.peak = 0.0
        host.lead = None
        if host.raw > 0.0 or any(host.contributions):
            self._evaluate(host, now)
        else:
            host.values[BURST] = host.values[VOLUME] = 0.0
        if now >= self._budgets_due:
            self._update_budgets()

    def _learn(self, host: HostState, window: HostWindow, now: float) -> None:
        self.calibration.learn(host.peak)
        self.drift.surprise(host.peak, now)
        if host.lead is not None:
            self.drift.yielding(host.lead, now)
        if self.influence.admits(host, now):
            self.ensemble.learn(window, now)
            for use in host.touched:
                use.learned += 1
        if host.held is not None:
            self._accept_held(host, now)
        if self.baseline.is_due(self.ensemble, now) and not self.drift.cautious(now):
            self.baseline.renew(self.ensemble, now)

    def _accept_held(self, host: HostState, now: float) -> None:
        for held in probation.due(host, now):
            use, dst = host.uses.get(held.service), self._hosts.get(held.dst)
            if use is not None and dst is not None and not dst.suspended:
                movement.accept(host, dst, use, held.service, now)

    def _window(self, host: HostState, now: float, learning: bool = False) -> HostWindow:
        strongest = self._counts(host.strongest, now) if host.strongest is not None else None
        ensemble = self.ensemble
        window = HostWindow(
            host.values, ensemble.maturity, strongest, (), host.own, ensemble.day_known
        )
        if learning:
            window.uses = [self._counts(use, now) for use in host.touched]
            if host.own is None and has_refusals(host):
                window.own = host.own = [0.0] * COUNT
        return window

    @staticmethod
    def _counts(use: ServiceUse, now: float) -> UseCounts:
        weight = 1.0 / (1.0 + use.learned) ** 2
        new = use.new.fresh(now, use.revisited)
        unserved = use.unserved.fresh(now, use.revisited)
        return UseCounts(use.service, use.foothold, new, unserved, use.own, weight)

    def _ranges(self, host: HostState) -> dict[int, Range]:
        judge = self.baseline if host.by_baseline else self.ensemble
        return judge.explain(self._window(host, host.evaluated))

    def _update_budgets(self) -> None:
        self._budgets_due = self.now + BUDGET_EVERY
        cautious = self.drift.cautious(self.now)
        self._relief = NATS if cautious else 0.0
        self._calm = CALM * CALMER if cautious else CALM
        self.budget.update(self._inside, self.now)
        self.outside_budget.update(self._inside, self.now)

    def _threshold(self, host: HostState) -> float:
        budget = self.budget if host.inside else self.outside_budget
        return budget.threshold - self._relief

    def _calm_mark(self, host: HostState) -> float:
        """Raw score below which a host is learned from."""
        return self._calm * self._threshold(host)

    def _score(self, host: HostState) -> float:
        if host.score_version != self.calibration.version:
            host.score = self.calibration.score(host.raw)
            host.score_version = self.calibration.version
        return host.score

    def _score_edge(self, host: HostState, record: FlowRecord, edge: Edge) -> float:
        """The score of one connection: what its edge adds to its host's raw score; then learn."""
        maturity = self._acquainted
        burst = host.contributions[BURST]
        raw = host.raw + self.edge_learner.nats(edge, self._hour, maturity, burst)
        if raw < RARE and host.episode is None and not host.suspended and _came_to_be(record):
            self.edge_learner.take(edge, self._hour)
        return self.calibration.score(raw)

    def _advance(self, ts: float) -> None:
        self.now = ts
        self._hour = int(ts // HOUR)
        if self._grain:
            self._grain = grain_of(ts, self._grain)
        if self._first is None:
            self._first = ts
        watched = ts - self._first
        self._acquainted = watched / (watched + HALF_KNOWN_SECONDS)

    def _way(self, src: str, dst: str) -> int:
        place = self.territory.place
        if place(src) is Place.INSIDE:
            return WITHIN if place(dst) is Place.INSIDE else OUTWARD
        return INWARD if place(dst) is Place.INSIDE else BEYOND

    def _is_calm(self, host: HostState) -> bool:
        return host.episode is None and not host.suspended and host.raw < self._calm_mark(host)

    def _meet(self, address: str) -> HostState:
        inside = self.territory.place(address) is Place.INSIDE
        if len(self._hosts) >= self.settings.max_hosts:
            self._forget_idle()
        host = self._hosts[address] = HostState(address, inside, self.now)
        host.suspended = address in self._suspended
        return host

    def _count_in(self, host: HostState) -> None:
        """An address is a host once it says something; being asked for does not make it one."""
        host.spoke = True
        self._inside += host.inside
        self._update_budgets()

    def _forget_idle(self) -> None:
        """Drop the tenth of all hosts that was quiet longest; those under suspicion stay."""
        idle = sorted(
            (h for h in self._hosts.values() if h.episode is None and not h.suspended),
            key=lambda h: (h.last, h.address),
        )
        for host in idle[: max(1, len(self._hosts) // 10)]:
            del self._hosts[host.address]
            self.edges.forget(host.address)
            self._inside -= host.inside and host.spoke
            self._forgotten += 1

    def _notice_place(self, record: FlowRecord) -> None:
        self.territory.notice(record.src_ip, record.dst_ip)
        if self.territory.settled:
            self._place_hosts()

    def _place_hosts(self) -> None:
        for host in self._hosts.values():
            host.inside = self.territory.place(host.address) is Place.INSIDE
        self._inside = sum(h.inside and h.spoke for h in self._hosts.values())
        self.edges.place_anew(self._way)


def _came_to_be(record: FlowRecord) -> bool:
    """Whether policy let a connection pass and nothing shows that it failed."""
    if record.verdict == "deny" or record.verdict == "would-deny":
        return False
    return record.state is None or record.state == "established"


__all__ = ["Detector", "DetectorHealth", "DetectorSettings"]
