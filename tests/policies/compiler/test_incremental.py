"""A compiler that follows changes has the rules that compiling anew gives, and tells every
switch exactly what comes and goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import Compiler, SwitchView, compile_switch, declared_bindings
from policies.compiler.common.aggregate import Aggregate, Key
from policies.compiler.common.priorities import IntentRanks, service_meets
from policies.compiler.common.services import merged
from policies.model import (
    ANY,
    TCP,
    UNKNOWN,
    Action,
    Defaults,
    Host,
    Infrastructure,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
    Tier,
)
from policies.rules.layout import Category, RuleTable, category_of, cookie, name_number
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.semantics.prefix_sets import SIX
from topology.records import Binding

NOW = 1_000_000.0
VIEWS = [SwitchView(1, (1, 2, 9), frozenset({9}), {2: 9}), SwitchView(2, (1, 2, 9))]
SERVICES = (
    Service(),
    Service(TCP),
    Service(TCP, 22, 22),
    Service(TCP, 20, 40),
    Service(17, 53, 53),
    Service(1, 8, 8),
)
SEGMENTS = (
    Segment("red", (Selector(labels=(("c", "r"),)),), Mode.ENFORCE),
    Segment("blue", (Selector(labels=(("c", "b"),)), Selector(host="h2")), Mode.AUDIT),
    Segment("net", (Selector(cidr=ip_network("10.0.0.0/29")),)),
    Segment("port", (Selector(switch=1, port=1),)),
)
NAMES = ("red", "blue", "net", "port")
hosts = st.tuples(
    *(
        st.builds(
            lambda number, switch, port, color, wide: Host(
                f"h{number}",
                f"02:00:00:00:00:{number:02x}",
                (ip_address(f"10.0.0.{number}"), *((ip_address("fd00::1"),) if wide else ())),
                switch,
                port,
                labels=(("c", color),),
            ),
            st.just(number),
            st.sampled_from([1, 1, 2, None]),
            st.integers(1, 2),
            st.sampled_from("rb"),
            st.just(number == 3),
        )
        for number in range(1, 5)
    )
).flatmap(lambda some: st.sets(st.sampled_from(some)).map(lambda s: tuple(sorted(s, key=str))))
found = st.lists(
    st.builds(
        Binding,
        st.sampled_from(["02:00:00:00:00:02", "02:00:00:00:00:77"]),
        st.sampled_from(["10.0.0.2", "10.0.0.6", "fd00::7"]),
        st.integers(1, 2),
        st.integers(1, 2),
    ),
    max_size=2,
    unique=True,
)
ends = st.lists(st.sampled_from((*NAMES, ANY, UNKNOWN)), min_size=1, max_size=2, unique=True).map(
    tuple
)
intents = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        lambda a, b, services, action, tier, ends_at: Intent(
            "", a, b, tuple(services), action, tier, expires=ends_at
        ),
        ends,
        ends,
        st.lists(st.sampled_from(SERVICES), min_size=1, max_size=2, unique=True),
        st.sampled_from(list(Action)),
        st.sampled_from([Tier.EMERGENCY, Tier.APPLICATION, Tier.APPLICATION]),
        st.sampled_from([None, None, datetime.fromtimestamp(NOW + 1.5, UTC)]),
    ),
).map(lambda some: tuple(replace(intent, name=name) for name, intent in some.items()))
defaults = st.sampled_from(
    [
        Defaults(),
        Defaults(),
        Defaults(),
        Defaults(Action.ALLOW),
        Defaults(infrastructure=Infrastructure(nd=Action.DENY)),
    ]
)
segments = st.sampled_from([SEGMENTS, SEGMENTS, SEGMENTS, (*SEGMENTS[1:], SEGMENTS[0])])


def applied(rules: dict[object, Rule], compiler_update: object, switch: int) -> dict[object, Rule]:
    change = compiler_update.on(switch)  # type: ignore[attr-defined]
    for rule in change.removed:
        assert rule.key in rules, "only what is there is removed"
        assert rules[rule.key].cookie == rule.cookie
        del rules[rule.key]
    for rule in change.added:
        assert rules.get(rule.key) != rule, "only what is not there is added"
        rules[rule.key] = rule
    return rules


def timeless_rule(rule: Rule) -> Rule:
    return replace(rule, hard_timeout=1) if rule.hard_timeout else rule


def timeless(rules: dict[object, Rule]) -> dict[object, Rule]:
    return {key: timeless_rule(rule) for key, rule in rules.items()}


@pytest.mark.thorough
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(hosts, found, intents, segments, defaults), min_size=2, max_size=4))
def test_updates_lead_where_compiling_anew_does(
    steps: list[tuple[tuple[Host, ...], list[Binding], tuple[Intent, ...], object, Defaults]],
) -> None:
    compiler = None
    for number, (some, discovered, wanted, declared, default) in enumerate(steps):
        policy = Policy("p", some, declared, (), wanted, default)  # type: ignore[arg-type]
        bindings = (*declared_bindings(policy), *discovered)
        now = NOW + number
        if compiler is None:
            membership = Membership(policy, bindings)
            compiler = Compiler(policy, membership, bindings, now)
            held: dict[int, dict[object, Rule]] = {
                view.switch: {rule.key: rule for rule in compiler.rules(view)} for view in VIEWS
            }
            continue
        membership = follow(membership, policy, bindings)
        update = compiler.update(policy, membership, bindings, now)
        for view in VIEWS:
            rules = compile_switch(policy, Membership(policy, bindings), view, bindings, now)
            anew: dict[object, Rule] = {rule.key: rule for rule in rules}
            assert len(anew) == len(rules), "no two rules in one place"
            mine = timeless(applied(held[view.switch], update, view.switch))
            there = timeless(anew)
            assert sorted(mine.items() - there.items(), key=str) == []
            assert sorted(there.items() - mine.items(), key=str) == []
            assert list(map(timeless_rule, compiler.rules(view))) == list(there.values())


def big() -> tuple[Policy, tuple[Binding, ...], Compiler, Membership]:
    some = tuple(
        Host(
            f"h{n}",
            f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}",
            (ip_address(0x0A000000 + 2 * n),),
            1 + n % 2,
            n,
            labels=(("c", "rb"[n % 2]),),
        )
        for n in range(1, 301)
    )
    wanted = tuple(
        Intent(f"i{n:03}", ("red",), ("blue",), (Service(TCP, n, n),)) for n in range(100, 200)
    )
    policy = Policy("big", some, SEGMENTS, (), wanted)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    return policy, bindings, Compiler(policy, membership, bindings, NOW), membership


def test_a_host_more_is_its_own_rules_and_nothing_else() -> None:
    policy, bindings, compiler, membership = big()
    new = Binding("02:00:00:00:ff:01", "10.9.0.1", 2, 400)
    more = (*bindings, new)
    update = compiler.update(policy, follow(membership, policy, more), more, NOW)
    assert not update.everywhere.removed
    tables = sorted(rule.table for rule in update.everywhere.added)
    assert tables == [1, 2, 3], "the way to its MAC, its address and its link-local address"
    assert set(update.single) == {2}
    guards = update.on(2).added
    assert all(category_of(rule.cookie) in (Category.BINDING, Category.FORWARD) for rule in guards)
    assert len(guards) == 3 + 3 + 6 + 2, (
        "ARP and IPv4, then IPv6; two for what it asks without an address"
    )
    back = compiler.update(policy, membership, bindings, NOW)
    assert set(back.on(2).removed) == set(update.on(2).added)
    assert not back.on(2).added


def test_an_intent_more_is_its_own_rules_and_those_it_moves() -> None:
    policy, bindings, compiler, membership = big()
    new = Intent("i150-b", ("red",), ("blue",), (Service(TCP, 150, 150), Service(TCP, 443, 443)))
    more = replace(policy, intents=(*policy.intents, new))
    update = compiler.update(more, follow(membership, more, bindings), bindings, NOW)
    assert not update.single
    assert not update.everywhere.removed
    cause = cookie(Category.INTENT, name_number("i150-b"))
    assert [rule.cookie for rule in update.everywhere.added] == [cause, cause]


def test_nothing_new_changes_nothing() -> None:
    policy, bindings, compiler, membership = big()
    update = compiler.update(policy, membership, bindings, NOW)
    assert not update.everywhere and not update.single


keys = st.one_of(
    st.integers(0, 15).map(lambda n: (n, -1)),
    st.integers(0, 7).map(lambda n: (2 * n, -2)),
    st.integers(0, 3).map(lambda n: (4 * n, -4)),
    st.integers(0, 3).map(lambda n: (SIX + n, -1)),
    st.just((0, -(1 << 32))),
    st.just((SIX, -(1 << 128))),
)


def longest(prefixes: dict[Key, str], number: int) -> str | None:
    fitting = [key for key in prefixes if key[0] <= number < key[0] - key[1]]
    return prefixes[max(fitting, key=lambda key: key[1])] if fitting else None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(keys, st.sampled_from(["x", "y", None])), min_size=1, max_size=4))
def test_merged_prefixes_say_the_same_in_fewer(steps: list[dict[Key, str | None]]) -> None:
    own: dict[Key, str] = {}
    aggregate: Aggregate[str] = Aggregate(())
    kept: dict[Key, str] = {}
    for step in steps:
        for key, value in step.items():
            if value is None:
                own.pop(key, None)
            else:
                own[key] = value
        for key, value in aggregate.change(step.items()).items():
            assert kept.get(key) != value
            if value is None:
                del kept[key]
            else:
                kept[key] = value
        anew = Aggregate(own.items())
        assert kept == dict(aggregate.kept()) == dict(anew.kept())
        assert len(kept) <= len(own)
        for number in (*range(20), *range(SIX, SIX + 6)):
            assert longest(kept, number) == longest(own, number)


@given(st.lists(st.sampled_from(SERVICES + (Service(TCP, 41, 50), Service(TCP, 22, 90)))))
def test_merged_services_are_the_same_packets(services: list[Service]) -> None:
    fewer = merged(services)
    assert len(fewer) <= len(set(services))
    for proto in (1, 6, 17, 47):
        for port in (0, 8, 20, 21, 22, 40, 41, 50, 51, 53, 90, 91):
            wanted = any(service.matches(proto, port) for service in services)
            assert any(service.matches(proto, port) for service in fewer) == wanted


@settings(max_examples=100, deadline=None)
@given(intents, intents)
def test_intents_that_meet_stand_apart_by_name(
    first: tuple[Intent, ...], then: tuple[Intent, ...]
) -> None:
    together = {name: {name} for name in NAMES} | {"red": {"red", "net"}, "net": {"red", "net"}}
    ranks = IntentRanks(together)
    ranks.change((), first)
    ranks.change([intent.name for intent in first], then)
    for one in then:
        for other in then:
            apart = ranks.of[one.name] != ranks.of[other.name]
            if one.name < other.name and (one.tier, one.action) == (other.tier, other.action):
                meet = any(
                    service_meets(a, b) for a in one.services for b in other.services
                ) and all(
                    any(
                        ANY in (a, b) or a == b or b in together.get(a, ())
                        for a in getattr(one, end)
                        for b in getattr(other, end)
                    )
                    for end in ("sources", "targets")
                )
                assert apart or not meet
                assert ranks.of[one.name] < ranks.of[other.name] or not meet


@pytest.mark.parametrize("switch", [1, 2**40 + 5])
def test_a_switch_is_its_own_owner(switch: int) -> None:
    policy = Policy("p", (), SEGMENTS)
    view = SwitchView(switch, (1,))
    rules = compile_switch(policy, Membership(policy), view, (), NOW)
    forward = [rule for rule in rules if rule.table == RuleTable.FORWARD and rule.priority == 100]
    assert [tuple(field.value for field in rule.match) for rule in forward] == [
        (switch >> 32, switch & 0xFFFF_FFFF)
    ]
