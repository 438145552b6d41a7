"""Orders of the analysis carried out on switches: machine decisions, and what feeds list."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

from policies.compiler import RuleChange
from policies.compiler.targets import SwitchTarget
from response.decision import Decision
from response.feed_listing import ListFeed
from response.ipc.messages import Command, Enforce, Order
from ryu_apps.effects import Effect, Log
from ryu_apps.enforcement.confirmations import confirmation, whole_confirmation
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.openflow.encode import wire_key, wire_rule

FEED_PART = 2_000  # rules of feeds that are sent at once


class DecisionSender:
    """Call `send_listed` a few times a second."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._decisions = reconciler.desired_state.decision_state
        self._listed: deque[Iterator[RuleChange]] = deque()  # changes of feeds, still to be sent
        self._behind: set[int] = set()  # switches to be compared when all is sent

    def order(self, order: Order, now: float) -> list[Effect]:
        """Carry out what the analysis wants."""
        if isinstance(order, ListFeed):
            return self.list_feed(order, now)
        return self.command(order, now)

    def list_feed(self, listed: ListFeed, now: float) -> list[Effect]:
        """Replace a feed's listings; only the difference in rules is sent."""
        try:
            change = self._decisions.list_feed(listed.block)
        except ValueError as error:
            return [Log(logging.ERROR, f"feed {listed.feed}: not taken: {error}")]
        if change:
            self._listed.append(change.parts(FEED_PART))
        return self.send_listed(now)

    def send_listed(self, now: float) -> list[Effect]:
        """The next part of what feeds changed; a whole feed at once would hold up all else."""
        part = None
        while self._listed and part is None:
            part = next(self._listed[0], None)
            if part is None:
                self._listed.popleft()
        if part is None:
            late, self._behind = self._behind, set()
            behind = [session for session in self._reconciler.ready() if session.switch in late]
            return [
                effect for session in behind for effect in self._reconciler.reconcile(session, now)
            ]
        added = [wire_rule(rule) for rule in part.added]
        removed = [wire_key(rule) for rule in part.removed]
        effects: list[Effect] = []
        for session in self._reconciler.ready():
            if self._reconciler.may_change(session, part):
                effects += session.exchange(added, removed, "feeds", now)
            elif session.profile.target is SwitchTarget.STATEFUL:
                self._behind.add(session.switch)
        return effects

    def command(self, command: Command, now: float) -> list[Effect]:
        """Carry out one decision of the analysis on every ready switch; idempotent."""
        decision, held = command.decision, isinstance(command, Enforce)
        self._reconciler.ended.note(decision, held)
        decided = self._decisions.decide(decision, held, now)
        effects: list[Effect] = []
        for session in self._reconciler.ready():
            if session.profile.target is not SwitchTarget.STATEFUL:
                whole = whole_confirmation(session, decided, decision if held else None)
                effects += self._reconciler.reconcile(session, now, whole)
                continue
            mine = decided.on(session.switch)
            confirm = confirmation(session, mine)
            # A rule may name a meter only while it exists, and neither can ride in a bundle.
            meters = self._reconciler.meters(session, now)
            effects += session.set_meters(meters)
            effects += session.put(mine.change, f"decision {decision.id}", now, confirm)
            effects += session.drop_meters(meters)
        return effects

    def end_expired(self, now: float) -> list[Effect]:
        """Forget decisions that have expired; call often."""
        expired = self._decisions.expired(now)
        return [effect for decision in expired for effect in self._end(decision, now)]

    def _end(self, decision: Decision, now: float) -> list[Effect]:
        """Forget a decision that has expired, and remove what switches may still have of it."""
        ended = self._decisions.decide(decision, False, now)
        effects: list[Effect] = []
        for session in self._reconciler.ready():
            if session.profile.target is SwitchTarget.STATEFUL:
                change = ended.on(session.switch).change
                effects += session.put(change, f"the end of decision {decision.id}", now)
                effects += session.drop_meters(self._reconciler.meters(session, now))
        return effects
