"""Decisions, feeds and kept intents on a switch: exactly what they add, or it is named."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest
from hypothesis import given, settings

from policies.compiler import Compiler, FeedRules, SwitchView, declared_bindings
from policies.compiler.common.rule_parts import BASE, flag
from policies.feed_block import FeedBlock
from policies.model import Envelope, Mode, Policy, Restriction, Selector
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, category_of
from policies.rules.ovs_text import ovs_lines
from policies.rules.rule import Goto, Load, Rule
from policies.semantics.membership import Membership
from policies.semantics.prefixes import fewest, prefix_of
from policies.verify import prove, read_rules
from policies.verify.overlay_rules import faults, is_beside
from tests.support.random_policies import HOSTS, NOW, feed_blocks, policies, restrictions
from tests.support.shop import FABRIC, READ, shop

VIEW = SwitchView(1, (2, 4, 6), FABRIC.trunks(1), FABRIC.next_ports(1))
KEEP = replace(READ, keep_established=True)
HELD = (
    Restriction(1, "quarantine", HOSTS[0].ips, NOW + 60),
    Restriction(2, "isolate", HOSTS[1].ips, NOW + 60),
    Restriction(3, "rate_limit", HOSTS[2].ips, NOW + 60),
    Restriction(4, "quarantine", (), NOW + 60, ((1, 4),)),
    Restriction(5, "isolate", (), NOW + 60, ((2, 5),)),
    Restriction(6, "rate_limit", (), NOW + 60, ((1, 6),)),
)
FEEDS = (
    FeedBlock("a", Mode.ENFORCE, fewest([prefix_of(ip_network("198.51.100.0/25"))])),
    FeedBlock("b", Mode.AUDIT, fewest([prefix_of(ip_network("2001:db8::/48"))])),
)


def rules_of(
    policy: Policy, held: tuple[Restriction, ...], feeds: tuple[FeedBlock, ...]
) -> tuple[Rule, ...]:
    bindings = declared_bindings(policy)
    compiler = Compiler(policy, Membership(policy, bindings), bindings, NOW, (KEEP,))
    return compiler.rules(VIEW, NOW, held, FeedRules(feeds).rules())


def everything() -> tuple[Policy, tuple[Rule, ...]]:
    policy = replace(shop(), envelope=Envelope(protected=(Selector(host="h2"),)))
    return policy, rules_of(policy, HELD, FEEDS)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(policies(), restrictions(), feed_blocks())
def test_what_is_compiled_has_no_faults(
    policy: Policy, held: tuple[Restriction, ...], feeds: tuple[FeedBlock, ...]
) -> None:
    rules = rules_of(policy, held, feeds)
    printed = tuple(read_rules(ovs_lines(rules).splitlines()))
    assert list(faults(rules, printed)) == []


@pytest.mark.thorough
def test_the_rest_is_proven_without_them() -> None:
    policy, rules = everything()
    bindings = declared_bindings(policy)
    rest = [rule for rule in rules if not is_beside(rule)]
    proof = prove(policy, Membership(policy, bindings), VIEW, bindings, rest, NOW)
    assert (proof.holds, proof.unproven) == (True, ())


def test_every_lost_or_changed_rule_is_named() -> None:
    _, rules = everything()
    beside = [rule for rule in rules if is_beside(rule)]
    assert {category_of(rule.cookie) for rule in beside} == {
        Category.DECISION,
        Category.FEED,
        Category.RETAINED,
    }
    fixed = (RuleTable.ADAPTIVE, RuleTable.AUDIT, RuleTable.MARK_TARGET)
    own = [rule for rule in rules if rule.table in fixed and not is_beside(rule)]
    for rule in (*beside, *own):
        left = [each for each in rules if each is not rule]
        (fault,) = faults(rules, left)
        assert fault.startswith("missing: ")
        altered = replace(rule, actions=(Goto(RuleTable.RECORD),))
        (fault,) = faults(rules, [*left, altered])
        assert fault.startswith("altered: ")


def test_more_than_was_asked_for_is_named() -> None:
    _, rules = everything()
    fewer = rules_of(everything()[0], HELD[:1], FEEDS[:1])
    found = list(faults(fewer, rules))
    assert found and all(each.startswith("nothing asks for: ") for each in found)


def test_a_rule_that_sets_or_asks_for_a_mark_elsewhere_is_named() -> None:
    _, rules = everything()
    sets = Rule(RuleTable.POLICY, 5, (), (Load(layout.QUARANTINED, 1), Goto(RuleTable.MODE)), BASE)
    asks = Rule(RuleTable.EMERGENCY, 5, (flag(layout.AUDITED, 0),), (Goto(RuleTable.AUDIT),), BASE)
    shuffled = [*rules, sets, asks]
    Random(1).shuffle(shuffled)
    assert len([each for each in faults(rules, shuffled) if each.startswith("concerns")]) == 2
