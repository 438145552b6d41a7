"""Tagged ports are proven: whose frames have which tag, on the way in and on the way out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from policies.compiler import Compiler, SwitchView, declared_bindings
from policies.model import Defaults, Host, Intent, Mode, Policy, Segment, Selector, Service
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Field, Load, Output, PopVlan, PushVlan, Rule
from policies.semantics.membership import Membership
from policies.verify import Proof, Prover
from topology.fabric import Fabric
from topology.records import Link

pytestmark = pytest.mark.thorough

NOW = 1_000_000.0


def host(number: int, switch: int, port: int, vlan: int | None = None) -> Host:
    ips = (ip_address(f"10.0.0.{number}"), ip_address(f"fd00::{number}"))
    labels = (("role", "a" if number % 2 else "b"),)
    return Host(f"h{number}", f"02:00:00:00:00:{number:02x}", ips, switch, port, vlan, labels)


HOSTS = (
    host(1, 1, 1),
    host(2, 1, 1, 10),
    host(3, 1, 1, 20),
    host(4, 1, 2, 30),  # alone on its port: no tags there
    host(5, 1, 3, 10),
    host(6, 1, 3, 20),
    host(7, 2, 1),
    host(8, 2, 1, 10),
)
SEGMENTS = tuple(
    Segment(name, (Selector((("role", name),)),), mode)
    for name, mode in (("a", Mode.ENFORCE), ("b", Mode.AUDIT))
)
POLICY = Policy(
    "vlans",
    HOSTS,
    SEGMENTS,
    (),
    (Intent("web", ("a",), ("any",), (Service(6, 80, 80), Service(17))),),
    Defaults(mode=Mode.ENFORCE),
)
FABRIC = Fabric.of([Link(1, 90, 2, 91)])
VIEWS = {
    number: SwitchView(number, ports, FABRIC.trunks(number), FABRIC.next_ports(number))
    for number, ports in ((1, (1, 2, 3)), (2, (1,)))
}


class TaggedSwitch:
    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy, self.bindings = policy, declared_bindings(policy)
        self.membership = Membership(policy, self.bindings)
        self.compiler = Compiler(policy, self.membership, self.bindings, NOW)
        self.rules = {n: self.compiler.rules(view, NOW) for n, view in VIEWS.items()}

    def prover(self) -> Prover:
        return Prover(self.policy, self.membership, VIEWS, self.bindings, NOW)

    def proof(self, *rules: Rule) -> Proof:
        """Of switch 1, with the rules given instead of its own."""
        return self.prover().prove({1: rules})


@pytest.fixture(scope="module")
def network() -> TaggedSwitch:
    return TaggedSwitch()


def test_a_network_with_tagged_ports_is_proven(network: TaggedSwitch) -> None:
    proof = network.prover().prove(network.rules)
    assert proof.counterexamples == () and proof.unproven == ()
    assert proof.holds


def _faults(rules: tuple[Rule, ...]) -> Iterator[tuple[Rule, Rule | None]]:
    """Every rule about tags with one thing about them wrong."""
    for rule in rules:
        if {"arp_tpa", "nd_target"} & {each.name for each in rule.match} and {
            Field("arp_spa", 0),
            Field("ipv6_src", 0),
        } & {*rule.match}:
            continue  # a question for the host's own address leaves by no port
        tag = next((each for each in rule.match if each.name == "vlan_vid"), None)
        if tag is not None and tag.mask is None and rule.table == RuleTable.GUARD:
            rest = tuple(each for each in rule.match if each is not tag)
            yield rule, replace(rule, match=rest)
            other = tuple(
                replace(each, value=0x1000 | 77) if each is tag else each for each in rule.match
            )
            yield rule, replace(rule, match=other)
            yield rule, None
        elif tag is not None and rule.priority < 400:
            yield rule, None
        for at, action in enumerate(rule.actions):
            before, after = rule.actions[:at], rule.actions[at + 1 :]
            if isinstance(action, PopVlan | PushVlan):
                yield rule, replace(rule, actions=(*before, *after))
            elif isinstance(action, Load) and action.target in (layout.VLAN, TAG):
                if rule.table < RuleTable.FORWARD and Load(layout.OWNER, 1) not in rule.actions:
                    continue  # another switch tags the frame
                wrong = replace(action, value=20 if action.value == 10 else 10)
                yield rule, replace(rule, actions=(*before, wrong, *after))
        if rule.table == RuleTable.STATIONS and PushVlan() in rule.actions:
            last = max(i for i, each in enumerate(rule.actions) if isinstance(each, Output))
            yield rule, replace(rule, actions=rule.actions[:last])


TAG = next(
    action.target
    for rule in TaggedSwitch().rules[1]
    for action in rule.actions
    if isinstance(action, Load) and action.target.field == "vlan_vid"
)


@pytest.mark.parametrize("part", range(3))
def test_what_is_wrong_with_a_tag_is_noticed(network: TaggedSwitch, part: int) -> None:
    rules = network.rules[1]
    faults = list(_faults(rules))
    assert len(faults) > 200
    for rule, wrong in faults[part::31]:
        rest = [each for each in rules if each is not rule]
        proof = network.proof(*rest, *(() if wrong is None else (wrong,)))
        assert not proof.holds, (rule, wrong)


def test_a_counterexample_says_which_tag_was_wrong(network: TaggedSwitch) -> None:
    (way,) = (
        rule
        for rule in network.rules[1]
        if rule.table == RuleTable.FORWARD and Load(TAG, 10) in rule.actions
    )
    actions = tuple(Load(TAG, 11) if each == Load(TAG, 10) else each for each in way.actions)
    rest = [each for each in network.rules[1] if each is not way]
    (example,) = network.proof(*rest, replace(way, actions=actions)).counterexamples
    assert "VLAN 11" in example.differences[0] and "VLAN 10" in example.differences[0]


def test_a_host_s_other_vlan_is_followed(network: TaggedSwitch) -> None:
    prover = network.prover()
    assert prover.prove(network.rules).holds
    moved = tuple(replace(each, vlan=40) if each.name == "h3" else each for each in HOSTS)
    policy = replace(POLICY, hosts=moved)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    change = TaggedSwitch().compiler.update(policy, membership, bindings, NOW)
    assert prover.update(policy, membership, bindings, change).holds
    nothing = type(change)(type(change.everywhere)(), {})
    assert not prover.update(POLICY, network.membership, network.bindings, nothing).holds
