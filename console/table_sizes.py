"""Whether a policy's rules fit the tables of the switches that it declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from policies.compiler import Compiler, SwitchView, declared_bindings, intent_numbers
from policies.errors import Diagnostic
from policies.layout import Category, Table, category_of, number_of
from policies.membership import Membership
from policies.model import NOWHERE, Policy
from policies.rules import Rule

_SHOWN = 3


def too_many_rules(policy: Policy, size: int, now: float) -> Iterator[Diagnostic]:
    """A warning for every table of a declared switch that needs more than ``size`` rules.

    The intents with most rules are named. A policy that declares no switch is
    compiled for one without hosts. Raises CompileError as the compiler does.
    """
    bindings = declared_bindings(policy)
    compiler = Compiler(policy, Membership(policy, bindings), bindings, now)
    names = intent_numbers(policy)
    places = {intent.name: intent.source for intent in policy.intents}
    sources = [each.source for each in policy.hosts] + [each.source for each in policy.intents]
    start = sources[0] if sources else NOWHERE
    for switch in sorted({binding.switch for binding in bindings}) or [1]:
        ports = {binding.port for binding in bindings if binding.switch == switch}
        tables: dict[int, list[Rule]] = {}
        for rule in compiler.rules(SwitchView(switch, tuple(sorted(ports))), now):
            tables.setdefault(rule.table, []).append(rule)
        for table, rules in tables.items():
            if len(rules) <= size:
                continue
            biggest = _biggest(rules, names)
            message = (
                f"switch {switch} needs {len(rules)} rules in table {Table(table).name.lower()}, "
                f"which holds {size}"
            )
            where = places[biggest[0][0]] if biggest else start
            yield Diagnostic("warning", "table-size", message, where, suggestion=_hint(biggest))


def _biggest(rules: Sequence[Rule], names: Mapping[int, str]) -> list[tuple[str, int]]:
    counts = Counter(
        names[number_of(rule.cookie)]
        for rule in rules
        if category_of(rule.cookie) == Category.INTENT and number_of(rule.cookie) in names
    )
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:_SHOWN]


def _hint(biggest: Sequence[tuple[str, int]]) -> str | None:
    if not biggest:
        return "hosts and networks make them, not intents"
    return "most are for " + ", ".join(f"'{name}' ({times})" for name, times in biggest)
