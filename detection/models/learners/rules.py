"""What moving sideways looks like anywhere: weights that need no background.

Going on from an arrival over new edges, a server that turns client, coming from a suspect:
their weights are set so that one such step is a remark and two or three together
are an alert, at the threshold of a small network (about 10 nats) as well as of a
large one with what the background adds. A host that goes on from arrivals
as a habit (a jump host) has already had them discounted in its values.
"""

from __future__ import annotations

from math import exp

from detection.features.catalogue import index_of
from detection.models.learners.base import HostWindow, Range

SECOND_HOP = 5.5
MORE_HOPS = 4.75
ONWARD = 2.5
FLIP = 3.0
FLIP_PEER = 1.5
FLIP_CAP = 15.0
SUSPECT = (0.0, 4.0, 5.0)
SHARE = 2.0
SHARE_SCALE = 5.0


class MovementRules:
    """Nothing to learn; ``suspect_origin`` counts only together with a second hop."""

    name = "rules"

    def __init__(self) -> None:
        self._share = index_of("failure_share")
        self._bad = (index_of("denied_pairs") + 1, index_of("failed_pairs") + 1)
        self._addresses = index_of("unanswered_addresses") + 1
        self._flip = index_of("role_flip")
        self._depth = index_of("hop_depth")
        self._onward = index_of("onward_peers")
        self._origin = index_of("suspect_origin")
        self.features: tuple[int, ...] = (
            self._share,
            self._flip,
            self._depth,
            self._onward,
            self._origin,
        )

    def score(self, window: HostWindow, into: list[float]) -> None:
        values = window.values
        bad = values[self._bad[0]] + values[self._bad[1]] + values[self._addresses]
        excess = max(0.0, values[self._share] - 0.5) * 2.0
        into[self._share] = SHARE * excess * (1.0 - exp(-bad / SHARE_SCALE))
        n = values[self._flip]
        into[self._flip] = (
            min(FLIP_CAP, FLIP * min(1.0, n) + FLIP_PEER * max(0.0, n - 1.0)) if n > 0.0 else 0.0
        )
        depth = values[self._depth]
        # Depth fades with time from 2 down to 1: an old second hop is worth less.
        into[self._depth] = (
            SECOND_HOP * min(1.0, depth - 1.0) + MORE_HOPS * max(0.0, depth - 2.0)
            if depth > 1.0
            else 0.0
        )
        into[self._onward] = ONWARD * max(0.0, values[self._onward] - 1.0)
        into[self._origin] = (
            SUSPECT[min(2, int(values[self._origin]))] * min(1.0, depth - 1.0)
            if depth > 1.0
            else 0.0
        )

    def learn(self, window: HostWindow) -> None:
        """These are not learned: a habit shows in the values themselves."""

    def explain(self, window: HostWindow) -> dict[int, Range]:
        highs = {self._share: 0.5, self._flip: 0.0, self._depth: 1.0, self._onward: 1.0}
        return {i: Range(0.0, highs.get(i, 0.0)) for i in self.features}

    def snapshot(self) -> object:
        return None

    def restore(self, state: object) -> None:
        if state is not None:
            raise ValueError("there is nothing to learn here")
