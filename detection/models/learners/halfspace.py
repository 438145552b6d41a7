"""Half-space trees (Tan, Ting and Liu, 2011; River's implementation) on host-windows.

The trees want values in [0, 1]: a count ``x`` enters as ``x / (x + scale)``. They see
whole windows only, being too slow for every record: the score of a host's last window is its
feature value until the next one ends. It contributes where it exceeds what 99 of 100
windows score. Windows in which nothing happened that they look at are left out: they are
most of all windows, and would be all that the trees know.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from river import anomaly, stats

from detection.features.catalogue import index_of
from detection.models.learners.base import HostWindow, Range
from detection.models.learners.river_values import (
    QuantileValues,
    quantile_values,
    restored_quantile,
)
from detection.state.stored_values import Events

CAP = 1.5
WINDOW = 250  # host-windows after which the trees take on what they have counted
TREES = 10
HEIGHT = 6
LEVEL = 0.99
SCALES = {
    "denied_pairs": 2.0,
    "failed_pairs": 5.0,
    "service_fanout": 5.0,
    "unserved_fanout": 3.0,
    "new_peers": 10.0,
    "new_services": 20.0,
    "novel_edge": 10.0,
    "burst": 50.0,
    "volume": 15.0,
}


_Masses = list[Annotated[int, Meta(ge=0, le=WINDOW)]]


class _TreesState(Struct, frozen=True, array_like=True):
    """Masses of all nodes, depth first, in the window that goes on and the one ``before``."""

    latest: _Masses
    before: _Masses
    counter: Annotated[int, Meta(ge=0, lt=WINDOW)]
    first: bool
    usual: QuantileValues
    windows: Events


class HalfSpaceLearner:
    name = "half-space"

    def __init__(self, seed: int) -> None:
        self._i = index_of("window_shape")
        self.features: tuple[int, ...] = (self._i,)
        self._inputs = tuple((name, index_of(name), scale) for name, scale in SCALES.items())
        limits = dict.fromkeys(SCALES, (0.0, 1.0))
        make: Any = anomaly.HalfSpaceTrees
        self._trees: Any = make(
            n_trees=TREES,
            height=HEIGHT,
            window_size=WINDOW,
            limits=limits,
            seed=seed,
        )
        # All inputs are named: River's default for others is not needed, nor can it be stored.
        self._trees.limits = limits
        self._usual = stats.Quantile(LEVEL)
        self._bound = 0.0
        self._n = 0
        # Measured last, with its inputs and score: learning asks again.
        self._seen: tuple[HostWindow, dict[str, float], float] | None = None

    def measure(self, window: HostWindow) -> None:
        """Score a whole window, into its feature value; 0 before the trees know anything."""
        window.values[self._i] = 0.0
        if self._n < 2 * WINDOW:
            return
        x = self._scaled(window)
        if x is None:
            return
        score = float(self._trees.score_one(x))
        self._seen = (window, x, score)
        window.values[self._i] = score

    def score(self, window: HostWindow, into: list[float]) -> None:
        x, usual = window.values[self._i], self._bound
        into[self._i] = (
            window.maturity * CAP * (x - usual) / max(1e-9, 1.0 - usual) if x > usual else 0.0
        )

    def learn(self, window: HostWindow) -> None:
        seen, self._seen = self._seen, None
        if seen is not None and seen[0] is window:
            _, x, score = seen
            self._take(score)
        else:
            found = self._scaled(window)
            if found is None:
                return
            x = found
            if self._n >= WINDOW:
                self._take(float(self._trees.score_one(x)))
        self._trees.learn_one(x)
        self._n += 1

    def explain(self, window: HostWindow) -> dict[int, Range]:
        return {self._i: Range(0.0, self._bound)}

    def snapshot(self) -> object:
        trees = self._trees
        nodes = [node for tree in trees._tree_nodes for node in tree]
        return _TreesState(
            [node.l_mass for node in nodes],
            [node.r_mass for node in nodes],
            trees.counter,
            trees._first_window,
            quantile_values(self._usual),
            self._n,
        )

    def restore(self, state: object) -> None:
        """The trees grow from the seed, and get their masses again."""
        found = msgspec.convert(state, _TreesState)
        trees = self._trees
        if found.windows:
            trees.learn_one(dict.fromkeys(SCALES, 0.0))
        nodes = [node for tree in trees._tree_nodes for node in tree]
        for node, latest, before in zip(nodes, found.latest, found.before, strict=True):
            node.l_mass, node.r_mass = latest, before
        trees.counter, trees._first_window = found.counter, found.first
        self._usual = restored_quantile(LEVEL, found.usual)
        self._bound = float(self._usual.get() or 0.0)
        self._n = found.windows

    def _take(self, score: float) -> None:
        self._usual.update(score)
        self._bound = float(self._usual.get() or 0.0)

    def _scaled(self, window: HostWindow) -> dict[str, float] | None:
        """The inputs in [0, 1], or None where all are 0."""
        values = window.values
        scaled = {name: values[i] / (values[i] + scale) for name, i, scale in self._inputs}
        return scaled if any(scaled.values()) else None
