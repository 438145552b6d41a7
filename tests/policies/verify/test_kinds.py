"""What a proof takes for alike, and that it does not take for alike what is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from policies.compiler import Compiler, SwitchView, Update, declared_bindings
from policies.compiler.common.changes import RuleChange, change_between
from policies.language.reader import load_policy
from policies.model import Host, Policy
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Bits, Field, Goto, Load, Output, OutputRegister, Rule, match
from policies.semantics.membership import Membership
from policies.verify import Prover
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.index import TableIndex
from policies.verify.owners import Owners
from topology.records import Binding

pytestmark = pytest.mark.thorough

NOW = 1_000_000.0
LIKE = """
apiVersion: septum/v1
kind: SegmentPolicy
hosts:
  h1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1, labels: {role: a}}
  h2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 1, port: 2, labels: {role: a}}
  h3: {mac: "02:00:00:00:00:03", ip: [10.0.0.3, "fd00::3"], switch: 1, port: 3, labels: {role: a}}
  h4: {mac: "02:00:00:00:00:04", ip: [10.0.0.4, "fd00::4"], switch: 1, port: 4, labels: {role: a}}
ROUTERS
segments:
  a: {members: [{labels: {role: a}}], mode: enforce}
intents:
  - {name: groups, from: any, to: any, services: [any]}
defaults: {action: deny, mode: enforce}
"""
ROUTER = """
  r{0}: {{mac: "02:00:00:00:01:0{0}", ip: [10.0.1.{0}], switch: 1, port: 1{0}, routes: [0.0.0.0/0]}}
"""


class Single:
    """One switch whose hosts are all alike, and some routers that are."""

    def __init__(self, folder: Path, routers: int = 0) -> None:
        path = folder / "policy.yaml"
        lines = "".join(ROUTER.format(number) for number in range(routers))
        path.write_text(LIKE.replace("ROUTERS", lines))
        self.policy = load_policy([path])
        self.bindings = declared_bindings(self.policy)
        self.membership = Membership(self.policy, self.bindings)
        self.view = SwitchView(1, tuple(sorted({each.port for each in self.bindings})))
        self.compiler = Compiler(self.policy, self.membership, self.bindings, NOW)
        self.rules = self.compiler.rules(self.view, NOW)
        self.prover = Prover(self.policy, self.membership, {1: self.view}, self.bindings, NOW)

    def holds(self, rules: Iterable[Rule]) -> bool:
        prover = Prover(self.policy, self.membership, {1: self.view}, self.bindings, NOW)
        return prover.prove({1: list(rules)}).holds

    def flood(self) -> Rule:
        """The rule that sends to every port."""
        floods = (rule for rule in self.rules if rule.table == RuleTable.FORWARD)
        return max(floods, key=lambda rule: len(rule.actions))


@pytest.fixture
def single(tmp_path: Path) -> Single:
    return Single(tmp_path)


def swapped(rules: Iterable[Rule], old: Rule, *new: Rule) -> list[Rule]:
    return [*(rule for rule in rules if rule is not old), *new]


@pytest.mark.parametrize("port", [1, 2, 4])
def test_a_flood_that_leaves_a_port_out_is_noticed(single: Single, port: int) -> None:
    """All ports are alike, so one of them stands for all: but it does not see itself."""
    assert single.holds(single.rules)
    flood = single.flood()
    actions = tuple(each for each in flood.actions if each != Output(port))
    assert len(actions) == len(flood.actions) - 1
    assert not single.holds(swapped(single.rules, flood, replace(flood, actions=actions)))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_router_that_may_send_nothing_is_noticed(tmp_path: Path, number: int) -> None:
    """Without its rule a router's port looks like a host's port, but it is not one."""
    single = Single(tmp_path, routers=3)
    assert single.holds(single.rules)
    (own,) = (
        rule
        for rule in single.rules
        if rule.table == RuleTable.GUARD
        and {"in_port", "eth_src", "eth_type"} == {each.name for each in rule.match}
        and Field("in_port", 10 + number) in rule.match
        and Field("eth_type", 0x0800) in rule.match
    )
    assert not single.holds(swapped(single.rules, own))


def test_what_is_let_in_without_the_mark_of_a_host_s_packet_is_noticed(single: Single) -> None:
    """Each rule of one port for ARP and neighbour discovery: a question for nobody's address is
    reported if it came from a host, and only then."""
    mark = Load(layout.FROM_EDGE, 1)
    letting = [
        rule
        for rule in single.rules
        if rule.table == RuleTable.GUARD
        and Field("in_port", 2) in rule.match
        and {"arp_sha", "nd_sll", "nd_tll"} & {each.name for each in rule.match}
        and "arp_tpa" not in {each.name for each in rule.match}  # asks for itself alone
        and mark in rule.actions
    ]
    assert len(letting) > 4
    for rule in letting:
        actions = tuple(
            Load(layout.FROM_EDGE, 0) if each == mark else each for each in rule.actions
        )
        assert not single.holds(swapped(single.rules, rule, replace(rule, actions=actions))), rule


def more(single: Single, port: int) -> tuple[Policy, SwitchView]:
    host = Host(
        "new", "02:00:00:00:09:01", (ip_address("10.0.0.9"), ip_address("fd00::9")), 1, port
    )
    hosts = (*single.policy.hosts, replace(host, labels=single.policy.hosts[0].labels))
    return replace(single.policy, hosts=hosts), replace(
        single.view, ports=(*single.view.ports, port)
    )


@pytest.mark.parametrize("wrong", [None, 1, 3, 9])
def test_what_a_flood_becomes_for_a_new_port_is_proven(single: Single, wrong: int | None) -> None:
    """The flood's rule is another; with one port left out of it the change does not hold."""
    everything = single.prover.prove({1: single.rules})
    policy, view = more(single, 9)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    change = single.compiler.update(policy, membership, bindings, NOW)
    rules = single.compiler.rules(view, NOW)
    if wrong is not None:
        flood = max(
            (r for r in rules if r.table == RuleTable.FORWARD), key=lambda r: len(r.actions)
        )
        actions = tuple(each for each in flood.actions if each != Output(wrong))
        rules = tuple(swapped(rules, flood, replace(flood, actions=actions)))
    own = change_between(_after(single.rules, change), rules)
    whole = Update(change.everywhere, {1: change.single.get(1, RuleChange()) + own})
    proof = single.prover.update(policy, membership, bindings, whole, views={1: view})
    assert proof.holds is (wrong is None)
    if wrong is None:
        assert proof.statistics["rules"] < everything.statistics["rules"] / 2, "all was looked at"


