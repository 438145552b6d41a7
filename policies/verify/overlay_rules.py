"""What machine decisions, feeds and kept intents add to a switch: exactly that, and no more.

The proof of the policy (`policies.verify.prover`) is about packets that nothing
marks. Marks do their work in a few tables of their own, by fixed rules that
look at nothing else. So two things are enough for the rest: those tables and
the rules beside the policy are the ones that follow from the decisions, feeds
and kept intents of the moment; and no other rule looks at a mark or sets one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.rules.layout import Category, RuleTable, category_of
from policies.rules.ovs_text import ovs_text
from policies.rules.rule import Rule
from policies.verify.inactive_rules import looks_at_marks, unset_marks

BESIDE = frozenset({Category.DECISION, Category.FEED, Category.RETAINED})
TABLES = frozenset(
    {
        RuleTable.LISTING,
        RuleTable.LISTED,
        RuleTable.MARK_SOURCE,
        RuleTable.MARK_TARGET,
        RuleTable.ADAPTIVE,
        RuleTable.AUDIT,
    }
)


def is_beside(rule: Rule) -> bool:
    """Whether a rule follows from something else than the policy."""
    return category_of(rule.cookie) in BESIDE


def faults(wanted: Iterable[Rule], given: Sequence[Rule]) -> Iterator[str]:
    """What is not as it must be, a line each; ``wanted`` are all rules that the switch should
    have. What only the time left on a rule tells apart is the same."""
    here = {rule.key: rule for rule in given if _concerned(rule)}
    for rule in filter(_concerned, wanted):
        found = here.pop(rule.key, None)
        if found is None:
            yield f"missing: {ovs_text(rule)}"
        elif not _same(rule, found):
            yield f"altered: {ovs_text(found)}"
    for rule in here.values():
        yield f"nothing asks for: {ovs_text(rule)}"
    every = unset_marks(())
    for rule in given:
        if not _concerned(rule) and (looks_at_marks(rule) or unset_marks((rule,)) != every):
            yield f"concerns a mark: {ovs_text(rule)}"


def _concerned(rule: Rule) -> bool:
    return is_beside(rule) or rule.table in TABLES


def _same(rule: Rule, other: Rule) -> bool:
    return (
        rule.actions == other.actions
        and rule.cookie == other.cookie
        and rule.idle_timeout == other.idle_timeout
        and (rule.hard_timeout > 0) == (other.hard_timeout > 0)
    )
