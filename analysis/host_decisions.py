"""What is decided about hosts, and what of it holds, as the store has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from detection.alert import Alert
from policies.model import Policy
from policies.semantics.host_addresses import own_networks
from response.audit.log import Audit
from response.decision import MACHINE, Port
from response.decisions.answers import Done
from response.decisions.authorization import Authorization
from response.decisions.bandit import ActionLearner
from response.decisions.host_following import follow_hosts
from response.decisions.lifecycle import Lifecycle
from response.decisions.responder import Responder
from response.decisions.reward_ledger import RewardLedger
from response.decisions.rewards import review_of
from response.ipc import messages as m
from response.state.interfaces import StateStore, SuspectDetector
from topology.records import Binding, FlowRecord


class HostDecisions:
    """Every method that returns commands has stored them. After a `StoreError`, call `load`: then
    nothing holds here that is not stored."""

    def __init__(
        self,
        policy: Policy,
        detector: SuspectDetector,
        store: StateStore,
        audit: Audit,
        adapt: bool,
        learner: ActionLearner,
        now: float,
    ) -> None:
        self._detector, self._store, self._audit, self._adapt = detector, store, audit, adapt
        self._learner = learner
        self._suspended: set[str] = set()
        self.authorize(policy, store.bindings())
        self.load(now)

    def load(self, now: float) -> None:
        """Take up decisions and reward cases as they are stored."""
        self.lifecycle = Lifecycle(self._store, self._audit, now)
        self.ledger = RewardLedger(self._store, self._audit, self._learner)
        self._responder = Responder(
            self._store, self._audit, self.lifecycle, self.ledger, self._detector, self._adapt
        )
        active = self.lifecycle.active()
        covered = {address for decision in active for address in decision.addresses}
        for decision in active:
            covered.update(self._authorization.identities(decision.taken))
        for address in self._suspended - covered:
            self._detector.resume(address)
        self._suspended &= covered
        self._update_learning([m.Enforce(decision) for decision in active])

    def authorize(self, policy: Policy, bindings: tuple[Binding, ...]) -> None:
        """Go by another policy, or other bindings, from now on."""
        self.policy, self.bindings = policy, bindings
        self._authorization = Authorization(policy, bindings)
        self._detector.include(own_networks(policy, bindings))

    def host_names(self) -> Mapping[str, Sequence[str]]:
        return self._authorization.names()

    def restated(self, now: float) -> list[m.Command]:
        """What a controller may have missed."""
        return self.lifecycle.resent(now)

    def respond(
        self, alert: Alert, evidence: tuple[FlowRecord, ...], hold: str | None, now: float
    ) -> list[m.Command]:
        """Call it in a transaction."""
        commands = self._responder.respond(alert, evidence, self._authorization, hold, now)
        self._update_learning(commands)
        return commands

    def note(self, alert: Alert, reason: str) -> None:
        """Record an alert that cannot become a decision."""
        self._responder.note(alert, reason)

    def end_expired(self, hold: str | None, now: float) -> list[m.Command]:
        commands: list[m.Command] = []
        for decision, command in self.lifecycle.expire(now):
            self.ledger.close(decision.id, review_of(decision), now, done=command is not None)
            if command is not None:
                commands.append(command)
        self._update_learning(commands)
        if commands:  # an address that two hosts had may be under the other one's decision now
            commands += self.update_addresses(hold, now)
        return commands

    def end_forbidden(self, hold: str | None, now: float) -> list[m.Command]:
        """Release decisions that the policy does not permit."""
        commands: list[m.Command] = []
        for decision in self.lifecycle.active():
            reason = self._authorization.forbids(decision)
            if reason is not None:
                done = self.lifecycle.release(
                    decision.id, MACHINE, now, f"policy changed: {reason}"
                )
                self.ledger.close(decision.id, "", now)
                commands.extend(done.commands)
        self._update_learning(commands)
        return commands + self.update_addresses(hold, now)

    def catch_up(self, hold: str | None, now: float) -> list[m.Command]:
        """End what has expired or is not permitted any more, and say again what holds: an end that
        was stored may not have been told to the controller."""
        ended = [*self.end_expired(hold, now), *self.end_forbidden(hold, now)]
        told = {command.decision.id for command in ended}
        return ended + [each for each in self.restated(now) if each.decision.id not in told]

    def update_addresses(self, hold: str | None, now: float) -> list[m.Command]:
        """Decisions go with the host; nothing is learned from what is on a port that one takes."""
        held = hold is not None
        commands = follow_hosts(self.lifecycle, self._authorization, self._store, held, now)
        self._update_learning(commands)
        for decision in self.lifecycle.active():
            self._suspend(self._authorization.identities(decision.taken))
        return commands

    def approve(self, decision_id: str, by: str, now: float) -> Done:
        proposal = self._store.decision(decision_id)
        forbidden = own = None
        whole: tuple[Port, ...] = ()
        if proposal is not None:
            known = self._authorization
            forbidden = known.forbids(proposal) or known.protected_on(proposal.taken)
            own = known.still_of(proposal)
            if proposal.scope == "host":
                whole = known.ports_of(own)
        done = self.lifecycle.approve(decision_id, by, now, forbidden, own, whole)
        self._update_learning(done.commands)
        for command in done.commands:
            if isinstance(command, m.Release):
                self.ledger.close(command.decision.id, "", now)
        return done

    def reject(self, decision_id: str, by: str, now: float) -> Done:
        with self._store.transaction():
            done = self.lifecycle.reject(decision_id, by, now)
            if done.ok:
                self.ledger.close(decision_id, "undone", now)
        return done

    def release(self, decision_id: str, by: str, now: float, note: str, hold: str | None) -> Done:
        reason = f"released by {by}" + (f": {note}" if note else "")
        with self._store.transaction():
            done = self.lifecycle.release(decision_id, by, now, reason)
            for command in done.commands:
                self.ledger.close(decision_id, review_of(command.decision), now)
        self._update_learning(done.commands)
        return replace(done, commands=(*done.commands, *self.update_addresses(hold, now)))

    def _update_learning(self, commands: Iterable[m.Command]) -> None:
        """Exclude hosts under a decision from learning until it ends."""
        for command in commands:
            if isinstance(command, m.Release):
                decision = command.decision
                here = self._authorization.identities(decision.taken)
                for address in (*decision.addresses, *here):
                    self._detector.resume(address)
                    self._suspended.discard(address)
        for command in commands:
            if isinstance(command, m.Enforce):
                self._suspend(command.decision.addresses)

    def _suspend(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._detector.suspend(address)
            self._suspended.add(address)
