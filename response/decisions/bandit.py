"""Learning which action fits which alert: a contextual bandit that starts from the fixed table.

The learner is River's LinUCB with disjoint linear models [1]_, one for each action. What an
action is worth is what the fixed table says of it plus what the models have learned on top, so
an untaught learner *is* the table, and rewards move it from there;
`response.decisions.reward_ledger` gives them.

.. [1] L. Li et al., A Contextual-Bandit Approach to Personalized News Article Recommendation,
   WWW 2010, https://arxiv.org/abs/1003.0146
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import log10, sqrt
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from river.bandit import LinUCBDisjoint

from detection.models.random_state import RandomState, random_state, restored_random
from detection.snapshots.container import SnapshotFormat
from detection.state.stored_values import MOST, Events
from response.decision import STRENGTH, Arm
from response.decisions.action_table import CERTAIN, LIKELY, PATH, fixed_action

FITTING = 0.75
"""What the action that the table names is taken to be worth before anything is learned."""

STEP = 0.1
"""What each step that an action is stronger or weaker than the table's takes off that."""

OPTIMISM = 0.5
"""Standard deviations of not knowing that speak for an action, where exploring is allowed."""

CAUTION = 5.0
"""How many rewards in one direction it takes until they weigh as much as the table's word."""

MOST_HOPS, MOST_NINES = 8, 8
MOST_FEATURES = 256  # of a model that is read back
LARGEST = 1e9  # number in a matrix; far above what rewards add up to
ROUNDING = 1e-6  # below zero that a variance may be by rounding

Array = np.ndarray[Any, np.dtype[np.float64]]
_Name = Annotated[str, Meta(max_length=100)]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known when an action is chosen.

    ``score`` and ``kind`` are the alert's, ``hops`` the length of its path. ``criticality``
    is the share of known hosts that the policy lets reach the suspect, ``room`` the share of
    the envelope's blocks that is left (the tighter of ``max_hosts`` and ``max_share``).
    """

    score: float
    kind: str
    hops: int
    criticality: float
    headroom: float

    def features(self) -> dict[str, float]:
        """For the models: each in [0, 1]. The table's rows are features, so it can be unlearned."""
        path = self.hops >= PATH
        row = (
            "doubtful" if self.score < LIKELY
            else "likely" if self.score < CERTAIN
            else "certain-path" if path
            else "certain"
        )  # fmt: skip
        nines = -log10(max(1.0 - self.score, 10.0**-MOST_NINES))
        return {
            row: 1.0,
            f"kind-{self.kind}": 1.0,
            "nines": nines / MOST_NINES,
            "hops": min(self.hops, MOST_HOPS) / MOST_HOPS,
            "criticality": self.criticality,
            "room": self.headroom,
        }


@dataclass(frozen=True, slots=True)
class Chosen:
    """``table`` is what the fixed table would have done; ``explored``: the action was taken to
    learn about it; ``values`` is the expected value of each action."""

    action: Arm
    table: Arm
    explored: bool
    values: tuple[tuple[str, float], ...]


FORMAT = SnapshotFormat(b"septum-actions-", 3, "snapshot of learned actions", "their", 1 << 24)


class RegressionValues(Struct, frozen=True, array_like=True):
    """``features`` in the order of the rows; the arrays are float64, row by row, for ``room``
    features (more than there are, so that new ones fit)."""

    features: Annotated[list[_Name], Meta(max_length=MOST_FEATURES)]
    room: Annotated[int, Meta(ge=0, le=MOST_FEATURES)]
    precision: bytes
    covariance: bytes
    natural_mean: bytes
    mean: bytes
    mean_is_old: bool


class BanditState(Struct, frozen=True, array_like=True):
    """What was learned of each action, and the random numbers that break ties."""

    seed: Annotated[str, Meta(pattern=r"^-?[0-9]{1,99}$")]
    optimism: Annotated[float, Meta(ge=0.0, le=MOST)]
    ties: RandomState
    models: dict[Arm, RegressionValues]


class _Learned(Struct, frozen=True, array_like=True):
    rewards: Events
    bandit: BanditState


