"""Faulty rules: all that change what a switch does are found, and none of the others.

What a fault changes is decided without the prover: `policies.interpreter` runs
packets, drawn at random and drawn towards the faulty rule, through both sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest

from benchmarks.policy_mutations import mutations
from policies import layout
from policies.compiler import Compiler, SwitchView, declared_bindings
from policies.interpreter import Interpreter
from policies.layout import Category, category_of
from policies.membership import Membership
from policies.model import Policy
from policies.prove import Prover
from policies.prove.dormant import awake, unset_marks
from policies.prove.expect import IPV6
from policies.prove.flows import ASKS, STATES, Asked, packet_of
from policies.prove.places import Places
from policies.prove.text import width_of
from policies.reader import load_policy
from policies.regions import SIX
from policies.rules import Commit, Learn, Rule, Track
from topology.fabric import Fabric
from topology.records import Link

NOW = 1_000_000.0
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
hosts:
  a1: {mac: "00:00:00:00:01:01", ip: [10.0.1.1, "fd00:1::1"], switch: 1, port: 1, labels: {role: a}}
  a2: {mac: "00:00:00:00:01:02", ip: [10.0.1.2], switch: 1, port: 2, labels: {role: a}}
  b1: {mac: "00:00:00:00:02:01", ip: [10.0.2.1, "fd00:2::1"], switch: 1, port: 3, labels: {role: b}}
  c1: {mac: "00:00:00:00:03:01", ip: [10.0.3.1, "fd00:3::1"], switch: 2, port: 1, labels: {role: c}}
  d1: {mac: "00:00:00:00:04:01", ip: [10.0.4.1], switch: 2, port: 2, labels: {role: d}}
segments:
  a: {members: [{labels: {role: a}}], mode: enforce}
  b: {members: [{labels: {role: b}}], mode: audit}
  c: {members: [{labels: {role: c}}], mode: observe}
  wide: {members: [{cidr: 10.0.0.0/16, except: [10.0.4.0/24]}], mode: observe}
intents:
  - {name: web, from: a, to: b, services: [tcp/80, tcp/8000-8010, icmp]}
  - {name: near, from: wide, to: c, services: [udp/53, tcp/80]}
  - {name: shut, from: any, to: c, services: [tcp/80-90], action: deny, tier: security}
  - {name: guests, from: unknown, to: b, services: [tcp/443], tier: baseline}
  - {name: rescue, from: any, to: a, services: [tcp/22, icmpv6/echo-request], tier: emergency}
  - {name: tunnels, from: c, to: any, services: [ip/47, sctp/9000]}
defaults: {action: deny, mode: observe}
"""
SERVICES = (
    (6, 22),
    (6, 80),
    (6, 85),
    (6, 443),
    (6, 8005),
    (17, 53),
    (132, 9000),
    (1, 8),
    (58, 128),
    (47, 0),
    (89, 0),
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("prove") / "policy.yaml"
    path.write_text(POLICY)
    return load_policy([path])


class Network:
    """Switch 1 of a policy's two switches."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.bindings = declared_bindings(policy)
        self.membership = Membership(policy, self.bindings)
        fabric = Fabric.of([Link(1, 90, 2, 91)])
        self.view = SwitchView(1, (1, 2, 3), fabric.trunks(1), fabric.next_ports(1))
        compiler = Compiler(policy, self.membership, self.bindings, NOW)
        self.rules = compiler.rules(self.view, NOW)
        self.places = Places.of(self.bindings)

    def prover(self) -> Prover:
        return Prover(self.policy, self.membership, {1: self.view}, self.bindings, NOW)


@pytest.fixture(scope="module")
def network(policy: Policy) -> Network:
    return Network(policy)


def observed(rules: Interpreter, packet: Mapping[str, int], state: int) -> tuple[object, ...]:
    """All that can be seen of a packet's passage from outside, and to whom it is attributed."""
    passage = rules.run(packet, state)
    flags = passage.fields.get("reg0", 0)
    # Only connections are judged: what the register holds of others nobody reads.
    request = packet["eth_type"] == 0x0806 or "nd_target" in packet
    outcome = 0 if request else flags >> layout.OUTCOME.low & 7
    causes = [r.cookie for r in passage.rules if category_of(r.cookie) in (4, 5)]
    judged = (passage.fields.get("reg1", 0), causes) if outcome else ()
    return (
        sorted(passage.outputs),
        [(meter, flags >> layout.REASON.low & 15) for meter in passage.copies],
        [
            (act.zone, passage.fields.get(act.mark.field, 0)) if isinstance(act, Commit) else act
            for rule in passage.rules
            for act in rule.actions
            if isinstance(act, Commit | Track | Learn)
        ],
        outcome,
        judged,
    )


def drawn(network: Network, random: Random) -> Iterator[tuple[dict[str, int], int]]:
    """Connections between anybody, from any port, in any state; some with a borrowed address."""
    held = [
        (switch, port, mac, number)
        for (switch, port), macs in network.places.held.items()
        for mac, numbers in macs.items()
        for number in sorted(numbers)
    ]
    strangers = [0x0A000909, 0x0A000409, 0x01010101, SIX | 5 << 120]
    while True:
        switch, port, mac, number = random.choice(held)
        others = [*(each[3] for each in held), *strangers]
        other = random.choice([each for each in others if each & SIX == number & SIX])
        target = random.choice([*(each[2] for each in held), 0x0000_0000_9999, 1 << 40])
        state = random.choice(STATES)
        ends = (other, number) if state & 8 else (number, other)
        if random.random() < 0.05:
            mac = random.choice(held)[2]
        in_port = port if switch == 1 and random.random() < 0.9 else 90
        proto, far = random.choice(SERVICES)
        if proto == (1 if number >= SIX else 58):
            far = 0  # in the other family the number is just a number, without types
        yield packet_of(Asked(*ends, proto, far), in_port, mac, target, state), state


def requests(network: Network, random: Random) -> Iterator[dict[str, int]]:
    """ARP and neighbour discovery, honest and not."""
    held = [
        (place, mac, sorted(numbers))
        for place, macs in network.places.held.items()
        for mac, numbers in macs.items()
    ]
    while True:
        (switch, port), mac, own = random.choice(held)
        _, other, theirs = random.choice(held)
        start = {
            "in_port": port if switch == 1 else 90,
            "eth_src": mac,
            "eth_dst": random.choice((other, 0xFFFF_FFFF_FFFF)),
        }
        claimed = random.choice((mac, mac, mac, other, 0))
        if random.random() < 0.5:
            yield start | {
                "eth_type": 0x0806,
                "arp_op": random.choice((1, 2)),
                "arp_sha": claimed,
                "arp_spa": random.choice((own[0], theirs[0], 0)),
                "arp_tpa": random.choice((own[0], theirs[0], 0x0909_0909)),
            }
            continue
        kind = random.choice((135, 136))
        yield start | {
            "eth_type": IPV6,
            "ip_proto": 58,
            "icmpv6_type": kind,
            "icmpv6_code": 0,
            "ipv6_src": random.choice((own[-1] ^ SIX, theirs[-1] ^ SIX, 0)),
            "ipv6_dst": theirs[-1] ^ SIX,
            "nd_target": random.choice((own[-1], theirs[-1])) ^ SIX,
            "nd_sll" if kind == 135 else "nd_tll": claimed,
        }


def towards(rule: Rule, packet: dict[str, int]) -> dict[str, int]:
    """The packet with the values that a rule matches, if it is of the rule's protocol."""
    changed = dict(packet)
    for field in rule.match:
        if field.name.startswith("reg") or field.name == "ct_state":
            continue
        if field.name not in packet:
            return packet
        full = (1 << width_of(field.name)) - 1
        mask = full if field.mask is None else field.mask
        value = changed[field.name] & ~mask & full | field.value
        if field.name in ("eth_type", "ip_proto", "icmpv6_type") and value != packet[field.name]:
            return packet
        changed[field.name] = value
    return changed


def test_the_compiler_s_rules_hold(network: Network) -> None:
    proof = network.prover().prove({1: network.rules})
    assert proof.counterexamples == ()
    assert proof.unproven == ()
    assert proof.holds
    assert proof.statistics["rules"] == len(awake(network.rules, unset_marks(network.rules)))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(2))
