"""Confirmations of machine decisions: the rules of each that a switch has, and no others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from policies.rules.layout import Category, category_of, number_of
from policies.rules.rule import Rule
from response.decision import Decision, InstalledRule, id_of
from response.ipc.messages import RulesConfirmed, SwitchChanged
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.enforcement.decision_state import DecisionChange, DecisionRules, by_decision
from ryu_apps.openflow.encode import WireRule
from ryu_apps.switch.session import Session

MAX_ENDED = 1_000  # ended decisions remembered for switches that are away


def confirmation(session: Session, decided: DecisionRules) -> Callable[[float], list[Effect]]:
    """For a change of single rules; what the switch refused is not confirmed."""
    switch, lacks = session.switch, session.left_out.lacks

    def confirmed(now: float) -> list[Effect]:
        effects: list[Effect] = []
        for name, _, placed, gone in decided.parts:
            if there := tuple(rule for rule in placed if not lacks(rule)):
                effects.append(Report(RulesConfirmed(now, name, installed(switch, there))))
            if gone:
                effects.append(Report(RulesConfirmed(now, name, installed(switch, gone), True)))
        return effects

    return confirmed


def whole_confirmation(
    session: Session, decided: DecisionChange, held: Decision | None
) -> Callable[[float], list[Effect]]:
    """For a switch whose rules are compiled as a whole: the rules that it really has."""
    before = _carried(session)

    def confirmed(now: float) -> list[Effect]:
        after = _carried(session)
        effects: list[Effect] = []
        for number, name in decided.names.items():
            mine = after.get(number, set())
            if gone := before.get(number, set()) - mine:
                effects.append(_confirmed(now, name, gone, removed=True))
            if mine:
                effects.append(_confirmed(now, name, mine, removed=False))
        if held is not None and held.number not in after:
            what = session.profile.target.value
            text = (
                f"switch {session.switch} ({what} rules) cannot {held.action}: "
                f"{held.id} is not in force there"
            )
            effects.append(Log(logging.ERROR, text))
            effects.append(Report(SwitchChanged(now, session.switch, "failed", text)))
        return effects

    return confirmed


def _confirmed(now: float, name: str, rules: set[InstalledRule], *, removed: bool) -> Report:
    return Report(RulesConfirmed(now, name, tuple(sorted(rules, key=repr)), removed))


def _carried(session: Session) -> dict[int, set[InstalledRule]]:
    """The rules of decisions that a switch has, by number."""
    found: dict[int, set[InstalledRule]] = {}
    for rule in session.installed.values():
        if category_of(rule.cookie) == Category.DECISION:
            mine = InstalledRule(session.switch, rule.key[0], rule.cookie)
            found.setdefault(number_of(rule.cookie), set()).add(mine)
    return found


def installed(switch: int, rules: Iterable[Rule]) -> tuple[InstalledRule, ...]:
    places = dict.fromkeys((int(rule.table), rule.cookie) for rule in rules)
    return tuple(InstalledRule(switch, *place) for place in places)


def placed(
    switch: int, rules: Iterable[Rule], decisions: Mapping[str, Decision], now: float
) -> list[Effect]:
    """The decisions' rules that a switch has confirmed with all others."""
    held = by_decision(rules)
    return [
        Report(RulesConfirmed(now, each.id, installed(switch, held[each.number])))
        for each in decisions.values()
        if each.number in held
    ]


@dataclass(slots=True)
class EndedDecisions:
    """Decisions that ended and whose rules switches had confirmed: for a switch that is away then,
    it is confirmed when it is back that it has none of them left."""

    _decisions: dict[str, Decision] = field(default_factory=dict)

    def note(self, decision: Decision, held: bool) -> None:
        """The analysis wants a decision held, or ended."""
        self._decisions.pop(decision.id, None)
        if not held and decision.rules:
            self._decisions[decision.id] = decision
            if len(self._decisions) > MAX_ENDED:
                del self._decisions[next(iter(self._decisions))]

    def gone(
        self, switch: int, excess: Iterable[WireRule], held: Mapping[str, Decision], now: float
    ) -> list[Effect]:
        """Rules of decisions that have ended, which a comparison found and took away."""
        found: dict[str, list[InstalledRule]] = {}
        for rule in excess:
            if category_of(rule.cookie) == Category.DECISION:
                made = id_of(number_of(rule.cookie))
                found.setdefault(made, []).append(InstalledRule(switch, rule.key[0], rule.cookie))
        return [
            Report(RulesConfirmed(now, made, tuple(dict.fromkeys(places)), True))
            for made, places in found.items()
            if made not in held
        ] + self.none_left(switch, now)

    def none_left(self, switch: int, now: float) -> list[Effect]:
        """Of decisions that ended while a switch could not be asked: it has no rule of them now."""
        effects: list[Effect] = []
        for decision in self._decisions.values():
            here = tuple(rule for rule in decision.rules if rule.switch == switch)
            if here:
                effects.append(Report(RulesConfirmed(now, decision.id, here, True)))
        return effects