def _after(rules: Iterable[Rule], change: Update) -> list[Rule]:
    known = {rule.key: rule for rule in rules}
    for rule in change.on(1).removed:
        known.pop(rule.key, None)
    known |= {rule.key: rule for rule in change.on(1).added}
    return list(known.values())


# -- owners of targets ------------------------------------------------------------------------

VIEW = SwitchView(1, (1,), frozenset({90, 91}), {2: 90, 3: 90, 4: 91})


def _way(owner: int, *actions: Output | OutputRegister) -> Rule:
    high, low = layout.OWNER_REGS
    return Rule(RuleTable.FORWARD, 100, match(Field(high, 0), Field(low, owner)), actions, 0)


WAYS = (_way(1, OutputRegister(layout.OWNER_PORT)), _way(2, Output(90)), _way(3, Output(90)))


def owners(*rules: Rule, written: int = 0) -> Owners:
    tables: dict[int, TableIndex] = {}
    for rule in rules:
        tables.setdefault(rule.table, TableIndex()).add(rule)
    return Owners(tables, VIEW, written, {})


def test_switches_with_the_same_way_are_alike() -> None:
    found = owners(*WAYS, _way(4, Output(91)))
    assert found.kind(2) == found.kind(3) != found.kind(4)
    assert found.kind(1) == 1


@pytest.mark.parametrize(
    "rule",
    [
        _way(2, Output(91)),  # another way
        replace(_way(2, Output(90)), cookie=1),
        replace(_way(3), table=RuleTable.OBSERVE),  # one more rule about one of them
        Rule(
            RuleTable.AUDIT, 5, (Field(layout.OWNER_REGS[1], 0, 1),), (Goto(RuleTable.RECORD),), 0
        ),
        Rule(RuleTable.LOCALITY, 5, (), (Load(Bits(layout.OWNER_REGS[1], 0, 1), 1),), 0),
        Rule(RuleTable.AUDIT, 5, (), (OutputRegister(Bits(layout.OWNER_REGS[1], 0, 16)),), 0),
    ],
)
def test_a_rule_that_tells_two_switches_apart_is_heeded(rule: Rule) -> None:
    others = [each for each in WAYS if each.key != rule.key]
    found = owners(*others, rule)
    assert found.kind(2) != found.kind(3)


def test_links_tell_switches_apart_whatever_the_rules_say() -> None:
    found = owners(*WAYS, _way(4, Output(90)))
    assert found.kind(2) != found.kind(4)


# -- places -------------------------------------------------------------------------------------


def test_an_address_at_several_places_is_at_the_first_of_those_that_are_left() -> None:
    mac, number = 0x02_00_00_00_00_01, 10 << 24 | 1
    places = AttachmentPoints()
    there = [Binding("02:00:00:00:00:01", "10.0.0.1", switch, 1) for switch in (3, 1, 2)]
    for binding in there:
        places.add(binding)
    left = {1, 2, 3}
    for gone in (2, 1, 3):
        assert places.macs[mac] == places.numbers[number] == (min(left), 1)
        places.remove(next(each for each in there if each.switch == gone))
        left.remove(gone)
    assert mac not in places.macs and number not in places.numbers
    places.add(there[0])
    assert places.macs[mac] == places.numbers[number] == (3, 1)
