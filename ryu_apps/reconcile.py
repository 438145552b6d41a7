"""What a switch has against what it should have: four lists, and the change between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.layout import Category, category_of
from ryu_apps.wire.encode import ADD, DELETE_STRICT, WireKey, WireRule, flow_mod


@dataclass(frozen=True, slots=True)
class Difference:
    """``proper`` are the rules that are right and stay untouched, as a count."""

    missing: tuple[WireRule, ...]
    altered: tuple[WireRule, ...]
    excess: tuple[WireRule, ...]
    proper: int

    @property
    def changes(self) -> int:
        return len(self.missing) + len(self.altered) + len(self.excess)

    def flow_mods(self) -> list[bytes]:
        """The change as flow-mod bodies; additions come first, so nothing allowed falls through."""
        return [
            *(flow_mod(rule, ADD) for rule in (*self.missing, *self.altered)),
            *(flow_mod(rule, DELETE_STRICT) for rule in self.excess),
        ]

    def summary(self) -> str:
        return (
            f"{len(self.missing)} missing, {len(self.altered)} altered, "
            f"{len(self.excess)} extra, {self.proper} right"
        )


def compare(desired: Iterable[WireRule], installed: Mapping[WireKey, WireRule]) -> Difference:
    """Compare by bytes; rules that the switch learned itself are left out."""
    missing, altered = [], []
    proper = 0
    wanted: set[WireKey] = set()
    for rule in desired:
        wanted.add(rule.key)
        there = installed.get(rule.key)
        if there is None:
            missing.append(rule)
        elif rule.same_effect(there):
            proper += 1
        else:
            altered.append(rule)
    excess = tuple(rule for key, rule in installed.items() if key not in wanted and ours(rule))
    return Difference(tuple(missing), tuple(altered), excess, proper)


def ours(rule: WireRule) -> bool:
    """Whether reconciliation looks after a rule: all but the switch's own counting rules."""
    return category_of(rule.cookie) != Category.COUNT
