"""Machine decisions on one address, on every kind of switch."""

from __future__ import annotations

import pytest

from policies.compiler import SwitchView, declared_bindings
from policies.compiler.targets import SwitchTarget, rules_for
from policies.model import Policy, Restriction
from policies.rules.layout import Category, category_of, number_of
from policies.semantics.membership import Membership
from tests.support.random_policies import HOSTS, NOW

SHORT = Restriction(7, "quarantine", HOSTS[0].ips, NOW + 60)
LONG = Restriction(8, "quarantine", HOSTS[0].ips[:1], NOW + 600)
PAST = Restriction(9, "quarantine", HOSTS[0].ips, NOW - 1)


@pytest.mark.parametrize("target", SwitchTarget)
@pytest.mark.parametrize("held", [(SHORT, LONG, PAST), (PAST, LONG, SHORT)])
def test_of_two_quarantines_of_an_address_the_one_that_lasts_longer_has_it(
    target: SwitchTarget, held: tuple[Restriction, ...]
) -> None:
    policy = Policy("p", HOSTS)
    bindings = declared_bindings(policy)
    view = SwitchView(1, (1, 3, 5))
    rules = rules_for(target, policy, Membership(policy, bindings), view, bindings, NOW, held)
    causes = [rule for rule in rules if category_of(rule.cookie) == Category.DECISION]
    shared = {
        (number_of(rule.cookie), rule.hard_timeout)
        for rule in causes
        if any(field.value == int(HOSTS[0].ips[0]) for field in rule.match)
    }
    assert shared == {(8, 600)}
    assert {number_of(rule.cookie) for rule in causes} == {7, 8}, "the other address has its own"