class ActionLearner:
    """Deterministic: the same rewards in the same order give the same choices.

    ``seed`` breaks ties, ``optimism`` is the weight of uncertainty in favour of an action.
    """

    def __init__(self, seed: int = 0, optimism: float = OPTIMISM) -> None:
        self._policy: Any = TableBandit(seed, optimism)
        self.rewards = 0

    def choose(
        self, context: Context, arms: Collection[Arm], explorable: Collection[Arm] = ()
    ) -> Chosen:
        """The best of ``arms`` (not empty); those in ``explorable`` get an uncertainty bonus."""
        features = context.features()
        table = fixed_action(context.score, context.hops, arms)
        known = {arm: self._policy.worth(arm, table, features) for arm in arms}
        best = self._policy.pick(known, {})
        bonus = {arm: self._policy.unknown(arm, features) for arm in arms if arm in explorable}
        tried = self._policy.pick(known, bonus) if bonus else best
        return Chosen(tried, table, tried != best, tuple(known.items()))

    def learn(self, features: Mapping[str, float], arm: Arm, table: Arm, reward: float) -> None:
        """``arm`` was carried out, where the table says ``table``, and earned ``reward``."""
        self._policy.update(arm, dict(features), reward - said_by_table(arm, table))
        self.rewards += 1

    def snapshot(self) -> bytes:
        return FORMAT.pack(_Learned(self.rewards, self._policy.snapshot()))

    @staticmethod
    def restore(data: bytes) -> ActionLearner:
        """Restore exactly the state of `snapshot`. Raises ValueError for other bytes."""
        stored = FORMAT.unpack(data, _Learned)
        learner = ActionLearner()
        learner.rewards = stored.rewards
        try:
            learner._policy = TableBandit.restored(stored.bandit)
        except ValueError as problem:
            raise FORMAT.damaged(problem) from None
        return learner


class TableBandit(LinUCBDisjoint):
    """LinUCB whose models learn an addition to the table's value."""

    def __init__(self, seed: int, optimism: float) -> None:
        super().__init__(alpha=CAUTION, beta=1.0, seed=seed)
        self.optimism = optimism

    def snapshot(self) -> BanditState:
        learned: dict[Any, Any] = self._bayes_lin_regs
        models = {arm: regression_values(model) for arm, model in learned.items()}
        return BanditState(str(self.seed), self.optimism, random_state(self._rng), models)

    @staticmethod
    def restored(state: BanditState) -> TableBandit:
        """Raises ValueError for what no bandit has come to."""
        bandit = TableBandit(int(state.seed), state.optimism)
        bandit._rng = restored_random(state.ties)
        for arm, values in state.models.items():
            restore_regression(bandit._model(arm), values)
        return bandit

    def worth(self, arm: Arm, table: Arm, features: Mapping[str, float]) -> float:
        """The reward expected of ``arm``."""
        learned = float(self._model(arm).predict_one(features))  # numpy's, where it is warm
        return said_by_table(arm, table) + learned

    def unknown(self, arm: Arm, features: Mapping[str, float]) -> float:
        """The uncertainty bonus: standard deviations of the mean, not of one reward."""
        seen = self._model(arm).predict_one(features, with_dist=True)
        return self.optimism * sqrt(max(0.0, seen.sigma**2 - 1.0 / self.beta))

    def _model(self, arm: Arm) -> Any:
        return self._bayes_lin_regs[arm]

    def pick(self, worth: Mapping[Arm, float], bonus: Mapping[Arm, float]) -> Arm:
        """The highest; of equals, one by the seed."""
        totals = {arm: value + bonus.get(arm, 0.0) for arm, value in worth.items()}
        highest = max(totals.values())
        equal: Sequence[Arm] = [arm for arm, total in totals.items() if total == highest]
        return equal[0] if len(equal) == 1 else self._rng.choice(sorted(equal))


def said_by_table(arm: str, table: str) -> float:
    """The prior value of ``arm`` where the table chooses ``table``."""
    return FITTING - STEP * abs(STRENGTH[arm] - STRENGTH[table])


def regression_values(model: Any) -> RegressionValues:
    """Of a `river.linear_model.BayesianLinearRegression`."""
    return RegressionValues(
        list(model._idx),
        model._cap,
        model._ss_arr.tobytes(),
        model._ss_inv_arr.tobytes(),
        model._eta_arr.tobytes(),
        model._m_arr.tobytes(),
        model._m_dirty,
    )


def restore_regression(model: Any, values: RegressionValues) -> None:
    """Into a new one. Raises ValueError for arrays of another size, numbers out of bounds, and
    matrices that make a variance negative."""
    names, room = values.features, values.room
    if len(set(names)) != len(names) or len(names) > room:
        raise ValueError("a feature is there twice, or one has no row")
    covariance = _array(values.covariance, room, room)
    if room and np.linalg.eigvalsh((covariance + covariance.T) / 2.0)[0] < -ROUNDING:
        raise ValueError("a variance is negative")
    model._idx = {name: row for row, name in enumerate(names)}
    model._cap = room
    model._ss_arr = _array(values.precision, room, room)
    model._ss_inv_arr = np.asfortranarray(covariance)
    model._eta_arr = _array(values.natural_mean, room)
    # A mean that does not cover all features is that of before they came: it is worked out anew.
    known = len(values.mean) == 8 * room
    model._m_arr = _array(values.mean, room) if known else np.zeros(0)
    model._m_dirty = values.mean_is_old or not known


def _array(data: bytes, *shape: int) -> Array:
    if len(data) != 8 * np.prod(shape, dtype=int):
        raise ValueError("an array of another size")
    found = np.frombuffer(data, "<f8")
    if found.size and not np.abs(found).max() <= LARGEST:
        raise ValueError("a number out of bounds")
    return found.reshape(shape).copy()
