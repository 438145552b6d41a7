"""What a proof says, what it notices beside single faults, and how it follows changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from policies.compiler import Compiler, SwitchView, Update, declared_bindings
from policies.compiler.common.changes import RuleChange
from policies.language.reader import load_policy
from policies.model import Action, Host, Intent, Policy, Service
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, category_of
from policies.rules.rule import Field, Goto, Load, Output, Rule, match
from policies.semantics.membership import Membership
from policies.verify import Proof, Prover, prove
from topology.fabric import Fabric
from topology.records import Link

pytestmark = pytest.mark.thorough

EXAMPLES = Path(__file__).parents[3] / "policies" / "examples"
NOW = 1_800_000_000.0


class WiredSwitches:
    """All switches of a policy, with cables in a row."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.bindings = declared_bindings(policy)
        self.membership = Membership(policy, self.bindings)
        switches = sorted({each.switch for each in self.bindings})
        pairs = zip(switches, switches[1:], strict=False)
        fabric = Fabric.of(Link(one, 91, other, 92) for one, other in pairs)
        self.views = {
            number: SwitchView(
                number,
                tuple(sorted({each.port for each in self.bindings if each.switch == number})),
                fabric.trunks(number),
                fabric.next_ports(number),
            )
            for number in switches
        }
        self.compiler = Compiler(policy, self.membership, self.bindings, NOW)
        self.rules = {n: self.compiler.rules(view, NOW) for n, view in self.views.items()}
        self.prover = Prover(policy, self.membership, self.views, self.bindings, NOW)

    def proven(self, switch: int, rules: tuple[Rule, ...]) -> Proof:
        view = self.views[switch]
        return prove(self.policy, self.membership, view, self.bindings, rules, NOW)

    def follow(self, policy: Policy) -> tuple[Proof, Update]:
        """Another policy's proof, after the compiler's own change."""
        bindings = declared_bindings(policy)
        membership = Membership(policy, bindings)
        change = self.compiler.update(policy, membership, bindings, NOW)
        return self.prover.update(policy, membership, bindings, change), change


@pytest.fixture
def shop() -> WiredSwitches:
    return WiredSwitches(load_policy([EXAMPLES / "shop.yaml"]))


@pytest.mark.parametrize("name", ["office", "plant.yaml"])
def test_the_examples_are_proven(name: str) -> None:
    net = WiredSwitches(load_policy([EXAMPLES / name]))
    proof = net.prover.prove(net.rules)
    assert proof.holds, (proof.counterexamples, proof.unproven)


def test_rules_of_another_policy_do_not_hold(shop: WiredSwitches) -> None:
    shut = replace(shop.policy.intents[0], action=Action.DENY)
    policy = replace(shop.policy, intents=(shut, *shop.policy.intents[1:]))
    proof = Prover(policy, shop.membership, shop.views, shop.bindings, NOW).prove(shop.rules)
    assert not proof.holds
    (example, *_) = proof.counterexamples
    assert example.intent == shut.name
    assert example.connection is not None and example.direction in ("new", "reply")
    assert example.in_port == example.packet["in_port"]


def test_one_more_thing_that_a_port_may_send_is_noticed(shop: WiredSwitches) -> None:
    """All own addresses still work, so that only the borrowed one shows it."""
    guard = next(r for r in shop.rules[1] if r.table == RuleTable.GUARD and r.priority == 190)
    (port,) = (each.value for each in guard.match if each.name == "in_port")
    other = next(each for each in shop.bindings if each.port != port and "." in each.ip)
    fields = [each for each in guard.match if each.name not in ("ip_src", "ipv6_src", "eth_type")]
    extra = Field("ip_src", int(ip_address(other.ip)))
    added = replace(guard, match=match(*fields, Field("eth_type", 0x0800), extra))
    (example,) = shop.proven(1, (*shop.rules[1], added)).counterexamples
    assert example.packet["ip_src"] == extra.value
    assert example.in_port == port


def test_a_back_door_beside_all_tables_is_noticed(shop: WiredSwitches) -> None:
    door = Rule(
        RuleTable.LOCALITY,
        65_000,
        match(Field("eth_type", 0x0800), Field("ip_proto", 6), Field("tcp_dst", 31_337)),
        (Output(1),),
        layout.cookie(Category.BASE),
    )
    proof = shop.proven(1, (*shop.rules[1], door))
    assert not proof.holds
    assert proof.counterexamples or proof.unproven


