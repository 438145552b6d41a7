"""Lists of segments as one bit: how few rules that makes, and how little a change moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler import Compiler, SwitchView, declared_bindings
from policies.compiler.common.identity_codes import (
    METADATA,
    REGISTERS,
    Codes,
    Ends,
    IdentityWidth,
    codes_of,
    ends_of,
    meetings,
)
from policies.compiler.common.refusals import CompileError
from policies.model import (
    ANY,
    TCP,
    UNKNOWN,
    Action,
    Host,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
)
from policies.rules import layout
from policies.rules.layout import Category, category_of, cookie, name_number
from policies.rules.rule import Bits, Load, Rule
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.verify import Prover

NOW = 1_000.0
SEGMENTS = tuple(f"s{number}" for number in range(12))
PORTS = tuple(Service(TCP, port, port) for port in (22, 80, 443))
UPPER = Bits(layout.SOURCE_WIDE, 64, 64)  # where lists have their bits
VIEW = SwitchView(1, tuple(range(1, 40)))


def policy(*intents: Intent, segments: Sequence[str] = SEGMENTS) -> Policy:
    """Three hosts in each segment; the last of each is in the next segment as well."""
    hosts = []
    for number in range(3 * len(segments)):
        labels = [(segments[number // 3], "x")]
        if number % 3 == 2:
            labels.append((segments[(number // 3 + 1) % len(segments)], "x"))
        mac, address = f"02:00:00:00:00:{number:02x}", ip_address(0x0A000000 + number * 4)
        hosts.append(Host(f"h{number}", mac, (address,), 1, number + 1, labels=tuple(labels)))
    named = tuple(
        Segment(name, (Selector(labels=((name, "x"),)),), Mode.ENFORCE) for name in segments
    )
    return Policy("lists", tuple(hosts), named, (), intents)


def compiler_of(some: Policy) -> tuple[Compiler, Membership]:
    bindings = declared_bindings(some)
    membership = Membership(some, bindings)
    return Compiler(some, membership, bindings, NOW), membership


def of_intents(rules: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if category_of(rule.cookie) == Category.INTENT]


def mesh(*more: Intent, among: tuple[str, ...] = SEGMENTS[:10]) -> Policy:
    return policy(Intent("mesh", among, among, PORTS), *more)


def test_a_mesh_is_a_rule_for_each_service() -> None:
    compiler, _ = compiler_of(mesh())
    assert len(of_intents(compiler.rules(VIEW))) == len(PORTS)


def test_lists_that_overlap_have_a_bit_each() -> None:
    some = policy(
        Intent("a", SEGMENTS[:8], SEGMENTS[4:], PORTS),
        Intent("b", SEGMENTS[2:9], (ANY,), PORTS, Action.DENY),
        Intent("c", (*SEGMENTS[:8], UNKNOWN), SEGMENTS[:3], PORTS),
        Intent("d", ("s5",), ("s6",), PORTS),
    )
    compiler, membership = compiler_of(some)
    rules = compiler.rules(VIEW)
    # `c` adds what is in no segment, `d` names segments one by one.
    assert len(of_intents(rules)) == 3 + 3 + 6 + 3
    bindings = declared_bindings(some)
    proof = Prover(some, membership, {1: VIEW}, bindings, NOW).prove({1: rules})
    assert proof.holds, (proof.counterexamples, proof.unproven)


def test_an_address_without_the_bit_of_its_list_is_noticed() -> None:
    some = mesh()
    compiler, membership = compiler_of(some)
    rules = list(compiler.rules(VIEW))
    place = next(
        place
        for place, rule in enumerate(rules)
        if category_of(rule.cookie) == Category.IDENTITY and rule.actions[0] != Load(UPPER, 0)
    )
    rules[place] = replace(rules[place], actions=(Load(UPPER, 0), *rules[place].actions[1:]))
    prover = Prover(some, membership, {1: VIEW}, declared_bindings(some), NOW)
    proof = prover.prove({1: rules})
    assert not proof.holds and proof.counterexamples


def test_a_list_that_grows_changes_the_codes_of_what_is_new_in_it() -> None:
    before = mesh()
    compiler, membership = compiler_of(before)
    after = mesh(among=SEGMENTS[:11])
    bindings = declared_bindings(after)
    update = compiler.update(after, follow(membership, after, bindings), bindings, NOW)
    changed = update.on(1).added
    kinds = {category_of(rule.cookie) for rule in changed}
    assert kinds == {Category.IDENTITY}, "the rules of the intent stay as they were"
    # The last of s9's hosts, in s10 as well, has the bit already.
    assert {rule.cookie for rule in changed} == causes(["s10"], ["s10", "s11"])
    assert not update.on(1).removed


def test_one_more_intent_between_lists_that_are_known_is_its_own_rules() -> None:
    before = mesh()
    compiler, membership = compiler_of(before)
    more = Intent("more", SEGMENTS[:10], ("s11",), (Service(TCP, 9, 9),))
    after = replace(before, intents=(*before.intents, more))
    bindings = declared_bindings(after)
    update = compiler.update(after, follow(membership, after, bindings), bindings, NOW)
    added = of_intents(update.on(1).added)
    assert len(added) == 1
    others = [rule for rule in update.on(1).added if rule not in added]
    assert {rule.cookie for rule in others} == causes(["s11"], ["s10", "s11"], ["s0", "s11"])


def causes(*groups: Sequence[str]) -> set[int]:
    """Cookies of the identities of addresses that are in some segments."""
    return {cookie(Category.IDENTITY, name_number(",".join(group))) for group in groups}


def codes_for(ends: Ends, *groups: frozenset[str]) -> Codes:
    names = ends.single.union(*ends.listed)
    return codes_of(
        ends, {name: set().union({name}, *(g for g in groups if name in g)) for name in names}
    )


def test_lists_that_save_little_are_written_segment_by_segment() -> None:
    short = Intent("short", ("s1", "s2"), ("s3",), (Service(TCP, 1, 1),))
    assert ends_of([short]) == Ends(frozenset({"s1", "s2", "s3"}))
    wide = replace(short, targets=SEGMENTS)
    assert ends_of([wide]).listed == (frozenset(SEGMENTS), frozenset({"s1", "s2"}))
    anybody = replace(short, sources=(*SEGMENTS, ANY))
    assert ends_of([anybody]) == Ends(frozenset({"s3"})), "who is anybody needs no code"


def test_more_lists_than_bits_leave_those_that_save_least() -> None:
    intents = [
        Intent(f"i{number}", tuple(f"n{number}-{n}" for n in range(20 + number)), ("x",), PORTS)
        for number in range(70)
    ]
    ends = ends_of(intents)
    assert len(ends.listed) == 64
    assert {f"n{number}-0" for number in range(6)} <= ends.single
    codes = codes_for(ends)
    assert len(set(codes.listed.values())) == 64
    assert min(codes.listed.values()) >= 64, "the lower half is left to segments"


def test_segments_that_need_more_fields_take_them_from_lists() -> None:
    deep = frozenset(f"d{number}" for number in range(7))
    listed = tuple(frozenset({f"a{number}", "b"}) for number in range(20))
    codes = codes_for(Ends(deep, listed), deep)
    fields = {code.mask for code in codes.single.values()}
    assert len(fields) == 7 and max(fields) < 1 << 7 * 16
    assert len(codes.listed) == 16
    assert min(codes.listed.values()) >= 112
    left = listed[16:]
    assert {name for names in left for name in names} <= set(codes.single)
    with pytest.raises(CompileError, match="overlaps too many others"):
        nine = frozenset(f"d{number}" for number in range(9))
        codes_for(Ends(nine, listed), nine)


def test_no_bit_of_a_list_is_part_of_a_segment_s_number() -> None:
    deep = frozenset(f"d{number}" for number in range(5))
    codes = codes_for(Ends(deep, tuple(frozenset({f"a{n}", f"b{n}"}) for n in range(64))), deep)
    bits = sum(1 << bit for bit in codes.listed.values())
    for name in codes.single:
        ((_, mask),) = codes.matches((name,))
        assert not mask & bits


names = st.frozensets(st.sampled_from(SEGMENTS), min_size=1, max_size=5)


@given(
    st.sampled_from([REGISTERS, METADATA, IdentityWidth(7), IdentityWidth(32, 8)]),
    st.lists(names, max_size=6),
    names,
    st.lists(names.filter(lambda each: len(each) > 1), max_size=6, unique=True),
)
def test_an_end_matches_the_addresses_in_it_and_no_others(
    width: IdentityWidth,
    groups: list[frozenset[str]],
    single: frozenset[str],
    listed: list[frozenset[str]],
) -> None:
    ends = Ends(single, tuple(listed))
    together = meetings(frozenset(SEGMENTS), set(groups))
    try:
        codes = codes_of(ends, together, width)
    except CompileError:
        return
    for end in (*({name} for name in single), *listed):
        wanted = list(codes.matches(end))
        for group in (*groups, *({name} for name in SEGMENTS), set()):
            bits = codes.value(group)
            assert bits < 1 << width.bits
            found = any(bits & mask == value for value, mask in wanted)
            assert found == bool(end & group)
