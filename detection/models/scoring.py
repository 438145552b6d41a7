"""How unusual a host is now: its host-window as the stricter of two models sees it."""

from __future__ import annotations

from msgspec import Struct

from detection.alert import Contribution
from detection.alerting import episodes
from detection.features.catalogue import COUNT, index_of
from detection.features.coordination import Coordination, CoordinationState
from detection.features.values import fill, has_refusals
from detection.models.baseline import DOUBT, Baseline, BaselineState
from detection.models.calibration import Calibration, CalibrationState
from detection.models.learners.base import HostWindow, UseCounts
from detection.models.learners.ensemble import Ensemble, EnsembleState, default_learners
from detection.state.hosts import HostState, ServiceUse

COMPANIONS = index_of("companions")
ENOUGH_WINDOWS = 300  # host-windows learned before it is told how rare one like this is
ENOUGH_SECONDS = 3600.0


class ScoringState(Struct, frozen=True, array_like=True):
    ensemble: EnsembleState
    baseline: BaselineState
    calibration: CalibrationState
    coordination: CoordinationState


class Scoring:
    """The fast model, the frozen one beside it, the calibration of what they say, and who reaches
    for footholds together.
    """

    def __init__(self, seed: int, hop_window: float) -> None:
        self.ensemble = Ensemble(default_learners(seed))
        self.baseline = Baseline()
        self.calibration = Calibration()
        self.coordination = Coordination()
        self._seed = seed
        self._hop_window = hop_window

    def snapshot(self) -> ScoringState:
        return ScoringState(
            self.ensemble.snapshot(),
            self.baseline.snapshot(),
            self.calibration.snapshot(),
            self.coordination.snapshot(),
        )

    def restore(self, state: ScoringState, now: float) -> None:
        """Raises ValueError for what cannot be a snapshot taken at ``now``."""
        self.ensemble.restore(state.ensemble, now)
        self.baseline.restore(state.baseline, Ensemble(default_learners(self._seed)), now)
        self.calibration.restore(state.calibration)
        self.coordination.restore(state.coordination, now)

    def evaluate(self, host: HostState, now: float) -> None:
        """Work out the values, the contributions and the raw score of ``host`` now."""
        fill(host, now, self._hop_window)
        window = self.window(host, now)
        use = window.strongest
        host.values[COMPANIONS] = (use.companions or 0.0) if use is not None else 0.0
        host.raw = self.ensemble.score(window, host.contributions)
        host.by_baseline = False
        if host.raw > DOUBT:
            self._ask_baseline(host, window)
        host.evaluated = now
        host.score_version = -1
        if host.raw > host.peak:
            host.peak = host.raw

    def score(self, host: HostState) -> float:
        """The calibrated score of its host-window, in [0, 1]."""
        if host.score_version != self.calibration.version:
            host.score = self.calibration.score(host.raw)
            host.score_version = self.calibration.version
        return host.score

    def days_between(self, raw: float) -> float | None:
        """Days in which normal behaviour here scores this high about once, by the calibration;
        None while too little of it is known."""
        ensemble = self.ensemble
        if ensemble.windows < ENOUGH_WINDOWS or ensemble.elapsed < ENOUGH_SECONDS:
            return None
        windows_a_day = ensemble.windows * 86_400.0 / ensemble.elapsed
        return 1.0 / (self.calibration.tail(raw) * windows_a_day)

    def choose_strongest(self, host: HostState, use: ServiceUse, now: float) -> None:
        """Fan-out is shown for the service on which it says most."""
        strongest = host.strongest
        if strongest is use or strongest is None:
            host.strongest = use
            return
        nats = self.ensemble.fanout.nats
        day = self.ensemble.day_known
        one, other = (self._counts(host, each, now) for each in (use, strongest))
        if nats(one, day) > nats(other, day):
            host.strongest = use

    def explain(self, host: HostState) -> tuple[Contribution, ...]:
        """What adds to the raw score of ``host``, biggest first, each with its normal range."""
        judge = self.baseline if host.by_baseline else self.ensemble
        ranges = judge.explain(self.window(host, host.evaluated))
        return episodes.explain(host, host.contributions, ranges)

    def window(self, host: HostState, now: float) -> HostWindow:
        """The host-window as the learners score it."""
        ensemble, use = self.ensemble, host.strongest
        strongest = None if use is None else self._counts(host, use, now)
        return HostWindow(
            host.values, ensemble.maturity, strongest, (), host.own, ensemble.day_known
        )

    def closing_window(self, host: HostState, now: float) -> HostWindow:
        """The host-window as they learn it, with all services used in it."""
        window = self.window(host, now)
        window.uses = [self._counts(host, use, now) for use in host.touched]
        if host.own is None and has_refusals(host):
            window.own = host.own = [0.0] * COUNT
        return window

    def _counts(self, host: HostState, use: ServiceUse, now: float) -> UseCounts:
        """The fan-out of one service as it counts now, and its host's say in the norm."""
        weight = 1.0 / (1.0 + use.learned) ** 2
        new = use.new.fresh(now, use.revisited)
        unserved = use.unserved.fresh(now, use.revisited)
        companions = self.coordination.of(use.service, host.address, now) if use.foothold else None
        return UseCounts(use.service, use.foothold, new, unserved, use.own, weight, companions)

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