def test_a_door_for_one_hidden_address_is_noticed(shop: WiredSwitches) -> None:
    """An identity for an address that no segment and no other rule names."""
    known = next(
        r for r in shop.rules[1] if r.table == RuleTable.TARGET and r.priority == 132 and r.match
    )
    hidden = match(Field("eth_type", 0x0800), Field("reg12", int(ip_address("203.0.113.77"))))
    added = replace(known, match=hidden)
    proof = shop.proven(1, (*shop.rules[1], added))
    (example,) = proof.counterexamples
    assert example.connection is not None
    assert str(example.connection.dst) == "203.0.113.77"


def test_two_rules_of_one_priority_are_noticed(shop: WiredSwitches) -> None:
    allow = next(r for r in shop.rules[1] if r.table == RuleTable.POLICY and r.priority)
    wider = replace(
        allow,
        match=tuple(each for each in allow.match if each.name != "reg2"),
        actions=(Load(layout.INTENT, 1), Goto(RuleTable.MODE)),
    )
    assert not shop.proven(1, (*shop.rules[1], wider)).holds


def test_rules_of_an_expired_intent_do_not_hold(shop: WiredSwitches) -> None:
    from datetime import UTC, datetime

    ended = replace(shop.policy.intents[0], expires=datetime.fromtimestamp(NOW - 1, UTC))
    policy = replace(shop.policy, intents=(ended, *shop.policy.intents[1:]))
    proof = Prover(policy, shop.membership, shop.views, shop.bindings, NOW).prove(shop.rules)
    assert not proof.holds


# -- following changes ------------------------------------------------------------------------


def _more(policy: Policy) -> Policy:
    first = policy.intents[0]
    new = Intent("one-more", first.sources, first.targets, (Service(17, 7000, 7003),))
    return replace(policy, intents=(*policy.intents, new))


def _fewer(policy: Policy) -> Policy:
    return replace(policy, intents=policy.intents[1:])


def _relabelled(policy: Policy) -> Policy:
    one, other, *rest = policy.hosts[1:]
    return replace(
        policy, hosts=(policy.hosts[0], replace(one, labels=rest[0].labels), other, *rest)
    )


def _guest(policy: Policy) -> Policy:
    near = policy.hosts[2]
    guest = Host(
        "guest",
        "02:00:00:00:99:01",
        (ip_address("10.99.0.1"), ip_address("fd00:99::1")),
        near.switch,
        near.port,
        labels=near.labels,
    )
    return replace(policy, hosts=(*policy.hosts, guest))


CHANGES = [_more, _fewer, _relabelled, _guest]


@pytest.mark.parametrize("changed", CHANGES)
def test_a_change_is_followed(shop: WiredSwitches, changed: Callable[[Policy], Policy]) -> None:
    everything = shop.prover.prove(shop.rules)
    proof, _ = shop.follow(changed(shop.policy))
    assert proof.holds
    assert proof.statistics["rules"] < everything.statistics["rules"] / 5, "all was looked at"
    again, _ = shop.follow(shop.policy)
    assert again.holds


@pytest.mark.parametrize("changed", CHANGES)
def test_a_rule_forgotten_in_a_change_is_found(
    shop: WiredSwitches, changed: Callable[[Policy], Policy]
) -> None:
    """Each rule of the change in turn does not reach the switches."""
    policy = changed(shop.policy)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    change = shop.compiler.update(policy, membership, bindings, NOW)
    for lost in change.everywhere.added[:2]:
        kept = tuple(rule for rule in change.everywhere.added if rule is not lost)
        faulty = Update(RuleChange(kept, change.everywhere.removed), change.single)
        net = WiredSwitches(shop.policy)
        assert net.prover.prove(net.rules).holds
        proof = net.prover.update(policy, membership, bindings, faulty)
        fresh = Prover(policy, membership, net.views, bindings, NOW)
        full = fresh.prove({n: _after(rules, faulty, n) for n, rules in net.rules.items()})
        assert proof.holds == full.holds, lost
        if category_of(lost.cookie) == Category.INTENT:
            assert not proof.holds


def _after(rules: tuple[Rule, ...], change: Update, switch: int) -> list[Rule]:
    known = {rule.key: rule for rule in rules}
    mine = change.on(switch)
    for rule in mine.removed:
        known.pop(rule.key, None)
    known |= {rule.key: rule for rule in mine.added}
    return list(known.values())


def test_after_a_fault_the_next_right_change_holds_again(shop: WiredSwitches) -> None:
    shop.prover.prove(shop.rules)
    policy = _more(shop.policy)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    change = shop.compiler.update(policy, membership, bindings, NOW)
    forgotten = Update(RuleChange(), {})
    assert not shop.prover.update(policy, membership, bindings, forgotten).holds
    assert shop.prover.update(policy, membership, bindings, change).holds
