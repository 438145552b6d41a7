"""What is learned when a host-window ends: from calm hosts only, and not much from any one."""

from __future__ import annotations

from msgspec import Struct

from detection.alerting.thresholds import Thresholds
from detection.features import movement
from detection.features.catalogue import index_of
from detection.models import deferred_learning
from detection.models.drift import DriftState, DriftWatch
from detection.models.learners.base import HostWindow
from detection.models.scoring import Scoring
from detection.models.training_quota import QuotaState, TrainingQuota
from detection.state.host_registry import HostRegistry
from detection.state.hosts import HostState
from detection.state.stored_values import Events

BURST = index_of("burst")
VOLUME = index_of("volume")


class LearningState(Struct, frozen=True, array_like=True):
    drift: DriftState
    quota: QuotaState
    withheld: Events


class Learning:
    """``withheld`` counts host-windows that were not learned, their host not being calm;
    ``quiet`` (seconds) is how long a host must be calm for its episode to be over.
    """

    def __init__(
        self,
        scoring: Scoring,
        thresholds: Thresholds,
        host_registry: HostRegistry,
        quiet: float,
        seed: int,
    ) -> None:
        self.drift = DriftWatch(seed)
        self.training_quota = TrainingQuota()
        self.withheld = 0
        self._scoring = scoring
        self._thresholds = thresholds
        self._host_registry = host_registry
        self._quiet = quiet

    def snapshot(self) -> LearningState:
        return LearningState(self.drift.snapshot(), self.training_quota.snapshot(), self.withheld)

    def restore(self, state: LearningState) -> None:
        """Raises ValueError for what cannot be a snapshot."""
        self.drift.restore(state.drift)
        self.training_quota.restore(state.quota)
        self.withheld = state.withheld

    def close_window(self, host: HostState, now: float) -> None:
        """A host-window ended: learn it if it was calm, and begin the next."""
        scoring, thresholds = self._scoring, self._thresholds
        if host.window_records:
            window = scoring.closing_window(host, now)
            scoring.ensemble.close(window)
            calm = thresholds.was_calm(host)
            host.end_bursts(calm)
            if calm:
                self._learn(host, window, now)
            else:
                self.withheld += 1
        host.begin_window(now)
        episode = host.episode
        if episode is not None and now - episode.last > self._quiet:
            host.episode = None
        if host.raw > 0.0 or any(host.contributions):
            scoring.evaluate(host, now)
        else:
            host.values[BURST] = host.values[VOLUME] = 0.0
        if now >= thresholds.due:
            self.update_thresholds(now)

    def update_thresholds(self, now: float) -> None:
        self._thresholds.update(self._host_registry.inside, now, self.drift.cautious(now))

    def accept_drift(self, now: float) -> None:
        """What is learned is found right: the baseline is renewed with it, and caution ends."""
        self._scoring.baseline.renew(self._scoring.ensemble, now)
        self.drift.clear()
        self.update_thresholds(now)

    def _learn(self, host: HostState, window: HostWindow, now: float) -> None:
        scoring = self._scoring
        ensemble, baseline = scoring.ensemble, scoring.baseline
        scoring.calibration.learn(host.peak)
        self.drift.surprise(host.peak, now)
        if host.lead is not None:
            self.drift.yielding(host.lead, now)
        if self.training_quota.admits(host, now):
            ensemble.learn(window, now)
            for use in host.touched:
                use.learned += 1
        if host.held is not None:
            self._accept_held(host, now)
        if baseline.is_due(ensemble, now) and not self.drift.cautious(now):
            baseline.renew(ensemble, now)

    def _accept_held(self, host: HostState, now: float) -> None:
        for held in deferred_learning.due(host, now):
            use, dst = host.uses.get(held.service), self._host_registry.hosts.get(held.dst)
            if use is not None and dst is not None and not dst.suspended:
                movement.accept(host, dst, use, held.service, now)
