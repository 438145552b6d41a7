"""Rules for switches without connection tracking, on Open vSwitch without any of its extensions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from mininet_tests.experiments.agreement import draw
from mininet_tests.experiments.traced import Bridge
from policies.compiler import SwitchView, declared_bindings
from policies.compiler.common.services import PORTS
from policies.compiler.probe_packets import binding_of, packet_of
from policies.compiler.targets import Form, RulesOfAll, SwitchTarget
from policies.language.reader import load_policy
from policies.model import Policy
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.verify import read_rules
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.stateless import prove_stateless
from policies.verify.stateless.meaning import FLOOD, Meaning, SmallMeaning
from tests.support.mutations import SMALL_KINDS, STATELESS_KINDS, mutations
from topology.fabric import Fabric
from topology.records import Link

POLICY = Path(__file__).parents[1] / "scenarios" / "agreement-policy.yaml"
FABRIC = Fabric.of([Link(1, 11, 2, 11), Link(2, 12, 3, 11)])
EXTENSIONS = re.compile(r"load:|move:|learn\(|ct\(|resubmit|reg\d|ct_|NXM|controller\(")
NOW = 1_000_000.0
SWITCH, PACKETS, FAULTS = 2, 400, 12


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge("sptplnlive")
    yield made
    made.close()


def packets(policy: Policy, view: SwitchView, seed: int) -> Iterator[tuple[str, dict[str, int]]]:
    """First packets, answers, packets with other ports, and from where they may not come."""
    bindings, chance = declared_bindings(policy), Random(seed)
    for connection in draw(policy, seed):
        sender = binding_of(str(connection.src), bindings)
        receiver = binding_of(str(connection.dst), bindings)
        assert sender is not None and receiver is not None
        kind = chance.choice(("first", "answer", "other", "astray"))
        start = receiver if kind == "answer" else sender
        port = start.port if start.switch == view.switch else view.next_ports[start.switch]
        packet = packet_of(connection, sender, receiver, in_port=port, reply=kind == "answer")
        name = PORTS.get(connection.proto)
        if kind == "other" and name is not None:
            edges = (0, 1, 1023, 1024, 65_535, connection.port + 1, connection.port - 1)
            packet |= {f"{name}_{end}": chance.choice(edges) & 0xFFFF for end in ("src", "dst")}
        elif kind == "astray":
            packet["in_port"] = chance.choice(view.ports)
        yield kind, packet


@pytest.mark.timeout(150)
@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("target", [SwitchTarget.STATELESS, SwitchTarget.SINGLE])
def test_plain_rules_do_on_a_switch_what_the_policy_says(
    bridge: Bridge, target: SwitchTarget, masks: bool
) -> None:
    policy = load_policy([POLICY])
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    trunks = FABRIC.trunks(SWITCH)
    ports = {each.port for each in bindings if each.switch == SWITCH} | trunks
    view = SwitchView(SWITCH, tuple(sorted(ports)), trunks, FABRIC.next_ports(SWITCH))
    form = Form(target, masks)
    rules = RulesOfAll({SWITCH: form}, policy, membership, bindings, NOW).rules(view)
    bridge.load(rules)
    held = bridge.dump()
    assert not EXTENSIONS.search(held)
    assert set(read_rules(held.splitlines())) == set(rules)

    kind_of = Meaning if target is SwitchTarget.STATELESS else SmallMeaning
    meaning = kind_of(policy, membership, view, AttachmentPoints.of(bindings), NOW, masks)
    seen: Counter[tuple[str, bool]] = Counter()
    for kind, packet in islice(packets(policy, view, seed=5), PACKETS if masks else PACKETS // 4):
        fate = meaning.fate(packet)
        wanted = frozenset() if fate.output is None else frozenset({fate.output})
        if fate.output == FLOOD:
            wanted = frozenset(ports) - {packet["in_port"]}
        sent, reported = bridge.fate(packet)
        assert sent == wanted, (kind, packet, fate)
        assert fate.report in (None, reported), (kind, packet, fate)
        seen[kind, bool(sent)] += 1
    if masks:
        assert all(seen[kind, True] >= 5 for kind in ("first", "answer", "other")), seen
        assert all(seen[kind, False] >= 5 for kind in ("first", "other", "astray")), seen
        _faults_show(bridge, policy, view, form, rules)


def _faults_show(
    bridge: Bridge, policy: Policy, view: SwitchView, form: Form, rules: tuple[Rule, ...]
) -> None:
    """What is called a fault is one: the switch treats the packet otherwise with and without."""
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    kinds = STATELESS_KINDS if form.target is SwitchTarget.STATELESS else SMALL_KINDS
    shown = 0
    for _, mutant, (rule, after) in mutations(rules, Random(7), 60, kinds):
        found = prove_stateless(form, policy, membership, view, bindings, mutant, NOW)
        if not found.counterexamples or not found.counterexamples[0].traceable:
            continue
        (example,) = found.counterexamples
        bridge.load(rules)
        before = bridge.trace(example)
        bridge.load(mutant)
        assert bridge.trace(example) != before, (rule, after, example)
        shown += 1
        if shown == FAULTS:
            return
    raise AssertionError(f"only {shown} faults were shown")
