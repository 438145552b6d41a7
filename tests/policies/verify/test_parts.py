"""The parts of a proof: ranges, rules read back, boxes, classes of addresses."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler import SwitchView, compile_switch, declared_bindings
from policies.language.reader import load_policy
from policies.model import Connection
from policies.rules import layout
from policies.rules.ovs_text import action_text, ovs_lines, ovs_text
from policies.rules.rule import Bits, Commit, Field, Load, OutputRegister, Rule
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX, address_at, number_of
from policies.semantics.verdict import Judge
from policies.verify.addresses import SOURCE, TARGET, AddressClasses, next_match
from policies.verify.boxes import SIX_BIT, Box
from policies.verify.classes import bitset, indices
from policies.verify.inactive_rules import awake, unset_marks
from policies.verify.index import TableIndex
from policies.verify.judging import Judging
from policies.verify.machine import Machine
from policies.verify.ranges import Undecided, common, joined, masked, meet, without
from policies.verify.shared import finder, read_bits
from policies.verify.text import RuleTextError, read_rule, read_rules

EXAMPLES = Path(__file__).parents[3] / "policies" / "examples"
NOW = 1_800_000_000.0
pieces = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8))).map(
    lambda found: joined((low, low + size) for low, size in found)
)


def numbers(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {number for low, high in ranges for number in range(low, high + 1)}


@given(pieces, pieces)
def test_ranges_are_sets(
    one: tuple[tuple[int, int], ...], two: tuple[tuple[int, int], ...]
) -> None:
    assert numbers(common(one, two)) == numbers(one) & numbers(two)
    assert numbers(without(one, two)) == numbers(one) - numbers(two)
    assert meet(one, two) == bool(numbers(one) & numbers(two))
    assert all(a[1] + 1 < b[0] for a, b in zip(one, one[1:], strict=False))


@given(st.integers(0, 255), st.integers(0, 255))
def test_a_mask_covers_what_it_matches(value: int, mask: int) -> None:
    expected = {number for number in range(256) if number & mask == value}
    assert numbers(masked(value, mask, 8)) == expected


def test_a_mask_in_too_many_pieces_is_refused() -> None:
    with pytest.raises(Undecided, match="0xff"):
        masked(1, 0xFF, 128)


@given(st.integers(0, 300), st.integers(0, 255), st.integers(0, 255))
def test_the_next_number_that_matches(start: int, value: int, mask: int) -> None:
    value &= mask
    expected = next(n for n in range(start, 2048) if n & mask == value) if start < 256 else None
    found = next_match(start, value, mask)
    if expected is not None:
        assert found == expected


@given(st.sets(st.integers(0, 200)))
def test_bits_there_and_back(chosen: set[int]) -> None:
    assert set(indices(bitset(chosen, 201))) == chosen


def compiled(name: str) -> tuple[Rule, ...]:
    policy = load_policy([EXAMPLES / name])
    bindings = declared_bindings(policy)
    ports = tuple(sorted({each.port for each in bindings if each.switch == 1}))
    view = SwitchView(1, ports, frozenset({90}), {2: 90})
    return compile_switch(policy, Membership(policy, bindings), view, bindings, NOW)


@pytest.mark.parametrize("name", ["shop.yaml", "plant.yaml"])
def test_rules_read_from_their_own_text(name: str) -> None:
    rules = compiled(name)
    assert tuple(read_rules(ovs_lines(rules).splitlines())) == rules


def test_rules_as_a_switch_prints_them() -> None:
    lines = [
        "NXST_FLOW reply (xid=0x4):",
        " cookie=0x201000000000000, duration=3.2s, table=5, n_packets=7, n_bytes=70, idle_age=1,"
        " priority=110,ct_state=-rpl+trk,tcp6 actions=move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG2[],"
        "load:0x6->NXM_NX_REG2[24..31],goto_table:6",
        " cookie=0x208000000000000, table=18, priority=100,reg6=0,reg7=0x1"
        " actions=output:NXM_NX_REG5[0..15]",
        " cookie=0x209000000000000, table=17, priority=100,ip,reg1=0x5"
        " actions=fin_timeout(idle_timeout=1),load:0x1->NXM_NX_REG0[2]",
    ]
    first, second = read_rules(lines)
    assert first.match == (
        Field("ct_state", 0x20, 0x28),
        Field("eth_type", 0x86DD),
        Field("ip_proto", 6),
    )
    assert first.actions[1] == Load(layout.PROTO, 6)
    assert second.actions == (OutputRegister(Bits("reg5", 0, 16)),)


@pytest.mark.parametrize(
    ("word", "bits"),
    [("no", (0, None)), ("yes", (1, 1)), ("first", (1, None)), ("later", (3, None))],
)
def test_fragments_have_words_and_not_numbers(word: str, bits: tuple[int, int | None]) -> None:
    done = "ct(commit,table=20,zone=1,exec(load:0x1->NXM_NX_CT_LABEL[0]))"
    rule = read_rule(f"table=19,priority=5,ip,nw_frag={word} actions={done}")
    assert Field("ip_frag", *bits) in rule.match
    assert rule.actions == (Commit(1, 20),)
    assert f"ip_frag={word}" in ovs_text(rule)


@pytest.mark.parametrize(
    "line", ["priority=1,actions=flood_all_of_it", "priority=x,actions=drop", "tcpx,actions=drop"]
)
def test_a_rule_that_is_none_is_named(line: str) -> None:
    with pytest.raises(RuleTextError, match="cannot read this rule"):
        read_rule(line)


def test_classes_and_boxes_say_of_any_address_what_rules_and_policy_do() -> None:
    """Drawn addresses and services: the class has the register bits that the tables leave, and
    the first box, of rules as of intents, is the decider."""
    policy = load_policy([EXAMPLES / "plant.yaml"])
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    tables: dict[int, TableIndex] = {}
    rules = compiled("plant.yaml")
    for rule in awake(rules, unset_marks(rules)):
        tables.setdefault(rule.table, TableIndex()).add(rule)
    spans, find = membership.spans, finder(membership)
    ends = [AddressClasses(end, tables, spans, find, read_bits(tables)) for end in (SOURCE, TARGET)]
    judging = Judging(ends[0].classes, ends[1].classes)
    judging.read_intents(policy, NOW)
    judging.read_rules(tables)
    assert judging.suspects() == []
    judge, machine, random = Judge(policy, membership), Machine(tables), Random(1)
    known = [number_of(address) for host in policy.hosts for address in host.ips]
    for _ in range(300):
        six = random.random() < 0.5
        near = [n for n in known if (n >= SIX) is six] + [SIX | 1 << 100 if six else 1 << 30]
        src, dst = (random.choice(near) + random.choice((0, 0, 1)) for _ in range(2))
        classes = [end.class_of(number) for end, number in zip(ends, (src, dst), strict=True)]
        registers = SOURCE.put(src) | TARGET.put(dst)
        packet = {"eth_type": 0x86DD if six else 0x0800}
        run = machine.run_from(layout.RuleTable.MARK_SOURCE, packet, registers, 0, 0)
        entry = run.entries[layout.RuleTable.EMERGENCY]
        for end, which in zip(ends, classes, strict=True):
            assert entry & end.end.own == end.classes.own[which]
        proto, port = random.choice([(6, 22), (6, 502), (17, 53), (6, 443), (47, 0)])
        service = (SIX_BIT if six else 0) | proto << 16 | port
        verdict = judge.verdict(Connection(address_at(src), address_at(dst), proto, port), NOW)
        deciders = [_first(boxes, classes, service) for boxes in (judging.rules, judging.intents)]
        assert deciders[0].label == deciders[1].label
        intent = deciders[1].intent
        assert (None if intent is None else intent.name) == verdict.intent


def _first(boxes: list[Box], classes: list[int], service: int) -> Box:
    source, target = classes
    return min(
        (
            box
            for box in boxes
            if box.sources >> source & 1
            and box.targets >> target & 1
            and meet(box.services, ((service, service),))
        ),
        key=lambda box: box.rank,
    )


def test_a_rule_of_somebody_else_is_read_whatever_it_does() -> None:
    for word in ("NORMAL", "FLOOD", "LOCAL", "CONTROLLER:65535"):
        text = f" cookie=0x0, duration=0.3s, table=0, n_packets=0, priority=9,ip actions={word}"
        found = read_rule(text)
        assert action_text(found.actions[0]) == word
