"""Putting the analysis together from a state directory and a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detection.detector import Detector
from policies.membership import Membership
from policies.model import Policy
from policies.reader import load_policy
from response.analysis import Analysis
from response.audit import Audit
from response.bandit import ActionLearner
from response.ledger import MODEL as LEDGER_MODEL
from response.messages import PolicyApplied
from response.signing import signer_of
from response.store import Store


@dataclass(frozen=True, slots=True)
class Composed:
    """``model`` is ``fresh`` or ``restored``; ``problem`` says why what was learned is not used."""

    analysis: Analysis
    policy: Policy
    store: Store
    audit: Audit
    model: str
    problem: str | None = None


class PolicyFollower:
    """Knows which policy the analysis goes by, and reads the one that the controller applied."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._files, self._digest = tuple(paths), ""

    def follow(self, message: PolicyApplied) -> Policy | None:
        """The policy to use from now on; None when it is the one in use, or was not applied.

        Raises PolicyError or OSError when it cannot be read; the one before stays in use.
        """
        if message.problem is not None:
            return None
        same = message.files == self._files and self._digest in ("", message.digest)
        policy = None if same else load_policy(message.files)
        self._files, self._digest = message.files, message.digest
        return policy


def compose(
    state: Path,
    policy_paths: Sequence[str],
    adapt: bool,
    seed: int,
    now: float,
    draw: Callable[[int], bytes],
) -> Composed:
    """The analysis with its store, learners and policy; it goes on with what it learned before.

    ``draw`` gives the random bytes of the key that signs the audit, where there is none yet.
    Raises PolicyError for a policy that cannot be used, StoreError or KeyProblem for a
    state directory that cannot.
    """
    policy = load_policy(policy_paths)
    store = Store.open(state, now)
    detector, model, problem = Detector(seed=seed), "fresh", None
    kept = store.latest_snapshot("detector")
    if kept is not None:
        try:
            detector, model = Detector.restore(kept[1]), "restored"
        except ValueError as error:
            problem = f"starts to learn anew: {error}"
    learner = ActionLearner(seed)
    chosen_before = store.latest_snapshot(LEDGER_MODEL)
    if chosen_before is not None:
        try:
            learner = ActionLearner.restore(chosen_before[1])
        except ValueError as error:
            problem = f"chooses actions by the fixed table again: {error}"
    audit = Audit(store, signer_of(state, draw), state)
    analysis = Analysis(
        policy, Membership, detector, store, audit, now, adapt=adapt, learner=learner
    )
    return Composed(analysis, policy, store, audit, model, problem)
