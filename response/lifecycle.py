"""A decision's life: proposed → active → released | expired | rejected.

Every change is on disk, with its audit entry, before the command that carries
it out is returned, so a crash at any moment leaves the store ahead of the
switches and never behind them. Asking for the same thing twice does nothing
the second time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from response.audit import Audit, Kind
from response.decisions import Decision
from response.interfaces import StateStore
from response.messages import Command, Enforce, Release, RulesConfirmed

MACHINE = "septum"
"""``by`` of what no person did."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a person: was it done, one line, and what the controller must do now."""

    ok: bool
    text: str
    commands: tuple[Command, ...] = ()


class Lifecycle:
    """All open decisions (active and proposed), and every change of one."""

    def __init__(self, store: StateStore, audit: Audit, now: float) -> None:
        self._store = store
        self._audit = audit
        self._open: dict[str, Decision] = {}
        self._holder: dict[str, Decision] = {}  # of each address under an open decision
        self._undone: dict[str, Decision] = {}
        for decision in (*store.decisions("active"), *store.decisions("proposed")):
            self._index(decision)
        for decision in store.undone_decisions(now):
            self._remember_undo(decision)

    # -- what holds ------------------------------------------------------------

    def active(self) -> tuple[Decision, ...]:
        return tuple(d for d in self._open.values() if d.state == "active")

    def proposed(self) -> tuple[Decision, ...]:
        return tuple(d for d in self._open.values() if d.state == "proposed")

    def open_on(self, addresses: Iterable[str]) -> Decision | None:
        """The active, else the proposed decision that covers one of these addresses."""
        found = [self._holder[a] for a in addresses if a in self._holder]
        return min(found, key=lambda d: d.state, default=None)

    def undone_by(self, addresses: Iterable[str], now: float) -> str | None:
        """Who released or rejected a decision on this host whose time would still run."""
        for address in addresses:
            decision = self._undone.get(address)
            if decision is not None and now < decision.expires:
                return decision.by
        return None

    # -- how it begins ---------------------------------------------------------

    def begin(self, decision: Decision, reason: str) -> list[Command]:
        """Keep a new decision; to be called in the transaction that keeps its evidence.

        Commands may leave only after that transaction has ended.
        """
        self._change(decision, decision.ts, "decision", {"reason": reason, **_summary(decision)})
        return self._enforce(decision, decision.ts) if decision.state == "active" else []

    def approve(self, decision_id: str, by: str, now: float, forbidden: str | None = None) -> Done:
        """A person turns a proposal into an active decision, whose time starts now.

        ``forbidden`` says why not even a person may, where that is so.
        """
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "proposed":
            return _cannot(decision_id, decision, "approve", "active")
        if forbidden is not None:
            return Done(False, f"{decision_id}: not approved: {forbidden}")
        if now >= decision.expires:
            return Done(False, f"{decision_id}: not approved: its time is over")
        approved = replace(decision, state="active", ts=now, by=by)
        with self._store.transaction():
            self._change(approved, now, "approved", {"by": by})
            commands = self._enforce(approved, now)
        return Done(True, f"{decision_id}: approved; {_what(approved)}", tuple(commands))

    # -- how it goes on --------------------------------------------------------

    def extend(self, decision_id: str, addresses: Iterable[str], now: float) -> list[Command]:
        """The host of an active decision took more addresses: cover them, no longer than it."""
        decision = self._open[decision_id]
        more = tuple(a for a in addresses if a not in decision.addresses)
        if not more:
            return []
        # No rule is confirmed for the new whole until the switches say so again.
        extended = replace(decision, addresses=(*decision.addresses, *more), rules=())
        with self._store.transaction():
            self._change(extended, now, "extended", {"addresses": list(more)})
            return self._enforce(extended, now)

    def confirm(self, message: RulesConfirmed) -> None:
        """A switch acknowledged rules of a decision, put there or taken away."""
        decision = self._open.get(message.decision) or self._store.decision(message.decision)
        if decision is None:
            return
        if message.removed:
            rules = tuple(rule for rule in decision.rules if rule not in message.rules)
        else:
            new = (rule for rule in message.rules if rule not in decision.rules)
            rules = (*decision.rules, *new)
        listed = [[rule.switch, rule.table, rule.cookie] for rule in message.rules]
        kind: Kind = "removed" if message.removed else "confirmed"
        with self._store.transaction():
            self._change(replace(decision, rules=rules), message.ts, kind, {"rules": listed})

    # -- how it ends -----------------------------------------------------------

    def reject(self, decision_id: str, by: str, now: float) -> Done:
        """A person declines a proposal."""
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "proposed":
            return _cannot(decision_id, decision, "reject", "rejected")
        rejected = replace(decision, state="rejected", by=by)
        with self._store.transaction():
            self._change(rejected, now, "rejected", {"by": by})
        self._remember_undo(rejected)
        return Done(True, f"{decision_id}: rejected")

    def release(self, decision_id: str, by: str, now: float, reason: str = "") -> Done:
        """End an active decision before its time; its rules are taken away exactly."""
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "active":
            return _cannot(decision_id, decision, "release", "released")
        released = replace(decision, state="released", by=by)
        why = reason or f"released by {by}"
        with self._store.transaction():
            self._change(released, now, "released", {"by": by, "reason": why})
            self._audit.append(now, "withdraw", {"decision": decision_id})
        self._remember_undo(released)
        text = f"{decision_id}: released; {released.target} is free again"
        return Done(True, text, (Release(released, why),))

    def expire(self, now: float) -> list[tuple[Decision, Release | None]]:
        """End what has run out. The switch has ended the rules by its own timer; the
        command lets the controller forget them."""
        ended: list[tuple[Decision, Release | None]] = []
        due = [d for d in self._open.values() if now >= d.expires]
        if due:
            with self._store.transaction():
                for decision in due:
                    expired = replace(decision, state="expired")
                    self._change(expired, now, "expired", {"was": decision.state})
                    was_active = decision.state == "active"
                    ended.append((expired, Release(expired, "expired") if was_active else None))
        self._undone = {a: d for a, d in self._undone.items() if now < d.expires}
        return ended

    def resent(self, now: float) -> list[Command]:
        """What a controller may have missed when this process last ended: decisions that
        no switch has confirmed, and releases whose rules a switch might still carry."""
        commands: list[Command] = [
            Enforce(d) for d in self.active() if not d.rules and now < d.expires
        ]
        for decision in self._store.undone_decisions(now):
            if decision.state == "released":
                commands.append(Release(decision, f"released by {decision.by}"))
        return commands

    # -- the one way to change a decision --------------------------------------

    def _change(self, decision: Decision, now: float, kind: Kind, data: dict[str, Any]) -> None:
        self._store.save_decision(decision)
        self._audit.append(now, kind, {"decision": decision.id, **data})
        self._index(decision)

    def _index(self, decision: Decision) -> None:
        if decision.state in ("active", "proposed"):
            self._open[decision.id] = decision
            for address in decision.addresses:
                holder = self._holder.get(address)
                if holder is None or holder.state != "active" or holder.id == decision.id:
                    self._holder[address] = decision
        elif self._open.pop(decision.id, None) is not None:
            for address in decision.addresses:
                if self._holder[address].id == decision.id:
                    del self._holder[address]

    def _enforce(self, decision: Decision, now: float) -> list[Command]:
        self._audit.append(
            now,
            "enforce",
            {
                "decision": decision.id,
                "number": decision.number,
                "action": decision.action,
                "addresses": list(decision.addresses),
                "expires": decision.expires,
            },
        )
        return [Enforce(decision)]

    def _remember_undo(self, decision: Decision) -> None:
        if decision.by != MACHINE:
            self._undone.update(dict.fromkeys(decision.addresses, decision))


def _cannot(decision_id: str, decision: Decision | None, verb: str, wished: str) -> Done:
    """The answer when a decision is not in the state that ``verb`` needs."""
    if decision is None:
        return Done(False, f"{decision_id}: no such decision")
    if decision.state == wished:
        return Done(True, f"{decision_id}: is {wished} already")
    return Done(False, f"{decision_id}: is {decision.state}; cannot {verb} it")


def _what(decision: Decision) -> str:
    return f"{decision.action} of {decision.target} for {decision.ttl} s"


def _summary(decision: Decision) -> dict[str, Any]:
    return {
        "action": decision.action,
        "addresses": list(decision.addresses),
        "alert": decision.alert,
        "by": decision.by,
        "number": decision.number,
        "scope": decision.scope,
        "state": decision.state,
        "target": decision.target,
        "ttl": decision.ttl,
        "why": decision.why,
    }
