"""What a switch confirms of machine decisions: the rules that it has of each, and no others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from policies.layout import Category, category_of, number_of
from policies.rules import Rule
from response.decisions import Decision, InstalledRule
from response.messages import RulesConfirmed, SwitchChanged
from ryu_apps.desired import Decided
from ryu_apps.effects import Effect, Log, Tell
from ryu_apps.session import Session


def confirmation(switch: int, decided: Decided) -> Callable[[float], list[Effect]]:
    def confirmed(now: float) -> list[Effect]:
        told: list[Effect] = []
        for name, _, placed, gone in decided.parts:
            if placed:
                told.append(Tell(RulesConfirmed(now, name, installed(switch, placed))))
            if gone:
                told.append(Tell(RulesConfirmed(now, name, installed(switch, gone), True)))
        return told

    return confirmed


def plain_confirmation(
    session: Session, decided: Decided, held: Decision | None
) -> Callable[[float], list[Effect]]:
    """For a switch of another kind, whose rules are made as a whole: what it really has."""
    before = _carried(session)

    def confirmed(now: float) -> list[Effect]:
        after = _carried(session)
        told: list[Effect] = []
        for name, number, _, _ in decided.parts:
            mine = after.get(number, set())
            if gone := before.get(number, set()) - mine:
                told.append(Tell(RulesConfirmed(now, name, tuple(sorted(gone, key=repr)), True)))
            if mine:
                told.append(Tell(RulesConfirmed(now, name, tuple(sorted(mine, key=repr)))))
        if held is not None and held.number not in after:
            what = session.kind.target.value
            text = (
                f"switch {session.switch} ({what} rules) cannot {held.action}: "
                f"{held.id} is not in force there"
            )
            told.append(Log(logging.ERROR, text))
            told.append(Tell(SwitchChanged(now, session.switch, "failed", text)))
        return told

    return confirmed


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
