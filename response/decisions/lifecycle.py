"""A decision's life: proposed → active → released | expired | rejected.

Every change is on disk, with its audit entry, before the command that carries
it out is returned, so a crash at any moment leaves the store ahead of the
switches and never behind them. Asking for the same thing twice does nothing
the second time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from response.audit.log import Audit, Kind
from response.decision import MACHINE, MAX_TTL, Decision, DecisionState, Port, id_of, places
from response.decisions.answers import Done, cannot
from response.decisions.open_decisions import OPEN_STATES, OpenDecisions, Overrides
from response.ipc.messages import Command, Enforce, Release, RulesConfirmed
from response.state.interfaces import StateStore

LEAST_MORE = 10.0
"""Seconds by which an extension must move the end to be one."""


class Lifecycle:
    """Every change of a decision, and the ones that are `open`."""

    def __init__(self, store: StateStore, audit: Audit, now: float) -> None:
        self._store = store
        self._audit = audit
        self.open = OpenDecisions()
        self._overrides = Overrides(store.overridden_decisions(now))
        # Switches that have a decision's rules, and have yet to say so of its newest form.
        self._renewing: dict[str, set[int]] = {}
        for state in OPEN_STATES:
            for decision in store.decisions(state):
                self.open.update(decision)

    def active(self) -> tuple[Decision, ...]:
        return tuple(self.open.active.values())

    def overridden_by(self, subjects: Iterable[str | Port], now: float) -> str | None:
        """Who released or rejected a decision on this host whose time has not run out."""
        return self._overrides.by(subjects, now)

    # -- how it begins ---------------------------------------------------------

    def begin(self, decision: Decision, reason: str) -> list[Command]:
        """Keep a new decision; to be called in the transaction that keeps its evidence.

        Commands may leave only after that transaction has ended. A decision that
        ``supersedes`` another one, and holds, ends it.
        """
        now = decision.ts
        if decision.state == "active":
            decision = self._free(decision)
        self._change(decision, now, "decision", {"reason": reason, **_summary(decision)})
        if decision.state != "active":
            return []
        return self._enforce(decision, now) + self._end_superseded(decision, now)

    def approve(
        self,
        decision_id: str,
        by: str,
        now: float,
        forbidden: str | None = None,
        addresses: tuple[str, ...] | None = None,
        whole: tuple[Port, ...] = (),
    ) -> Done:
        """Approve a proposal: it becomes active, and its time starts now. It replaces any active
        decision on the same host. ``forbidden`` says why not even a person may, where that is so;
        ``addresses`` which of the proposal's are still the host's (None: all), ``whole`` the ports
        that it takes whole although the proposal did not name them.
        """
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "proposed":
            return cannot(decision_id, decision, "approve", "active")
        if forbidden is not None:
            return Done(False, f"{decision_id}: not approved: {forbidden}")
        if now >= decision.expires:
            return Done(False, f"{decision_id}: not approved: its time is over")
        if addresses is not None:
            decision = replace(decision, addresses=addresses)
        if whole:
            decision = replace(decision, scope="port", ports=whole)
        if not decision.addresses:
            return Done(False, f"{decision_id}: not approved: its addresses are of other hosts now")
        held = self.open.on(decision.subjects)
        before = None if held is None or held.state != "active" else held.id
        approved = replace(
            decision, state="active", ts=now, until=None, by=by, approved_by=by, supersedes=before
        )
        approved = self._free(approved)
        with self._store.transaction():
            self._change(approved, now, "approved", {"by": by, **_ports(approved)})
            commands = self._enforce(approved, now) + self._end_superseded(approved, now)
        return Done(True, f"{decision_id}: approved; {_what(approved)}", tuple(commands))

    # -- how it goes on --------------------------------------------------------

    def cover(
        self, decision_id: str, addresses: Iterable[str], now: float, ports: Iterable[Port] = ()
    ) -> list[Command]:
        """The host of an active decision took more addresses, or went to other ports: cover them,
        no longer than it."""
        decision = self.open.active[decision_id]
        fresh = (each for each in addresses if each not in decision.addresses)
        more = self.open.free(fresh, decision)
        there = self.open.free((each for each in ports if each not in decision.ports), decision)
        if not more and not there:
            return []
        wider = replace(
            decision, addresses=(*decision.addresses, *more), ports=(*decision.ports, *there)
        )
        with self._store.transaction():
            self._renewing[wider.id] = {rule.switch for rule in wider.rules}
            data = {"addresses": list(more), **({"ports": _listed(there)} if there else {})}
            self._change(wider, now, "extended", data)
            return self._enforce(wider, now)

    def narrow(
        self,
        decision_id: str,
        addresses: tuple[str, ...],
        number: int,
        now: float,
        reason: str,
        *,
        whole: bool = True,
    ) -> list[Command]:
        """Block other addresses, or (not ``whole``) no longer all of its ports: by a decision of
        its own, for no longer, so that the undo of the first one is exact."""
        decision = self.open.active[decision_id]
        if not addresses:
            return list(self.release(decision_id, MACHINE, now, reason).commands)
        made = id_of(number)
        smaller = replace(
            decision, id=made, number=number, addresses=addresses, rules=(), ts=now,
            until=decision.expires, supersedes=decision_id,
            scope=decision.scope if whole else "host",
            would_release_if=decision.would_release_if.replace(decision_id, made),
        )  # fmt: skip
        with self._store.transaction():
            return self.begin(smaller, reason)

    def extend(self, decision_id: str, seconds: int, by: str, now: float, why: str = "") -> Done:
        """Extend an active decision to ``seconds`` from now, if it would have ended earlier.

        The switch's timer allows `MAX_TTL` seconds at a time.
        """
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "active" or now >= decision.expires:
            return cannot(decision_id, decision, "extend", "")
        if not 0 < seconds <= MAX_TTL:
            return Done(False, f"{decision_id}: not extended: 1 to {MAX_TTL} s at a time")
        until = now + seconds
        if until < decision.expires + LEAST_MORE:
            left = decision.expires - now
            return Done(True, f"{decision_id}: holds for {left:.0f} s already")
        longer = replace(decision, until=until)
        with self._store.transaction():
            self._renewing[longer.id] = {rule.switch for rule in longer.rules}
            self._change(longer, now, "extended", {"by": by, "until": until, "reason": why})
            commands = self._enforce(longer, now)
        return Done(True, f"{decision_id}: holds for {seconds} s from now", tuple(commands))

    def confirm(self, message: RulesConfirmed) -> None:
        """A switch acknowledged rules of a decision, put there or taken away.

        A repeated confirmation is not recorded, except once after each extension.
        """
        decision = self._store.decision(message.decision)
        if decision is None:
            return
        if message.removed:
            changed = tuple(rule for rule in message.rules if rule in decision.rules)
            rules = tuple(rule for rule in decision.rules if rule not in changed)
        else:
            changed = tuple(rule for rule in message.rules if rule not in decision.rules)
            rules = (*decision.rules, *changed)
        renewing = self._renewing.get(decision.id, set())
        if not changed and not message.removed:
            changed = tuple(rule for rule in message.rules if rule.switch in renewing)
        renewing -= {rule.switch for rule in message.rules}
        if not changed:
            return
        listed = [[rule.switch, rule.table, rule.cookie] for rule in changed]
        kind: Kind = "removed" if message.removed else "confirmed"
        with self._store.transaction():
            self._change(replace(decision, rules=rules), message.ts, kind, {"rules": listed})

    # -- how it ends -----------------------------------------------------------

    def reject(self, decision_id: str, by: str, now: float, reason: str = "") -> Done:
        """Reject a proposal (by a person, or withdrawn by the machine)."""
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "proposed":
            return cannot(decision_id, decision, "reject", "rejected")
        rejected = replace(decision, state="rejected", by=by)
        why = reason or f"rejected by {by}"
        with self._store.transaction():
            self._change(rejected, now, "rejected", {"by": by, "reason": why})
        self._overrides.remember(rejected)
        return Done(True, f"{decision_id}: rejected")

    def release(self, decision_id: str, by: str, now: float, reason: str = "") -> Done:
        """End an active decision before its time; its rules are taken away exactly."""
        decision = self._store.decision(decision_id)
        if decision is None or decision.state != "active":
            return cannot(decision_id, decision, "release", "released")
        released = replace(decision, state="released", by=by)
        why = reason or f"released by {by}"
        with self._store.transaction():
            self._withdraw(released, now, {"by": by, "reason": why})
        self._overrides.remember(released)
        text = f"{decision_id}: released; {released.target} is free again"
        return Done(True, text, (Release(released, why),))

    def expire(self, now: float) -> list[tuple[Decision, Release | None]]:
        """End what has run out. The switch has ended the rules by its own timer; the
        command lets the controller forget them."""
        ended: list[tuple[Decision, Release | None]] = []
        due = [decision for decision in self.open if now >= decision.expires]
        if due:
            with self._store.transaction():
                for decision in due:
                    expired = replace(decision, state="expired")
                    self._change(expired, now, "expired", {"was": decision.state})
                    was_active = decision.state == "active"
                    ended.append((expired, Release(expired, "expired") if was_active else None))
        self._overrides.forget(now)
        return ended

    def resent(self, now: float) -> list[Command]:
        """What a controller may have missed when this process last ended: everything that
        holds, and what has ended but whose rules no switch has said are gone.

        Carrying out a command twice is carrying it out once, so nothing is lost or doubled.
        """
        commands: list[Command] = [Enforce(d) for d in self.active() if now < d.expires]
        for decision in self._store.unsettled_decisions(now):
            commands.append(Release(decision, f"{decision.state} (sent again)"))
        return commands

    # -- the one way to change a decision --------------------------------------

    def _change(self, decision: Decision, now: float, kind: Kind, data: dict[str, Any]) -> None:
        self._store.save_decision(decision)
        self._audit.append(now, kind, {"decision": decision.id, **data})
        self.open.update(decision)

    def _free(self, decision: Decision) -> Decision:
        """Only what no other active decision is on."""
        addresses = self.open.free(decision.addresses, decision)
        return replace(
            decision, addresses=addresses, ports=self.open.free(decision.ports, decision)
        )

    def _end_superseded(self, decision: Decision, now: float) -> list[Command]:
        """What ``decision`` takes the place of ends; the stronger rules are sent first."""
        before = None if decision.supersedes is None else self._store.decision(decision.supersedes)
        if before is None or before.state not in OPEN_STATES:
            return []
        reason = f"superseded by {decision.id}"
        ended: DecisionState = "released" if before.state == "active" else "rejected"
        gone = replace(before, state=ended, by=decision.by, superseded_by=decision.id)
        if before.state == "proposed":
            self._change(gone, now, "rejected", {"by": gone.by, "reason": reason})
            return []
        self._withdraw(gone, now, {"by": gone.by, "reason": reason})
        return [Release(gone, reason)]

    def _withdraw(self, released: Decision, now: float, data: dict[str, Any]) -> None:
        self._change(released, now, "released", data)
        self._audit.append(now, "withdraw", {"decision": released.id})

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
                **({"scope": decision.scope, **_ports(decision)} if decision.ports else {}),
            },
        )
        return [Enforce(decision)]


def _what(decision: Decision) -> str:
    where = "".join(f", all of {place}" for place in places(decision.taken))
    return f"{decision.action} of {decision.target}{where} for {decision.ttl} s"


def _listed(ports: Iterable[Port]) -> list[list[int]]:
    return [list(port) for port in ports]


def _ports(decision: Decision) -> dict[str, Any]:
    """The ports of a discovered host, for the audit."""
    return {"ports": _listed(decision.ports)} if decision.ports else {}


def _summary(decision: Decision) -> dict[str, Any]:
    return {
        "action": decision.action,
        "addresses": list(decision.addresses),
        "alert": decision.alert,
        "by": decision.by,
        "number": decision.number,
        **_ports(decision),
        "scope": decision.scope,
        "state": decision.state,
        "supersedes": decision.supersedes,
        "target": decision.target,
        "ttl": decision.ttl,
        "why": decision.why,
    }
