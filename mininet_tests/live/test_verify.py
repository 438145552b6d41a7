"""Rules read back from a real switch are proven; faults are what the switch's own trace shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from mininet_tests.experiments.traced import Bridge
from policies.compiler import SwitchView, compile_switch, declared_bindings
from policies.language.reader import load_policy
from policies.semantics.membership import Membership
from policies.verify import Prover, read_rules
from tests.support.mutations import mutations
from topology.fabric import Fabric
from topology.records import Link

POLICY = Path(__file__).parents[1] / "scenarios" / "agreement-policy.yaml"
NOW = 1_000_000.0
FAULTS = 25


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge("sptprvlive")
    yield made
    made.close()


@pytest.mark.timeout(180)
def test_what_a_switch_holds_is_proven_and_faults_are_real(bridge: Bridge) -> None:
    policy = load_policy([POLICY])
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    fabric = Fabric.of([Link(1, 11, 2, 11), Link(2, 12, 3, 11)])
    ports = tuple(sorted({each.port for each in bindings if each.switch == 1}))
    view = SwitchView(1, ports, fabric.trunks(1), fabric.next_ports(1))
    rules = compile_switch(policy, membership, view, bindings, NOW)

    def prover() -> Prover:
        return Prover(policy, membership, {1: view}, bindings, NOW)

    bridge.load(rules)
    held = tuple(read_rules(bridge.dump().splitlines()))
    assert set(held) == set(rules)
    assert prover().prove({1: held}).holds

    shown = 0
    for _, mutant, (rule, after) in mutations(rules, Random(3), 120):
        (example, *_) = prover().prove({1: mutant}).counterexamples or (None,)
        if example is None or not example.traceable:
            continue
        bridge.load(rules, counted=example.counted)
        before = bridge.trace(example)
        bridge.load(mutant, counted=example.counted)
        assert bridge.trace(example) != before, (rule, after, example)
        shown += 1
        if shown == FAULTS:
            break
    assert shown == FAULTS
