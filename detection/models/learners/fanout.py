"""New internal peers on one service, relative to what others do on that service.

For every service the mean fan-out of its users is learned, at four horizons, shrunk
towards the mean over all services while little is known of it. The tail is
geometric, as in ``tails``. It speaks only as far as the background is known
(maturity): at first sight everything is new, and a backup or an administrator's round looks
like a sweep until one has seen who does what.

One host's say in what is normal on a service falls with every window (to less
than two windows in all), or a patient sweep would set its own norm.

On services that give no foothold fan-out alone never reaches an alert: there
it takes refusals or failures as well.
"""

from __future__ import annotations

from math import log
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from river import stats

from detection.features.catalogue import index_of
from detection.models.learners.base import HostWindow, Range, UseCounts
from detection.models.learners.river_values import MeanValues, mean_values, restored_mean
from detection.models.learners.tails import CLIP, HABIT, USUAL, geometric_high
from detection.state.counters import HORIZONS, Counts
from detection.state.stored_values import Text

MAX_SERVICES = 4096
PRIOR_MEANS = (3.0, 3.0, 3.0, 3.0)  # new peers of a user of a service, at the four horizons
PRIOR_WINDOWS = 40.0
SHRINK = 10.0  # windows of a service before its own mean outweighs the common one
FLOOR_NEW = 0.5
FLOOR_UNSERVED = 0.08
SOFT_WEIGHT = 0.35
SOFT_CAP = 3.0  # nats that fan-out on a service without foothold adds at most, each way

_H = len(HORIZONS)
_DAY = HORIZONS.index(86_400.0)


_Means = Annotated[list[MeanValues], Meta(min_length=2 * _H, max_length=2 * _H)]


class _FanoutState(Struct, frozen=True, array_like=True):
    common: _Means
    services: Annotated[dict[Text, _Means], Meta(max_length=MAX_SERVICES)]


class FanoutLearner:
    name = "fanout"

    def __init__(self) -> None:
        self._new = index_of("service_fanout")
        self._unserved = index_of("unserved_fanout")
        self.features = tuple(range(self._new, self._new + 2 * _H))
        self._common = [stats.Mean() for _ in range(2 * _H)]
        for i, mean in enumerate(self._common):
            mean.update(PRIOR_MEANS[i % _H], PRIOR_WINDOWS)
        self._services: dict[str, list[stats.Mean]] = {}
        self._norms: dict[str, list[tuple[float, float]]] = {}

    def score(self, window: HostWindow, into: list[float]) -> None:
        for i in self.features:
            into[i] = 0.0
        use = window.strongest
        if use is None or window.maturity <= 0.0:
            return
        for start, counts, offset in (
            (self._new, use.new, 0),
            (self._unserved, use.unserved, _H),
        ):
            horizon, nats = self._strongest(use, counts, offset, window.day_known)
            into[start + horizon] = window.maturity * nats

    def nats(self, use: UseCounts, day_known: float = 1.0) -> float:
        """How far a use stands out in a background that is fully known, be it normal or not."""
        new = self._strongest(use, use.new, 0, day_known, 0.0)[1]
        return new + self._strongest(use, use.unserved, _H, day_known, 0.0)[1]

    def learn(self, window: HostWindow) -> None:
        if not window.uses:
            return
        self._norms.clear()
        for use in window.uses:
            means = self._services.pop(use.service, None)
            if means is None:
                if len(self._services) >= MAX_SERVICES:
                    del self._services[next(iter(self._services))]
                means = [stats.Mean() for _ in range(2 * _H)]
            self._services[use.service] = means
            for i, count in enumerate((*use.new, *use.unserved)):
                clipped = min(count, CLIP * (self._mean(use.service, i) + 1.0))
                means[i].update(clipped, use.weight)
                self._common[i].update(clipped, use.weight)
                use.own[i] += HABIT * (count - use.own[i])

    def explain(self, window: HostWindow) -> dict[int, Range]:
        use = window.strongest
        if use is None:
            return {i: Range(0.0, geometric_high(PRIOR_MEANS[0])) for i in self.features}
        return {
            self._new + i: Range(0.0, geometric_high(self._expected(use, i))) for i in range(2 * _H)
        }

    def snapshot(self) -> object:
        services = {name: [mean_values(m) for m in means] for name, means in self._services.items()}
        return _FanoutState([mean_values(mean) for mean in self._common], services)

    def restore(self, state: object) -> None:
        found = msgspec.convert(state, _FanoutState)
        self._common = [restored_mean(mean) for mean in found.common]
        self._services = {
            name: [restored_mean(mean) for mean in means] for name, means in found.services.items()
        }
        self._norms.clear()

    def _strongest(
        self,
        use: UseCounts,
        counts: Counts,
        offset: int,
        day_known: float,
        usual: float = USUAL,
    ) -> tuple[int, float]:
        """The horizon that says most, and its nats; 0 where no more than ``usual`` of them."""
        norm = self._norms.get(use.service) or self._norm(use.service)
        own = use.own
        horizon, most = 0, 0.0
        for i, n in enumerate(counts):
            if n > 0.5:
                mean, gain = norm[offset + i]
                habit = own[offset + i]
                nats = n * (gain if habit <= mean else log(1.0 + 1.0 / habit))
                if nats <= usual:
                    continue
                if i == _DAY:
                    nats *= day_known
                if nats > most:
                    horizon, most = i, nats
        if not use.foothold:
            most = min(SOFT_CAP, SOFT_WEIGHT * most)
        return horizon, most

    def _expected(self, use: UseCounts, i: int) -> float:
        return max(self._norm(use.service)[i][0], use.own[i])

    def _norm(self, service: str) -> list[tuple[float, float]]:
        """Expected counts and the nats of one peer at them, kept until something is learned."""
        norm = self._norms.get(service)
        if norm is None:
            floors = [FLOOR_NEW] * _H + [FLOOR_UNSERVED] * _H
            means = [max(floor, self._mean(service, i)) for i, floor in enumerate(floors)]
            norm = self._norms[service] = [(mean, log(1.0 + 1.0 / mean)) for mean in means]
        return norm

    def _mean(self, service: str, i: int) -> float:
        common = float(self._common[i].get())
        means = self._services.get(service)
        if means is None:
            return common
        n = means[i].n
        return float((SHRINK * common + n * means[i].get()) / (SHRINK + n))
