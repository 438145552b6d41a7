"""The difference between two sets of rules, as a switch has to be told it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.rules.rule import Rule, RuleKey


@dataclass(frozen=True, slots=True)
class RuleChange:
    """Rules to add, or to put in place of those with the same key, and rules to remove."""

    added: tuple[Rule, ...] = ()
    removed: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def __add__(self, other: RuleChange) -> RuleChange:
        return RuleChange(self.added + other.added, self.removed + other.removed)


@dataclass(frozen=True, slots=True)
class Update:
    """What a change of policy or hosts does to the rules of every switch, and of single ones."""

    everywhere: RuleChange
    single: Mapping[int, RuleChange]

    def on(self, switch: int) -> RuleChange:
        mine = self.single.get(switch)
        return self.everywhere if mine is None else self.everywhere + mine


def change_between(before: Iterable[Rule], after: Iterable[Rule]) -> RuleChange:
    """From some rules to others; what only the time left on a rule tells apart is the same."""
    old: dict[RuleKey, Rule] = {rule.key: rule for rule in before}
    added = []
    for rule in after:
        known = old.pop(rule.key, None)
        if known is None or not _same(rule, known):
            added.append(rule)
    return RuleChange(tuple(added), tuple(old.values()))


def _same(rule: Rule, other: Rule) -> bool:
    return (
        rule.actions == other.actions
        and rule.cookie == other.cookie
        and (rule.hard_timeout > 0) == (other.hard_timeout > 0)
        and rule.idle_timeout == other.idle_timeout
    )
