"""KSWIN (Raab, Heusinger and Schleif, 2020), at the price of a few comparisons.

River's KSWIN asks scipy for the p-value of every value it takes, which is a hundred times as
much work as the test itself. For two samples of one size Smirnov's p-value has a closed form
(Gnedenko and Korolyuk, 1951), so here it is worked out once: an alarm needs the two distribution
functions to be :attr:`Kswin.apart` steps apart somewhere. Alarms are those of River's.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import comb

from msgspec import Struct

from detection.models.random_state import RandomState, random_state, restored_random
from detection.state.stored_values import Amount


def p_value(n: int, steps: int) -> float:
    """Probability that the distribution functions of two samples of ``n`` values each from one
    source are ``steps / n`` or more apart somewhere. Raises ValueError unless 1 <= steps <= n.
    """
    if not 1 <= steps <= n:
        raise ValueError("steps must be between 1 and the size of a sample")
    ways = sum((1 if k % 2 else -1) * comb(2 * n, n - k * steps) for k in range(1, n // steps + 1))
    return min(1.0, 2.0 * ways / comb(2 * n, n))


def steps_apart(one: Sequence[float], other: Sequence[float]) -> int:
    """Greatest difference between how many of each sample are at most some value."""
    one, other = sorted(one), sorted(other)
    return max(abs(bisect_right(one, x) - bisect_right(other, x)) for x in (*one, *other))


class KswinState(Struct, frozen=True, array_like=True):
    drifted: bool
    window: list[Amount]
    random: RandomState


class Kswin:
    """Compares the last ``recent`` of ``memory`` values with as many drawn from those before.

    ``drifted`` tells whether the value taken last made them differ with a probability of at most
    ``alpha`` that they are alike; after that it begins anew. Raises ValueError when no samples of
    that size could differ so much.
    """

    def __init__(self, alpha: float, memory: int, recent: int, seed: int) -> None:
        sizes = range(1, recent + 1)
        self.apart = next((s for s in sizes if p_value(recent, s) <= alpha), 0)
        if not self.apart:
            raise ValueError("samples are too small for such a probability")
        self.drifted = False
        self._recent = recent
        self._seed = seed
        self._window: deque[float] = deque(maxlen=memory)
        self._rng = random.Random(seed)

    def snapshot(self) -> KswinState:
        return KswinState(self.drifted, list(self._window), random_state(self._rng))

    def restore(self, state: KswinState) -> None:
        """Raises ValueError for random numbers in a state that there is not."""
        self.drifted = state.drifted
        self._window = deque(state.window, self._window.maxlen)
        self._rng = restored_random(state.random)

    def take(self, x: float) -> None:
        window, recent = self._window, self._recent
        if self.drifted:
            self._rng = random.Random(self._seed)
            window.clear()
            self.drifted = False
        window.append(x)
        older = (window.maxlen or 0) - recent
        if len(window) - recent < older:
            return
        drawn = [window[i] for i in self._rng.sample(range(older), recent)]
        latest = list(islice(window, older, None))
        self.drifted = steps_apart(drawn, latest) >= self.apart
