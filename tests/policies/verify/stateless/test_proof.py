"""Rules of switches without connection tracking: proven as compiled, and no fault goes unseen.

What a fault changes is decided without the prover: `policies.rules.simulator` runs
packets drawn towards the faulty rule through the rules with and without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import SwitchView, declared_bindings
from policies.compiler.targets import Form, RulesOfAll, SwitchTarget
from policies.language.reader import load_policy
from policies.model import Policy
from policies.rules.layout import StatelessTable, category_of
from policies.rules.ovs_text import ovs_lines
from policies.rules.rule import Field, Goto, Rule
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.proof import Proof
from policies.verify.stateless import prove_stateless
from policies.verify.stateless.atoms import Atoms
from policies.verify.stateless.meaning import Meaning
from policies.verify.stateless.walk import DECIDING
from policies.verify.text import read_rules
from tests.support.four_segments import POLICY
from tests.support.mutations import SMALL_KINDS, STATELESS_KINDS, mutations
from tests.support.random_policies import NOW, policies
from topology.fabric import Fabric
from topology.records import Link

pytestmark = pytest.mark.thorough

FABRIC = Fabric.of([Link(1, 9, 2, 9), Link(2, 8, 3, 8)])
PLAIN = (SwitchTarget.STATELESS, SwitchTarget.SINGLE)
EXAMPLES = Path(__file__).parents[4] / "policies/examples"


def view_of(policy: Policy, switch: int) -> SwitchView:
    ports = {b.port for b in declared_bindings(policy) if b.switch == switch}
    trunks = FABRIC.trunks(switch)
    return SwitchView(switch, tuple(sorted(ports | trunks)), trunks, FABRIC.next_ports(switch))


def rules_of(policy: Policy, form: Form, switch: int) -> tuple[Rule, ...]:
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    return RulesOfAll({switch: form}, policy, membership, bindings, NOW).rules(
        view_of(policy, switch)
    )


def proof(policy: Policy, form: Form, switch: int, rules: Sequence[Rule], limit: int = 1) -> Proof:
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    view = view_of(policy, switch)
    return prove_stateless(form, policy, membership, view, bindings, rules, NOW, limit)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("plain") / "policy.yaml"
    path.write_text(POLICY)
    return load_policy([path])


@pytest.mark.parametrize("target", PLAIN)
@pytest.mark.parametrize("masks", [True, False])
def test_what_is_compiled_is_proven(policy: Policy, target: SwitchTarget, masks: bool) -> None:
    form = Form(target, masks)
    for switch in (1, 2, 3):
        found = proof(policy, form, switch, rules_of(policy, form, switch))
        assert found.holds, (found.counterexamples, found.unproven)
        assert found.statistics["regions"] > 10


@pytest.mark.parametrize("target", PLAIN)
@settings(max_examples=15, deadline=None)
@given(policy=policies(), switch=st.sampled_from([1, 2]))
def test_any_policy_s_rules_are_proven(target: SwitchTarget, policy: Policy, switch: int) -> None:
    form = Form(target)
    found = proof(policy, form, switch, rules_of(policy, form, switch))
    assert found.holds, (found.counterexamples, found.unproven)


@pytest.mark.parametrize("target", PLAIN)
def test_rules_read_back_are_proven(target: SwitchTarget) -> None:
    shop = load_policy([EXAMPLES / "shop.yaml"])
    form = Form(target)
    rules = rules_of(shop, form, 1)
    text = ovs_lines(rules)
    held = tuple(read_rules(text.splitlines()))
    assert held == rules
    assert proof(shop, form, 1, held).holds
    assert not proof(shop, form, 1, held[:-40]).holds


def test_a_port_s_swapped_answer_passes_and_its_question_does_not(policy: Policy) -> None:
    """The meaning itself, said once by hand."""
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    places = AttachmentPoints.of(bindings, policy.hosts)
    meaning = Meaning(policy, membership, view_of(policy, 1), places, NOW)
    packet = {
        "in_port": 1, "eth_src": 0x0101, "eth_dst": 0x0301, "eth_type": 0x0800, "ip_proto": 17,
        "ip_src": 0x0A000101, "ip_dst": 0x0A000301, "udp_src": 5000, "udp_dst": 53,
    }  # fmt: skip
    assert meaning.fate(packet).output == 9, "a may ask c for names"
    back = packet | {
        "in_port": 9, "eth_src": 0x0301, "eth_dst": 0x0101,
        "ip_src": 0x0A000301, "ip_dst": 0x0A000101, "udp_src": 53, "udp_dst": 5000,
    }  # fmt: skip
    assert meaning.fate(back).output == 1, "that is the answer"
    assert meaning.fate(back | {"udp_src": 54}).output is None, "and that is none"
    shut = packet | {"ip_dst": 0x0A000102, "eth_dst": 0x0102, "udp_dst": 9}
    assert meaning.fate(shut).output is None, "a may not ask a"
    assert meaning.fate(packet | {"in_port": 2}).report, "not its port"


# Faults


def effect(rules: Interpreter, packet: dict[str, int], named: bool) -> tuple[object, ...]:
    passage = rules.run(packet, 0)
    deciding = [rule for rule in passage.rules if category_of(rule.cookie) in DECIDING]
    causes = [rule.cookie for rule in deciding] if named else []
    return (sorted(passage.outputs), bool(passage.copies) and named, causes)


def near(rule: Rule, policy: Policy, random: Random) -> Iterator[dict[str, int]]:
    """Packets that a rule is about, for all that hosts may be and send."""
    places = AttachmentPoints.of(declared_bindings(policy), policy.hosts)
    macs, numbers = list(places.macs), sorted(places.numbers)
    wanted = {field.name: field for field in rule.match}
    six = wanted["eth_type"].value == 0x86DD if "eth_type" in wanted else None
    for _ in range(60):
        source, target = random.choice(numbers), random.choice(numbers)
        source = _matched(wanted, "ip_src" if source < SIX else "ipv6_src", source)
        family = six if six is not None else random.random() < 0.5
        if bool(source & SIX) != family or bool(target & SIX) != family:
            continue
        port = next(
            (place[1] for place, held in places.held.items() for own in held.values()
             if source in own and place[0] == 1), 9,
        )  # fmt: skip
        mac = next(
            (m for held in places.held.values() for m, own in held.items() if source in own), 1
        )
        packet = {
            "in_port": port, "eth_src": mac, "eth_dst": random.choice(macs),
            "eth_type": 0x86DD if family else 0x0800,
            "ipv6_src" if family else "ip_src": source & ~SIX,
            "ipv6_dst" if family else "ip_dst": target & ~SIX,
            "ip_proto": random.choice((6, 17, 132, 47, 58 if family else 1)),
            "arp_op": random.choice((1, 2)), "arp_sha": mac, "arp_spa": source & ~SIX,
            "arp_tpa": target & ~SIX, "nd_target": target & ~SIX,
            "nd_sll": mac, "nd_tll": mac, "metadata": 0,
        }  # fmt: skip
        for name in ("tcp", "udp", "sctp"):
            packet |= {f"{name}_src": _port(random), f"{name}_dst": _port(random)}
        for name in ("icmp", "icmpv6"):
            packet |= {f"{name}_type": random.choice((0, 8, 13, 128, 129, 1)), f"{name}_code": 0}
        for name, field in wanted.items():
            if name != "metadata" and random.random() < 0.9:
                packet[name] = _inside(field, packet[name], random)
        yield _only_its_own(packet)


def _port(random: Random) -> int:
    edges = (22, 53, 80, 90, 91, 443, 1023, 1024, 8000, 8010, 9000, 50_000)
    return random.choice((*edges, random.randrange(65_536)))


def _matched(wanted: dict[str, Field], name: str, number: int) -> int:
    field = wanted.get(name)
    if field is None or field.mask is not None:
        return number
    return field.value | number & SIX


def _inside(field: Field, value: int, random: Random) -> int:
    return field.value if field.mask is None else field.value | value & ~field.mask


def _only_its_own(packet: dict[str, int]) -> dict[str, int]:
    """Without fields that a packet of its kind does not have."""
    kind, proto = packet["eth_type"], packet["ip_proto"]
    kept = ["in_port", "eth_src", "eth_dst", "eth_type"]
    if kind == 0x0806:
        kept += ["arp_op", "arp_sha", "arp_spa", "arp_tpa"]
    elif kind in (0x0800, 0x86DD):
        family = "ip" if kind == 0x0800 else "ipv6"
        kept += [f"{family}_src", f"{family}_dst", "ip_proto"]
        names = {6: "tcp", 17: "udp", 132: "sctp"}
        if proto in names:
            kept += [f"{names[proto]}_src", f"{names[proto]}_dst"]
        elif (kind, proto) == (0x0800, 1):
            kept += ["icmp_type", "icmp_code"]
        elif (kind, proto) == (0x86DD, 58):
            kept += ["icmpv6_type", "icmpv6_code"]
            if packet["icmpv6_type"] in (135, 136):
                kept += ["nd_target", "nd_sll" if packet["icmpv6_type"] == 135 else "nd_tll"]
    return {name: packet.get(name, 0) for name in kept}


@pytest.mark.parametrize("target", PLAIN)
def test_no_fault_that_changes_a_packet_s_fate_goes_unseen(
    policy: Policy, target: SwitchTarget
) -> None:
    form, random = Form(target), Random(11)
    rules = rules_of(policy, form, 1)
    named = target is SwitchTarget.STATELESS
    right = Interpreter(rules)
    changing = found = 0
    for kind, mutant, (rule, after) in mutations(
        rules, random, 100, STATELESS_KINDS if named else SMALL_KINDS
    ):
        wrong = Interpreter(mutant)
        packets = [p for each in (rule, after) if each for p in near(each, policy, random)]
        differs = any(effect(right, p, named) != effect(wrong, p, named) for p in packets)
        answer = proof(policy, form, 1, mutant)
        changing += differs
        found += bool(answer.counterexamples)
        assert not (differs and answer.holds), (kind, rule, after)
        assert answer.counterexamples or not answer.unproven, (kind, rule, after, answer.unproven)
        for example in answer.counterexamples:
            if not example.tied:
                packet = dict(example.packet)
                assert effect(right, packet, True) != effect(wrong, packet, True)
    assert changing >= 40 and found >= changing


def test_a_rule_that_sends_packets_back_is_not_followed(policy: Policy) -> None:
    form = Form(SwitchTarget.STATELESS)
    rules = rules_of(policy, form, 1)
    back = Rule(StatelessTable.POLICY, 60_000, (), (Goto(StatelessTable.POLICY),), 0)
    answer = proof(policy, form, 1, (*rules, back))
    assert not answer.holds and "sends packets back" in answer.unproven[0]


def test_a_field_that_nobody_knows_is_named(policy: Policy) -> None:
    form = Form(SwitchTarget.STATELESS)
    rules = rules_of(policy, form, 1)
    odd = Rule(StatelessTable.POLICY, 60_000, (Field("ip_dscp", 3),), (), 0)
    answer = proof(policy, form, 1, (*rules, odd))
    assert not answer.holds and "ip_dscp" in answer.unproven[0]


# Atoms


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=5),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=3),
)
def test_atoms_cover_every_value_once(
    masked: list[tuple[int, int]], ranges: list[tuple[int, int]]
) -> None:
    conditions = [(value & mask, mask) for value, mask in masked]
    runs = [(min(pair), max(pair)) for pair in ranges]
    atoms = Atoms(8, conditions, runs)

    def told(value: int) -> tuple[bool, ...]:
        return (
            *(value & mask == wanted for wanted, mask in conditions),
            *(low <= value <= high for low, high in runs),
        )

    def bits(number: int) -> tuple[bool, ...]:
        sets = [atoms.matching(*each) for each in conditions]
        sets += [atoms.between(*each) for each in runs]
        return tuple(bool(each >> number & 1) for each in sets)

    assert {told(value) for value in range(256)} == {told(value) for value in atoms.values}
    assert all(bits(number) == told(value) for number, value in enumerate(atoms.values))
