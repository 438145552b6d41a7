"""The reward ledger: the results of each choice of an action.

A case is opened when the learner chose an action for an alert, and closed when that action
ends (a decision's end, or for ``alert`` the time that a decision would have had). In between it
counts the suspect's safe traffic: connections that were a habit before the alert, carried or
stopped. Closing it gives a reward, which goes into the audit and into the learner.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from response.audit.log import Audit
from response.decisions.bandit import ActionLearner
from response.decisions.rewards import Habit, Review, RewardCase, entry_of, reward_of
from response.state.interfaces import StateStore
from topology.records import FlowRecord

MAX_CASES = 1_000  # open at once; a flood beyond it teaches nothing
MODEL = "actions"
"""Under which name the store keeps what was learned."""

_CASE = msgspec.json.Decoder(RewardCase)


class RewardLedger:
    """The open cases; the store has all of them, but for counts since the last `write`."""

    def __init__(self, store: StateStore, audit: Audit, learner: ActionLearner) -> None:
        self._store = store
        self._audit = audit
        self.learner = learner
        self._pending: dict[str, RewardCase] = {}
        self._by_decision: dict[str, str] = {}
        self._watched: dict[Habit, set[str]] = {}
        self._changed: set[str] = set()
        for data in store.pending_rewards():
            self._take(_CASE.decode(data))

    @property
    def full(self) -> bool:
        return len(self._pending) >= MAX_CASES

    def open(self, case: RewardCase) -> None:
        """Open a case, in the caller's transaction; dropped if the ledger is full."""
        if not self.full and case.id not in self._pending:
            self._store.save_pending_reward(case.id, msgspec.json.encode(case).decode())
            self._take(case)

    def see(self, record: FlowRecord) -> None:
        """Count a new connection if it is a habit of an open case's host."""
        if record.phase == "end" or not self._watched:
            return
        stopped = record.verdict == "deny" or record.state == "denied"
        for case_id in self._watched.get((record.src_ip, record.dst_ip, record.service), ()):
            case = self._pending[case_id]
            more = (
                replace(case, stopped=case.stopped + 1)
                if stopped
                else replace(case, carried=case.carried + 1)
            )
            self._pending[case_id] = more
            self._changed.add(case_id)

    def write(self, now: float) -> None:
        """Store the counts, and close expired cases of `alert`."""
        due = [c for c in self._pending.values() if c.until is not None and now >= c.until]
        if not due and not self._changed:
            return
        with self._store.transaction():
            for case in due:
                self._close(case, "", now)
            for case_id in self._changed:
                self._store.save_pending_reward(
                    case_id, msgspec.json.encode(self._pending[case_id]).decode()
                )
            self._changed.clear()
            if due:
                self._keep_learner(now)

    def close(self, decision_id: str, review: Review, now: float, done: bool = True) -> None:
        """A decision ended: reward its choice. ``done`` False: it was never carried out and nobody
        reviewed it, so nothing can be learned. In the caller's transaction, where one is open."""
        case_id = self._by_decision.get(decision_id)
        if case_id is None:
            return
        with self._store.transaction():
            self._close(self._pending[case_id], review, now, done)
            if done:
                self._keep_learner(now)

    def _close(self, case: RewardCase, review: Review, now: float, done: bool = True) -> None:
        self._forget(case)
        self._store.save_pending_reward(case.id, None)
        if not done:
            return
        reward = reward_of(case, review)
        self.learner.learn(dict(case.features), case.action, case.table, reward.value)
        self._audit.append(now, "reward", entry_of(case, reward, review))

    def _keep_learner(self, now: float) -> None:
        self._store.save_snapshot(now, MODEL, self.learner.snapshot())

    def _take(self, case: RewardCase) -> None:
        self._pending[case.id] = case
        if case.decision is not None:
            self._by_decision[case.decision] = case.id
        for habit in case.habits:
            self._watched.setdefault(habit, set()).add(case.id)

    def _forget(self, case: RewardCase) -> None:
        del self._pending[case.id]
        self._changed.discard(case.id)
        if case.decision is not None:
            self._by_decision.pop(case.decision, None)
        for habit in case.habits:
            watching = self._watched[habit]
            watching.discard(case.id)
            if not watching:
                del self._watched[habit]
