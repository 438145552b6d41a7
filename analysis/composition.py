"""Composition of the analysis from a state directory and a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.pipeline import Analysis
from detection.detector import Detector
from detection.models.champion import Champion
from policies.language.reader import load_policy
from policies.model import Policy
from response.audit.log import Audit
from response.audit.signing import signer_of
from response.decision import MACHINE
from response.decisions.bandit import ActionLearner
from response.decisions.reward_ledger import MODEL as LEDGER_MODEL
from response.ipc.messages import PolicyApplied
from response.state.model_versions import NEWEST, ModelVersions
from response.state.policy_versions import Versions
from response.state.store import Store


@dataclass(frozen=True, slots=True)
class Composed:
    """``model`` is ``fresh`` or ``restored``; ``problem`` says why what was learned is not used;
    ``version`` is the policy's number among those kept, 0 where it is none."""

    analysis: Analysis
    policy: Policy
    store: Store
    audit: Audit
    model: str
    problem: str | None = None
    version: int = 0


class PolicyFollower:
    """Tracks the analysis's policy, and reads the one that the controller applied."""

    def __init__(self, state: Path, version: int = 0) -> None:
        """``version`` is the one that the analysis begins with."""
        self._versions = Versions(state)
        self._begun = version
        self._digest = ""

    def follow(self, message: PolicyApplied) -> Policy | None:
        """The policy to use from now on; None when it is the one in use, or was not applied.

        The version that was kept is read, whatever has become of the files since. Raises
        PolicyError, VersionError or OSError when it cannot be; the one before stays in use.
        """
        if message.problem is not None or message.digest == self._digest:
            return None
        begun, self._begun = self._begun, 0
        if message.version and message.version == begun:
            self._digest = message.digest
            return None
        if message.version:
            policy = self._versions.version(message.version).policy()
        else:
            policy = load_policy(message.files)
        self._digest = message.digest
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
    current = Versions(state).current()
    policy = load_policy(policy_paths) if current is None else current[1]
    store = Store.open(state, now)
    detector, learner, model, problem = _learned(store, seed, now)
    champion = Champion(detector)
    audit = Audit(store, signer_of(state, draw), state)
    if problem is not None:
        audit.append(now, "model", {"what": "not restored", "by": MACHINE, "note": problem})
    analysis = Analysis(
        policy,
        champion,
        store,
        audit,
        now,
        adapt=adapt,
        learner=learner,
        models=ModelVersions(store, audit, champion, problem),
    )
    version = 0 if current is None else current[0].number
    return Composed(analysis, policy, store, audit, model, problem, version)


def _learned(
    store: Store, seed: int, now: float
) -> tuple[Detector, ActionLearner, str, str | None]:
    """Detector and action learner as they were kept, ``fresh`` or ``restored`` for the former,
    and what could not be restored.

    A fresh start is stored at once, so that the next start restores it; older snapshots stay for a
    return to the version that wrote them.
    """
    detector, learner, model = Detector(seed=seed), ActionLearner(seed), "fresh"
    problems = []
    kept = store.latest_snapshot(NEWEST)
    if kept is not None:
        try:
            detector, model = Detector.restore(kept[1]), "restored"
        except ValueError as error:
            problems.append(f"the detector starts to learn anew: {error}")
            store.save_snapshot(now, NEWEST, detector.snapshot())
    kept = store.latest_snapshot(LEDGER_MODEL)
    if kept is not None:
        try:
            learner = ActionLearner.restore(kept[1])
        except ValueError as error:
            problems.append(f"actions are chosen by the fixed table again: {error}")
            store.save_snapshot(now, LEDGER_MODEL, learner.snapshot())
    return detector, learner, model, "; ".join(problems) or None
