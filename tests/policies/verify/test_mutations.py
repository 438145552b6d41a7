"""Faulty rules: all that change what a switch does are found, and none of the others.

What a fault changes is decided without the prover, by `tests.support.oracle`.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from policies.compiler import Compiler, SwitchView, declared_bindings
from policies.language.reader import load_policy
from policies.model import Policy
from policies.rules.layout import (
    Category,
    RuleTable,
    category_of,
    connection_meter,
    cookie,
    name_number,
)
from policies.rules.rule import Field, Rule, Track, UseMeter, match
from policies.semantics.membership import Membership
from policies.verify import Prover
from policies.verify.inactive_rules import awake, unset_marks
from policies.verify.machine import FULL_TABLE
from tests.support.four_segments import POLICY
from tests.support.mutations import mutations
from tests.support.oracle import Oracle
from tests.support.probe_packets import ProbePacket
from topology.fabric import Fabric
from topology.records import Link

pytestmark = pytest.mark.thorough

NOW = 1_000_000.0


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("prove") / "policy.yaml"
    path.write_text(POLICY)
    return load_policy([path])


class MutatedSwitch:
    """Switch 1 of a policy's two switches."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.bindings = declared_bindings(policy)
        self.membership = Membership(policy, self.bindings)
        fabric = Fabric.of([Link(1, 90, 2, 91)])
        self.view = SwitchView(1, (1, 2, 3), fabric.trunks(1), fabric.next_ports(1))
        compiler = Compiler(policy, self.membership, self.bindings, NOW)
        self.rules = compiler.rules(self.view, NOW)

    def oracle(self, seed: int) -> Oracle:
        return Oracle(self.policy, self.membership, self.view, self.bindings, self.rules, seed, 700)

    def prover(self) -> Prover:
        return Prover(self.policy, self.membership, {1: self.view}, self.bindings, NOW)


@pytest.fixture(scope="module")
def network(policy: Policy) -> MutatedSwitch:
    return MutatedSwitch(policy)


def test_the_compiler_s_rules_hold(network: MutatedSwitch) -> None:
    proof = network.prover().prove({1: network.rules})
    assert proof.counterexamples == ()
    assert proof.unproven == ()
    assert proof.holds
    assert proof.statistics["rules"] == len(awake(network.rules, unset_marks(network.rules)))


@pytest.mark.parametrize("seed", range(2))
def test_a_fault_is_found_exactly_when_it_changes_something(
    network: MutatedSwitch, seed: int
) -> None:
    oracle = network.oracle(seed)
    found = 0
    for kind, rules, (rule, after) in mutations(network.rules, Random(seed), 14):
        proof = network.prover().prove({1: rules})
        told = f"{kind}: {rule} became {after}"
        for example in proof.counterexamples:
            found += 1
            # What a DHCP client sends comes a second time, checked, which no such packet shows.
            if not example.tied and example.packet.get("udp_dst") not in (67, 547):
                probe = ProbePacket(dict(example.packet), example.ct_state, example.counted)
                assert oracle.differs(rules, probe), told
        if not proof.counterexamples:
            assert oracle.shown(rules, rule, after) is None, told
            assert proof.unproven == (), told
    assert found >= 4


def test_the_oracle_knows_a_change_from_none(network: MutatedSwitch) -> None:
    oracle = network.oracle(1)
    denying = next(
        each
        for each in network.rules
        if each.table == RuleTable.POLICY
        and each.cookie == cookie(Category.INTENT, name_number("shut"))
    )
    without = [each for each in network.rules if each is not denying]
    shown = oracle.shown(without, denying, None)
    assert shown is not None and oracle.differs(without, shown)
    same = replace(denying, priority=denying.priority + 1)
    assert oracle.shown([*without, same], denying, same) is None


