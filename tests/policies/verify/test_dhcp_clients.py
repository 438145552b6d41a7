"""The proof follows what hosts say to DHCP servers: to the controller, and on from there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.compiler import SwitchView
from policies.compiler.common.bindings import declared_bindings
from policies.compiler.compiler import Compiler
from policies.model import ANY, Intent, Service
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import CopyToController, Field, Goto, Load, Rule
from policies.semantics.membership import Membership
from policies.verify.prover import Prover
from tests.support.shop import shop

NOW = 1_000.0
pytestmark = pytest.mark.threat("dhcp-clients")


def proven(change: str) -> bool:
    policy = shop(Intent("all", (ANY,), (ANY,), (Service(),)))
    server = replace(policy.hosts[0], serves=("dhcp",))
    policy = replace(policy, hosts=(server, *policy.hosts[1:]))
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    switch = next(each.switch for each in bindings)
    ports = tuple(sorted({each.port for each in bindings if each.switch == switch}))
    view = SwitchView(switch, (*ports, 99), frozenset({99}), {})
    rules = [*Compiler(policy, membership, bindings, NOW).rules(view)]
    kept = [each for rule in rules for each in changed(rule, change)]
    assert (kept != rules) is bool(change)
    return Prover(policy, membership, {switch: view}, bindings, NOW).prove({switch: kept}).holds


def changed(rule: Rule, change: str) -> list[Rule]:
    names = {each.name: each.value for each in rule.match}
    if rule.table == RuleTable.REPORT and names["in_port"] != 99:
        if change == "copied in part" and rule.priority == 110:
            return []
        if change == "copies whatever it is whole" and rule.priority == 100:
            whole = CopyToController(names["in_port"], layout.WHOLE_PACKET)
            return [replace(rule, actions=(whole,))]
    if rule.table != RuleTable.LOCALITY or rule.priority != 299 or names["udp_dst"] != 67:
        return [rule]
    if change == "gone":
        return []
    if change == "forwarded too":
        return [replace(rule, actions=(*rule.actions, Goto(RuleTable.ARP)))]
    if change == "only from the usual port":
        more = sorted((*rule.match, Field("udp_src", 68)), key=lambda each: each.sort_key)
        return [replace(rule, match=tuple(more))]
    if change == "in a circle":  # what the controller sends on comes back to it
        return [replace(rule, match=tuple(e for e in rule.match if e.name != "reg0"))]
    if change == "for another reason":
        return [replace(rule, actions=(Load(layout.REASON, 4), *rule.actions[1:]))]
    return [rule]


def test_the_rules_hold() -> None:
    assert proven("")


@pytest.mark.parametrize(
    "change",
    [
        "gone",
        "forwarded too",
        "only from the usual port",
        "in a circle",
        "for another reason",
        "copied in part",
        "copies whatever it is whole",
    ],
)
def test_a_change_of_them_is_noticed(change: str) -> None:
    assert not proven(change)
