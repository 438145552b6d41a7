"""What a switch has against what it should have: four lists, and the change between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.rules.layout import Category, RuleTable, category_of
from ryu_apps.openflow.describe import rule_text
from ryu_apps.openflow.encode import ADD, DELETE_STRICT, WireKey, WireRule, flow_mod
from topology.gc_tuning import collection_paused

SHOWN = 5  # rules named of each kind of difference


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """``proper`` are the rules that are right and stay untouched, as a count."""

    missing: tuple[WireRule, ...]
    altered: tuple[WireRule, ...]
    excess: tuple[WireRule, ...]
    proper: int

    @property
    def changes(self) -> int:
        return len(self.missing) + len(self.altered) + len(self.excess)

    def flow_mods(self) -> list[bytes]:
        """The change as flow-mod bodies for one bundle. What goes makes room for what comes;
        nobody sees the order."""
        return [
            *(flow_mod(rule, DELETE_STRICT) for rule in self.excess),
            *(flow_mod(rule, ADD) for rule in (*self.missing, *self.altered)),
        ]

    def summary(self) -> str:
        return (
            f"{len(self.missing)} missing, {len(self.altered)} altered, "
            f"{len(self.excess)} extra, {self.proper} right"
        )

    def examples(self, most: int = SHOWN) -> Iterator[str]:
        """A few of its rules in words, the first of each kind."""
        for what, rules in (
            ("missing", self.missing),
            ("altered", self.altered),
            ("extra", self.excess),
        ):
            for rule in rules[:most]:
                yield f"{what}: {rule_text(rule)}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The comparison of a ready switch with what it should have, ``at`` seconds since the epoch.

    ``failure`` is why it could not be made; the rest is meaningless then.
    """

    at: float
    difference: RuleDifference
    meters: tuple[int, ...] = ()
    failure: str = ""

    @property
    def right(self) -> bool:
        return not (self.failure or self.difference.changes or self.meters)

    def summary(self) -> str:
        if self.failure:
            return self.failure
        changed = f", {len(self.meters)} meters changed" if self.meters else ""
        return self.difference.summary() + changed


@collection_paused()
def compare(desired: Iterable[WireRule], installed: Mapping[WireKey, WireRule]) -> RuleDifference:
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
    return RuleDifference(tuple(missing), tuple(altered), excess, proper)


def drift(
    believed: Mapping[WireKey, WireRule], found: Mapping[WireKey, WireRule]
) -> RuleDifference:
    """What others changed on a switch that had the ``believed`` rules; exact, timeouts included."""
    missing, altered = [], []
    for key, rule in believed.items():
        there = found.get(key)
        if there is None:
            missing.append(rule)
        elif there is not rule and there != rule:
            altered.append(rule)
    excess = tuple(rule for key, rule in found.items() if key not in believed and ours(rule))
    proper = len(believed) - len(missing) - len(altered)
    return RuleDifference(tuple(missing), tuple(altered), excess, proper)


def exchanged(
    added: Iterable[WireRule], removed: Iterable[WireKey], installed: Mapping[WireKey, WireRule]
) -> RuleDifference:
    """Of a change, the rules that are not there yet and those that still are."""
    new = []
    for rule in added:
        there = installed.get(rule.key)
        if there is None or not rule.same_effect(there):
            new.append(rule)
    return RuleDifference(tuple(new), (), _present(removed, installed), 0)


def put_anew(
    added: Iterable[WireRule], removed: Iterable[WireKey], installed: Mapping[WireKey, WireRule]
) -> RuleDifference:
    """A change that writes all its rules again, so that their timers start afresh."""
    return RuleDifference(tuple(added), (), _present(removed, installed), 0)


def _present(
    keys: Iterable[WireKey], installed: Mapping[WireKey, WireRule]
) -> tuple[WireRule, ...]:
    found = (installed.get(key) for key in keys)
    return tuple(rule for rule in found if rule is not None)


def lacks_room(
    difference: RuleDifference, installed: Mapping[WireKey, WireRule], sizes: Mapping[int, int]
) -> bool:
    """Whether a table of these sizes would overflow if new rules came before old ones go."""
    room = min(sizes.values(), default=None)
    most = len(installed) + len(difference.missing)
    if room is None or most <= room or not difference.excess:
        return False
    filled = Counter(key[0] for key in installed)
    filled.update(rule.key[0] for rule in difference.missing)
    return any(count > sizes.get(table, count) for table, count in filled.items())


def ours(rule: WireRule) -> bool:
    """Whether reconciliation looks after a rule: all but the switch's own counting rules."""
    return category_of(rule.cookie) != Category.COUNT or rule.key[0] != RuleTable.COUNT
