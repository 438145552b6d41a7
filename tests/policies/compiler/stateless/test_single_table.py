"""Rules for one small table, run in software, against the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import CompileError, SwitchView, declared_bindings
from policies.compiler.probe_packets import binding_of, packet_of
from policies.compiler.stateless import single_table as single
from policies.compiler.stateless.single_table import single_rules
from policies.model import (
    ANY,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    Connection,
    Defaults,
    Intent,
    Mode,
    Policy,
    Restriction,
    Service,
)
from policies.rules.rule import Output, Rule
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from tests.support.random_policies import HOSTS, NOW, connections, policies
from topology.fabric import Fabric
from topology.records import Link

FABRIC = Fabric.of([Link(1, 9, 3, 8), Link(3, 9, 2, 9)])  # switch 3 has no hosts of its own
CABLES = {(1, 9): (3, 8), (3, 8): (1, 9), (3, 9): (2, 9), (2, 9): (3, 9)}
QUESTIONS = {ICMP: {0: 8, 14: 13, 16: 15, 18: 17}, ICMPV6: {129: 128}}


HELD_ADDRESS = (Restriction(7, "quarantine", HOSTS[0].ips, NOW + 60),)
HELD_PORT = (Restriction(7, "quarantine", (), NOW + 60, ((2, 1),)),)


def rules_of(policy: Policy, switch: int, held: Sequence[Restriction] = ()) -> tuple[Rule, ...]:
    bindings = declared_bindings(policy)
    ports = tuple(sorted({b.port for b in bindings if b.switch == switch}))
    view = SwitchView(switch, ports, FABRIC.trunks(switch), FABRIC.next_ports(switch))
    return single_rules(policy, Membership(policy), view, bindings, NOW, held)


def arrives(
    switches: dict[int, Interpreter], policy: Policy, asked: Connection, *, reply: bool
) -> bool:
    bindings = declared_bindings(policy)
    sender, receiver = (binding_of(str(end), bindings) for end in (asked.src, asked.dst))
    assert sender is not None and receiver is not None
    start, goal = (receiver, sender) if reply else (sender, receiver)
    at, port = start.switch, start.port
    while True:
        packet = packet_of(asked, sender, receiver, in_port=port, reply=reply)
        passage = switches[at].run(packet, 0)
        if not passage.outputs:
            return False
        (out,) = passage.outputs
        if (at, out) == (goal.switch, goal.port):
            return True
        at, port = CABLES[at, out]


def reversed_of(asked: Connection) -> Connection | None:
    """The connection that this packet, sent from port 49152, would be a reply of."""
    src, dst, proto = asked.dst, asked.src, asked.proto
    if proto in (TCP, SCTP) and asked.port < 1024:
        return None
    if proto in (TCP, UDP, SCTP):
        return Connection(src, dst, proto, 49_152)
    if proto in QUESTIONS:
        if asked.port in QUESTIONS[proto].values():
            return None
        return Connection(src, dst, proto, QUESTIONS[proto].get(asked.port, asked.port))
    return Connection(src, dst, proto)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(policies(), connections(), st.sampled_from([(), HELD_ADDRESS, HELD_PORT]))
def test_one_table_passes_what_the_policy_forwards_and_replies(
    policy: Policy, asked: Connection, held: tuple[Restriction, ...]
) -> None:
    switches = {switch: Interpreter(rules_of(policy, switch, held)) for switch in (1, 2, 3)}
    judge = Judge(policy, Membership(policy))
    wanted = judge.verdict(asked, NOW, held)
    answered = reversed_of(asked)
    as_reply = answered is not None and judge.verdict(answered, NOW, held).forwarded
    assert arrives(switches, policy, asked, reply=False) == (wanted.forwarded or as_reply)
    if wanted.forwarded:
        assert arrives(switches, policy, asked, reply=True)


def test_every_rule_stands_alone() -> None:
    policy = Policy("p", HOSTS, (), (), (Intent("all", (ANY,), (ANY,), (Service(),)),))
    for switch in (1, 2, 3):
        rules = rules_of(policy, switch)
        assert {rule.table for rule in rules} == {0}
        assert len({rule.key for rule in rules}) == len(rules)


def test_a_host_cannot_use_the_address_of_another() -> None:
    everything = Intent("all", (ANY,), (ANY,), (Service(),))
    policy = Policy("p", HOSTS, (), (), (everything,), Defaults(mode=Mode.ENFORCE))
    rules = Interpreter(rules_of(policy, 1))
    bindings = declared_bindings(policy)
    one, other, far = (binding_of(str(HOSTS[n].ips[0]), bindings) for n in (1, 3, 0))
    assert one is not None and other is not None and far is not None
    asked = Connection(HOSTS[3].ips[0], HOSTS[0].ips[0], TCP, 80)
    honest = packet_of(asked, other, far, in_port=other.port)
    assert rules.run(honest, 0).outputs == [9]
    assert rules.run(honest | {"in_port": one.port}, 0).outputs == []
    assert rules.run(packet_of(asked, one, far, in_port=one.port), 0).outputs == []


def test_a_question_for_an_address_goes_to_all_ports_and_from_a_trunk_to_its_owner() -> None:
    policy = Policy("p", HOSTS)
    rules = rules_of(policy, 1)
    asking = [r for r in rules if any(f.name == "arp_spa" and f.value for f in r.match)]
    assert asking
    for rule in asking:
        port = next(f.value for f in rule.match if f.name == "in_port")
        outs = {action.port for action in rule.actions if isinstance(action, Output)}
        assert outs == {2, 4, 6, 9} - {port}


def test_types_that_one_intent_decides_are_one_rule_whoever_else_names_them() -> None:
    every = Intent("all-icmp", (ANY,), (ANY,), (Service(ICMP),))
    echo = Intent("echo", (ANY,), (ANY,), (Service(ICMP, 8, 8),))
    policies = [Policy("p", HOSTS, (), (), intents) for intents in ((every,), (every, echo))]
    alone, both = (rules_of(policy, 1) for policy in policies)
    assert alone == both


def test_too_many_rules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "MOST", 20)
    with pytest.raises(CompileError, match="more than 20 rules in its one table"):
        rules_of(Policy("p", HOSTS), 1)