def test_a_fault_is_found_exactly_when_it_changes_something(network: Network, seed: int) -> None:
    random = Random(seed)
    original = Interpreter(network.rules)
    source = drawn(network, Random(seed))
    packets = [next(source) for _ in range(600)]
    asked = requests(network, Random(seed))
    packets += [(next(asked), ASKS) for _ in range(120)]
    Random(seed).shuffle(packets)
    before = [observed(original, packet, state) for packet, state in packets]
    found = 0
    for kind, rules, (rule, after) in mutations(network.rules, random, 14):
        proof = network.prover().prove({1: rules})
        mutant = Interpreter(rules)
        told = f"{kind}: {rule} became {after}"
        for example in proof.counterexamples:
            found += 1
            if not example.counted and not example.tied:
                one = observed(original, example.packet, example.ct_state)
                assert one != observed(mutant, example.packet, example.ct_state), told
        if not proof.counterexamples:
            assert _alike(original, mutant, packets, before, (rule, after)), told
            assert proof.unproven == (), told
    assert found >= 4


def _alike(
    original: Interpreter,
    mutant: Interpreter,
    packets: Sequence[tuple[dict[str, int], int]],
    before: Sequence[tuple[object, ...]],
    faulty: tuple[Rule, Rule | None],
) -> bool:
    for (packet, state), then in zip(packets, before, strict=True):
        if observed(mutant, packet, state) != then:
            return False
    for rule in filter(None, faulty):
        for packet, state in packets[:150]:
            aimed = towards(rule, packet)
            if observed(mutant, aimed, state) != observed(original, aimed, state):
                return False
    return True


def test_attribution_counts(network: Network) -> None:
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
