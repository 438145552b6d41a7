"""Rules about helpers are proven, and every fault in one of them is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from policies.compiler import SwitchView
from policies.compiler.common.bindings import declared_bindings
from policies.compiler.compiler import Compiler
from policies.language.reader import load_policy
from policies.language.sources import CopiedSources
from policies.rules.layout import REPLY, RuleTable
from policies.rules.ovs_text import ovs_text
from policies.rules.rule import Commit, Field, Load, Rule
from policies.semantics.membership import Membership
from policies.verify.prover import Prover
from policies.verify.text import read_rules
from tests.support.file_servers import TEXT

VIEW, NOW = SwitchView(1, (1, 2, 99), frozenset({99}), {}), 1_000.0
POLICY = load_policy(["p.yaml"], CopiedSources({"p.yaml": TEXT}))
BINDINGS = declared_bindings(POLICY)
MEMBERSHIP = Membership(POLICY, BINDINGS)
Change = Callable[[Rule], Rule | None]


def rules() -> list[Rule]:
    return [*Compiler(POLICY, MEMBERSHIP, BINDINGS, NOW).rules(VIEW)]


def holds(found: list[Rule]) -> bool:
    return Prover(POLICY, MEMBERSHIP, {1: VIEW}, BINDINGS, NOW).prove({1: found}).holds


def matched(rule: Rule, name: str) -> Field | None:
    return next((each for each in rule.match if each.name == name), None)


def with_field(rule: Rule, name: str, value: int | None) -> Rule:
    kept = [each for each in rule.match if each.name != name]
    kept += [] if value is None else [Field(name, value)]
    return replace(rule, match=tuple(sorted(kept, key=lambda each: each.sort_key)))


def unread(rule: Rule) -> Rule:
    actions = (replace(a, helper=None) if isinstance(a, Commit) else a for a in rule.actions)
    return replace(rule, actions=tuple(actions))


def turned(rule: Rule) -> Rule:
    actions = (Load(REPLY, 1) if a == Load(REPLY, 0) else a for a in rule.actions)
    return replace(rule, actions=tuple(actions))


def test_the_rules_hold_also_as_open_vswitch_lists_them() -> None:
    assert holds(rules())
    assert holds([*read_rules(ovs_text(rule) for rule in rules())])


@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize(
    ("table", "change"),
    [
        (RuleTable.CONNECTION, lambda rule: None),
        (RuleTable.CONNECTION, lambda rule: with_field(rule, "ct_mark", None)),
        (RuleTable.CONNECTION, lambda rule: with_field(rule, "ct_mark", 7)),
        (RuleTable.CONNECTION, lambda rule: with_field(rule, "tcp_dst", None)
         if matched(rule, "tcp_dst") else with_field(rule, "udp_src", None)),
        (RuleTable.CONNECTION, lambda rule: replace(rule, actions=rule.actions[1:])),
        (RuleTable.COMMIT, lambda rule: None),
        (RuleTable.COMMIT, unread),
        (RuleTable.COMMIT, lambda rule: with_field(rule, "tcp_dst", 22)
         if matched(rule, "tcp_dst") else with_field(rule, "udp_dst", 70)),
    ],
)  # fmt: skip
def test_a_fault_in_them_is_found(table: RuleTable, change: Change, which: str) -> None:
    about = [
        rule
        for rule in rules()
        if rule.table == table
        and (
            matched(rule, "ct_mark") is not None
            or any(isinstance(each, Commit) and each.helper for each in rule.actions)
        )
    ]
    chosen = about[0 if which == "first" else -1]
    found = [each for rule in rules() for each in [change(rule) if rule == chosen else rule]]
    assert not holds([each for each in found if each is not None])


def test_a_data_connection_in_the_wrong_direction_is_found() -> None:
    found = [turned(rule) if matched(rule, "ct_mark") is not None else rule for rule in rules()]
    assert not holds(found)