def test_a_rule_that_a_mask_widens_is_shown_by_a_packet_beside_it(network: MutatedSwitch) -> None:
    """Offers that are flooded without a verdict, from one more port than servers use."""
    offer = next(
        each
        for each in network.rules
        if each.table == RuleTable.LOCALITY and Field("udp_src", 67) in each.match
    )
    fields = [each for each in offer.match if each.name != "udp_src"]
    wider = replace(offer, match=match(*fields, Field("udp_src", 67, 0xDFFF)))
    rules = [*(each for each in network.rules if each is not offer), wider]
    (example,) = network.prover().prove({1: rules}).counterexamples
    assert example.packet["udp_src"] == 67 | 0x2000
    assert network.oracle(1).shown(rules, offer, wider) is not None


def test_tracking_in_another_switch_s_zone_is_noticed(network: MutatedSwitch) -> None:
    tracking = [each for each in network.rules if any(isinstance(a, Track) for a in each.actions)]
    assert len(tracking) > 2
    for rule in tracking:
        actions = (replace(a, zone=a.zone + 1) if isinstance(a, Track) else a for a in rule.actions)
        wrong = replace(rule, actions=tuple(actions))
        rules = [*(each for each in network.rules if each is not rule), wrong]
        (example,) = network.prover().prove({1: rules}).counterexamples
        assert "tracked in another switch's zone" in example.differences


def test_attribution_counts(network: MutatedSwitch) -> None:
    rules = [
        Rule(r.table, r.priority, r.match, r.actions, r.cookie ^ 1)
        if category_of(r.cookie) == Category.INTENT
        else r
        for r in network.rules
    ]
    (example,) = network.prover().prove({1: rules}).counterexamples
    assert any("cookie" in text for text in example.differences)
    assert example.intent is not None
    assert example.rule is not None and category_of(example.rule.cookie) == Category.INTENT


def test_a_fragment_shows_a_fault_in_the_rules_about_fragments(network: MutatedSwitch) -> None:
    """Each of a few kinds taken away."""
    about = [rule for rule in network.rules if any(each.name == "ip_frag" for each in rule.match)]
    kinds = {(rule.table, rule.priority) for rule in about}
    assert kinds == {
        *((RuleTable.CONNECTION, priority) for priority in (260, 130)),
        *((RuleTable.COMMIT, priority) for priority in (310, 215, 210, 200)),
    }
    oracle = network.oracle(1)
    for table, priority in sorted(kinds):
        gone = next(each for each in about if (each.table, each.priority) == (table, priority))
        rules = [each for each in network.rules if each is not gone]
        proof = network.prover().prove({1: rules})
        assert proof.counterexamples, gone
        (example, *_) = proof.counterexamples
        assert example.packet["ip_frag"] and not example.traceable, gone
        probe = ProbePacket(dict(example.packet), example.ct_state, example.counted)
        assert oracle.differs(rules, probe), gone


def test_a_connection_that_is_not_remembered_must_not_pass(network: MutatedSwitch) -> None:
    forward = [rule for rule in network.rules if rule.table == RuleTable.FORWARD]
    (told,) = (r for r in forward if any(each.name == "ct_label" for each in r.match))
    rules = [each for each in network.rules if each is not told]
    (example, *_) = network.prover().prove({1: rules}).counterexamples
    assert example.ct_state & FULL_TABLE and not example.traceable
    always = replace(told, match=tuple(each for each in told.match if each.name != "ct_label"))
    (example, *_) = network.prover().prove({1: [*rules, always]}).counterexamples
    assert not example.traceable, "a trace takes what has been remembered for established"


@pytest.mark.threat("connection-tables")
def test_new_connections_must_pass_the_meter_of_their_port(network: MutatedSwitch) -> None:
    meter = UseMeter(connection_meter(1))
    (own,) = (each for each in network.rules if meter in each.actions)
    others = [each for each in network.rules if each is not own]
    for wrong in ([], [replace(own, actions=(UseMeter(connection_meter(2)),))]):
        proof = network.prover().prove({1: [*others, *wrong]})
        assert not proof.holds
        (example, *_) = proof.counterexamples
        assert "new connections are not metered by their own port" in example.differences
