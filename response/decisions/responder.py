"""From an alert to a decision, or to the reason for none."""

from __future__ import annotations

import msgspec

from detection.alert import Alert
from response.audit.log import Audit
from response.decision import (
    ARMS,
    MACHINE,
    MAX_TTL,
    STRENGTH,
    ActionChoice,
    Arm,
    Decision,
    DecisionAction,
    Option,
    id_of,
)
from response.decisions.action_table import arms_of
from response.decisions.authorization import Authorization, Circumstances
from response.decisions.bandit import Chosen
from response.decisions.envelope import Judgement
from response.decisions.explain import why, would_release_if
from response.decisions.hearsay import hearsay_of
from response.decisions.host_addresses import KnownHost
from response.decisions.host_following import MAX_PROPOSALS, propose_port
from response.decisions.lifecycle import Lifecycle
from response.decisions.reward_ledger import RewardLedger
from response.decisions.rewards import RewardCase, habits_of
from response.ipc.messages import Command
from response.state.interfaces import StateStore, StoredAlert, SuspectDetector
from topology.records import FlowRecord


class Responder:
    """Chooses among what the envelope permits, and keeps alert, evidence, choice and decision."""

    def __init__(
        self,
        store: StateStore,
        audit: Audit,
        lifecycle: Lifecycle,
        reward_ledger: RewardLedger,
        detector: SuspectDetector,
        adapt: bool,
    ) -> None:
        self._store = store
        self._audit = audit
        self._lifecycle = lifecycle
        self._reward_ledger = reward_ledger
        self._detector = detector
        self._adapt = adapt

    def respond(
        self,
        alert: Alert,
        evidence: tuple[FlowRecord, ...],
        authorization: Authorization,
        hold: str | None,
        now: float,
    ) -> list[Command]:
        """Call in a transaction; send the commands after it has ended."""
        host = authorization.host_of(alert.host)
        held = None if host is None else self._lifecycle.open.on(host.subjects)
        if host is None or not self._adapt:
            reason = "automatic action is turned off" if not self._adapt else _stranger(alert)
            return self._only_alert(alert, reason, held, None, evidence)
        overridden_by = self._lifecycle.overridden_by(host.subjects, now)
        around = Circumstances(
            self._lifecycle.active(),
            hold,
            overridden_by,
            hearsay_of(evidence, authorization.envelope),
        )
        choice, judgement = self._choose(alert, host, authorization, around, held, now)
        if choice is None or choice.action == "alert" or judgement.outcome == "alert":
            return self._only_alert(
                alert, judgement.reason, held, choice, evidence, host, authorization
            )
        if held is not None and not _goes_further(choice.action, judgement, held):
            commands = self._go_on(held, authorization, host, around, now)
            reason = f"{held.id} ({held.state}) covers {held.target} already"
            return commands + self._only_alert(alert, reason, held, None, evidence)
        waiting = self._lifecycle.open.proposed_on(host.subjects)
        if judgement.outcome == "proposed" and waiting is not None and waiting is not held:
            if STRENGTH[choice.action] <= STRENGTH[waiting.action]:
                reason = f"{waiting.id} waits for a person already"
                return self._only_alert(alert, reason, waiting, None, evidence)
            held = waiting
        if judgement.outcome == "proposed" and len(self._lifecycle.open.proposed) >= MAX_PROPOSALS:
            reason = f"{MAX_PROPOSALS} proposals are waiting already"
            return self._only_alert(alert, reason, held, None, evidence)
        return self._decide(alert, host, choice, judgement, held, authorization, evidence, now)

    def note(self, alert: Alert, reason: str) -> None:
        """Keep an alert that is about no host, so that nothing can be decided about one."""
        with self._store.transaction():
            self._keep(StoredAlert(alert, "alert", reason), with_evidence=False)

    def _choose(
        self,
        alert: Alert,
        host: KnownHost,
        authorization: Authorization,
        around: Circumstances,
        held: Decision | None,
        now: float,
    ) -> tuple[ActionChoice | None, Judgement]:
        """The action to take, and how far the envelope lets it go."""
        envelope = authorization.envelope
        if envelope is None:
            return None, Judgement("alert", "the policy has no adaptive section")
        arms = arms_of(envelope.actions)
        judged: dict[Arm, Judgement] = {
            arm: authorization.judge(arm, host, around) for arm in ARMS if arm != "alert"
        }
        possible = [judged[arm] for arm in arms if arm != "alert"]
        if not possible:
            return None, Judgement("alert", "the policy names no action beyond alert")
        if all(each.outcome == "alert" for each in possible):
            return None, possible[0]
        context = authorization.context(alert, host, around, now)
        # Trying something out is for hosts that are not enforced, within what may be done at once.
        acting = [arm for arm, each in judged.items() if each.outcome == "active"]
        free = bool(acting) and authorization.may_explore(host)
        chosen = self._reward_ledger.learner.choose(
            context, arms, ("alert", *acting) if free else ()
        )
        choice = _as_choice(chosen, judged, tuple(context.features().items()))
        if choice.action == "alert":
            reason = f"alert is expected to be worth most here (the table says {choice.table})"
            if choice.table == "alert":
                reason = "no action that the policy allows fits this alert"
            return choice, Judgement("alert", reason)
        return choice, judged[chosen.action]

    def _decide(
        self,
        alert: Alert,
        host: KnownHost,
        choice: ActionChoice,
        judgement: Judgement,
        held: Decision | None,
        authorization: Authorization,
        evidence: tuple[FlowRecord, ...],
        now: float,
    ) -> list[Command]:
        number = self._store.next_decision_number()
        action: DecisionAction = choice.action  # type: ignore[assignment]
        extent = authorization.extent(host)
        replaces = held is not None and (held.state == "proposed" or judgement.outcome == "active")
        decision = Decision(
            id=id_of(number),
            number=number,
            ts=now,
            action=action,
            target=host.name,
            addresses=extent.addresses,
            scope=extent.scope,
            ports=extent.ports,
            state="active" if judgement.outcome == "active" else "proposed",
            ttl=judgement.ttl,
            alert=alert.id,
            why=why(alert),
            would_release_if=would_release_if(alert, id_of(number), judgement.ttl),
            by=MACHINE,
            supersedes=held.id if held is not None and replaces else None,
        )
        outcome, reason = judgement.outcome, judgement.reason
        stored = StoredAlert(alert, outcome, reason, decision.id, evidence, choice)
        self._keep(stored, with_evidence=True)
        self._open_reward(alert, host, choice, authorization, now, decision)
        if decision.supersedes is not None:
            self._reward_ledger.close(decision.supersedes, "", now, done=held.state == "active")  # type: ignore[union-attr]
        commands = self._lifecycle.begin(decision, judgement.reason)
        if extent.sharer is not None and decision.state == "active":
            commands += propose_port(self._lifecycle, self._store, decision, extent.sharer, now)
        return commands

    def _go_on(
        self,
        held: Decision,
        authorization: Authorization,
        host: KnownHost,
        around: Circumstances,
        now: float,
    ) -> list[Command]:
        """Restart the time of a decision whose host continues its behaviour."""
        if held.state != "active":
            return []
        judged = authorization.judge(held.action, host, around)
        if judged.outcome != "active":
            return []
        done = self._lifecycle.extend(held.id, min(judged.ttl, MAX_TTL), MACHINE, now, "it goes on")
        return list(done.commands)

    def _only_alert(
        self,
        alert: Alert,
        reason: str,
        held: Decision | None,
        choice: ActionChoice | None,
        evidence: tuple[FlowRecord, ...],
        host: KnownHost | None = None,
        authorization: Authorization | None = None,
    ) -> list[Command]:
        if choice is not None and choice.action != "alert":
            choice = None
        named = None if held is None else held.id
        self._keep(StoredAlert(alert, "alert", reason, named, evidence, choice), False)
        if choice is not None and host is not None and authorization is not None and held is None:
            self._open_reward(alert, host, choice, authorization, alert.ts, None)
        return []

    def _open_reward(
        self,
        alert: Alert,
        host: KnownHost,
        choice: ActionChoice,
        authorization: Authorization,
        now: float,
        decision: Decision | None,
    ) -> None:
        if self._reward_ledger.full:
            return
        envelope = authorization.envelope
        ttl = 0 if envelope is None else envelope.ttl
        self._reward_ledger.open(
            RewardCase(
                id=alert.id if decision is None else decision.id,
                ts=now,
                host=host.name,
                addresses=host.addresses,
                action=choice.action,
                table=choice.table,
                features=choice.context,
                pairs=authorization.reach.pairs_left(host, "alert", now),
                pairs_left=authorization.reach.pairs_left(host, choice.action, now),
                habits=habits_of(self._detector.graph, host, alert),
                decision=None if decision is None else decision.id,
                until=now + ttl if decision is None else None,
            )
        )

    def _keep(self, stored: StoredAlert, with_evidence: bool) -> None:
        self._store.save_alert(stored)
        data = {
            "alert": msgspec.to_builtins(stored.alert),
            "decision": stored.decision,
            "outcome": stored.outcome,
            "reason": stored.reason,
        }
        if stored.choice is not None:
            data["choice"] = msgspec.to_builtins(stored.choice)
        if with_evidence:
            data["evidence"] = [record.known() for record in stored.evidence]
        self._audit.append(stored.alert.ts, "alert", data)


def _goes_further(action: str, judgement: Judgement, held: Decision) -> bool:
    """Whether a decision would do more about a host than the one that is there."""
    if STRENGTH[action] > STRENGTH[held.action]:
        return True
    acts_now = judgement.outcome == "active" and held.state == "proposed"
    return acts_now and action == held.action


def _stranger(alert: Alert) -> str:
    return f"{alert.host} is no known host of this network"


def _as_choice(
    chosen: Chosen, judged: dict[Arm, Judgement], context: tuple[tuple[str, float], ...]
) -> ActionChoice:
    values = dict(chosen.values)
    options = tuple(
        Option(arm, judged[arm].outcome, judged[arm].reason, values.get(arm)) for arm in judged
    )
    alert = Option("alert", "alert", "always possible", values["alert"])
    return ActionChoice(chosen.action, chosen.table, chosen.explored, (alert, *options), context)
