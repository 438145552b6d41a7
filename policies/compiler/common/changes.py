"""The difference between two sets of rules, as changes for a switch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.rules.rule import Rule, RuleKey


@dataclass(frozen=True, slots=True)
class RuleChange:
    """Rules to add (replacing those with the same key), and rules to remove."""

    added: tuple[Rule, ...] = ()
    removed: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def __add__(self, other: RuleChange) -> RuleChange:
        return RuleChange(self.added + other.added, self.removed + other.removed)


@dataclass(frozen=True, slots=True)
class Update:
    """The changes of rules on every switch, and on single ones, after a change of policy or
    hosts."""

    everywhere: RuleChange
    single: Mapping[int, RuleChange]

    def on(self, switch: int) -> RuleChange:
        mine = self.single.get(switch)
        return self.everywhere if mine is None else self.everywhere + mine


def change_between(before: Iterable[Rule], after: Iterable[Rule]) -> RuleChange:
    """The change from one set of rules to another; rules that differ only in remaining time are
    equal."""
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
