"""Rules that no packet can meet: those that want a mark which no rule sets.

Marks are the register bits by which machine decisions and feeds speak to the
fixed tables. Registers are zero when a packet comes in, so where no rule of a
switch sets a mark, the rules that want it need no proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policies.rules import layout
from policies.rules.layout import Category, category_of
from policies.rules.rule import Load, Move, Rule, RuleAction

MARKS = (layout.QUARANTINED, layout.ISOLATED, layout.LISTED, layout.AUDITED)
_REGISTER = MARKS[0].field
_EVERY = sum(1 << mark.low for mark in MARKS)


def unset_marks(rules: Iterable[Rule]) -> int:
    """The marks, as bits of their register, that none of these rules sets."""
    unset = _EVERY
    seen: dict[int, tuple[RuleAction, ...]] = {}  # kept, so that no others get their numbers
    for rule in rules:
        if id(rule.actions) in seen:
            continue
        seen[id(rule.actions)] = rule.actions
        for action in rule.actions:
            if isinstance(action, Load | Move) and action.target.field in (_REGISTER, "xxreg0"):
                unset &= ~_set(action)
    return unset


def _set(action: Load | Move) -> int:
    if action.target.field != _REGISTER:
        return _EVERY
    width, low = action.target.width, action.target.low
    value = action.value if isinstance(action, Load) else -1
    return (value & (1 << width) - 1) << low


def looks_at_marks(rule: Rule) -> bool:
    """Whether a rule's match or a copy that it makes depends on a mark."""
    for field in rule.match:
        if field.name == _REGISTER and (field.mask is None or field.mask & _EVERY):
            return True
    for action in rule.actions:
        if isinstance(action, Move) and action.source.field in (_REGISTER, "xxreg0"):
            low, width = action.source.low, action.source.width
            whole = action.source.field != _REGISTER
            if whole or ((1 << width) - 1) << low & _EVERY:
                return True
    return False


def awake(rules: Sequence[Rule], unset: int) -> list[Rule]:
    """The rules without those that want one of the marks."""
    return [
        rule
        for rule in rules
        if category_of(rule.cookie) != Category.BASE or not _wants(rule, unset)
    ]


def _wants(rule: Rule, marks: int) -> bool:
    return any(field.name == _REGISTER and field.value & marks for field in rule.match)
