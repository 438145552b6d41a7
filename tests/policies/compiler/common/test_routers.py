"""Routers: what their ports may source, whatever hosts there are, and its proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import Compiler, RuleChange, SwitchView, Update, declared_bindings
from policies.compiler.common.routers import BEHIND, ELSEWHERE, NEVER, THROUGH
from policies.compiler.probe_packets import NEW, binding_of, packet_of
from policies.compiler.targets import SwitchTarget, rules_for
from policies.model import (
    TCP,
    Connection,
    Defaults,
    Host,
    Intent,
    Mode,
    Network,
    Policy,
    Segment,
    Selector,
    Service,
)
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Goto, Load, Rule
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from policies.verify import Prover
from topology.fabric import Fabric
from topology.records import Link

NOW = 1_000_000.0
FABRIC = Fabric.of([Link(1, 9, 2, 9)])
ROUTES = tuple(
    map(ip_network, ("0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/30", "192.0.2.0/24", "::/0", "fd00::/64"))
)
ADDRESSES = tuple(
    map(
        ip_address,
        (
            *(f"10.0.{net}.{host}" for net in (1, 2) for host in range(4)),
            *("192.0.2.7", "8.8.8.8", "127.0.0.1", "224.0.0.5", "255.255.255.255", "0.0.0.0"),
            *("fd00::1", "fd00::2", "2001:db8::1", "fe80::9", "ff02::1", "::1"),
        ),
    )
)
EVERYONE = Intent("all", ("any",), ("any",), (Service(),))


def host(number: int, *ips: str, port: int | None = None, switch: int = 1) -> Host:
    mac = f"02:00:00:00:00:{number:02x}"
    return Host(f"h{number}", mac, tuple(map(ip_address, ips)), switch, port or number)


def router(*routes: Network, routed: bool = False, port: int = 1) -> Host:
    return replace(
        host(1, "10.0.0.1", "fd00::ff", port=port), name="gw", routes=routes, routed=routed
    )


def policy_of(*hosts: Host) -> Policy:
    near = Segment("near", (Selector(cidr=ip_network("10.0.0.0/16")),), Mode.ENFORCE)
    return Policy("net", hosts, (near,), (), (EVERYONE,), Defaults(mode=Mode.ENFORCE))


def views(policy: Policy) -> dict[int, SwitchView]:
    bindings = declared_bindings(policy)
    return {
        switch: SwitchView(
            switch,
            (*sorted({b.port for b in bindings if b.switch == switch}), 9),
            FABRIC.trunks(switch),
            FABRIC.next_ports(switch),
        )
        for switch in (1, 2)
    }


def compiler_of(policy: Policy) -> Compiler:
    bindings = declared_bindings(policy)
    return Compiler(policy, Membership(policy, bindings), bindings, NOW)


def prover_of(policy: Policy) -> Prover:
    bindings = declared_bindings(policy)
    return Prover(policy, Membership(policy, bindings), views(policy), bindings, NOW)


known = st.lists(
    st.tuples(st.sampled_from(ADDRESSES[:8]), st.integers(2, 5), st.integers(1, 2)),
    max_size=6,
    unique_by=lambda each: each[0],
).map(
    lambda listed: tuple(
        host(10 + at, str(ip), port=port, switch=switch)
        for at, (ip, port, switch) in enumerate(listed)
    )
)
routers = st.builds(
    lambda routes, routed: router(*routes, routed=routed),
    st.lists(st.sampled_from(ROUTES), min_size=1, max_size=3, unique=True),
    st.booleans(),
)


def may_send(gateway: Host, address: object, hosts: tuple[Host, ...]) -> bool:
    """The definition, read off the language."""
    ip = ip_address(str(address))
    if ip in gateway.ips:
        return True
    if not any(ip in route for route in gateway.routes):
        return False
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified or ip.is_link_local:
        return False
    if str(ip) == "255.255.255.255":
        return False
    return gateway.routed or not any(ip in each.ips for each in hosts)


@settings(max_examples=80, deadline=None)
@given(routers, known, st.sampled_from(ADDRESSES), st.sampled_from(list(SwitchTarget)[:2]))
def test_a_router_sends_from_what_is_behind_it_and_nothing_else(
    gateway: Host, hosts: tuple[Host, ...], address: object, target: SwitchTarget
) -> None:
    policy = policy_of(gateway, *hosts, host(99, "10.9.9.9", port=7))
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    rules = Interpreter(rules_for(target, policy, membership, views(policy)[1], bindings, NOW))
    ip = ip_address(str(address))
    six = ip.version == 6
    peer = ip_address("fe80::9") if six else ip_address("10.9.9.9")
    sender = binding_of(str(gateway.ips[0]), bindings)
    receiver = binding_of("10.9.9.9", bindings)
    assert sender is not None and receiver is not None
    asked = Connection(ip, peer, TCP, 80)
    passed = rules.run(packet_of(asked, sender, receiver, in_port=1), NEW).outputs == [7]
    assert passed == may_send(gateway, ip, hosts)
    elsewhere = packet_of(asked, sender, receiver, in_port=7)
    assert rules.run(elsewhere, NEW).outputs == [], "the prefixes are the port's, not the MAC's"


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), routers), known), min_size=2, max_size=4))
def test_following_routers_and_hosts_gives_what_compiling_anew_gives(
    steps: list[tuple[Host | None, tuple[Host, ...]]],
) -> None:
    compiler: Compiler | None = None
    held: dict[int, dict[object, Rule]] = {1: {}, 2: {}}
    for gateway, hosts in steps:
        policy = policy_of(*([gateway] if gateway else []), *hosts)
        bindings = declared_bindings(policy)
        view = SwitchView(1, tuple(range(1, 10)), frozenset({9}), {2: 9})
        both = {1: view, 2: replace(view, switch=2, next_ports={1: 9})}
        fresh = {s: {r.key: r for r in compiler_of(policy).rules(v)} for s, v in both.items()}
        if compiler is None:
            compiler = compiler_of(policy)
            held = {s: {r.key: r for r in compiler.rules(v)} for s, v in both.items()}
            continue
        update = compiler.update(policy, Membership(policy, bindings), bindings, NOW)
        for switch, rules in held.items():
            change = update.on(switch)
            for rule in change.removed:
                del rules[rule.key]
            rules.update((rule.key, rule) for rule in change.added)
        assert held == fresh


def shop(*more: Host) -> Policy:
    gateway = router(ip_network("0.0.0.0/0"), ip_network("2000::/3"))
    hosts = [host(n, f"10.0.1.{n}", f"fd00::{n:x}") for n in (2, 3)]
    hosts += [host(n, f"10.0.1.{n}", switch=2) for n in (4, 5, 6, 7)]
    through = replace(router(ip_network("10.0.1.0/24"), routed=True, port=8), name="fw")
    through = replace(through, mac="02:00:00:00:01:08", ips=(ip_address("10.0.0.8"),), switch=2)
    return policy_of(gateway, through, *hosts, *more)


@pytest.mark.thorough
def test_routers_are_proven_and_a_change_beside_them_is_followed() -> None:
    policy = shop()
    prover, compiler = prover_of(policy), compiler_of(policy)
    proof = prover.prove({s: compiler.rules(view) for s, view in views(policy).items()})
    assert proof.holds, (proof.counterexamples, proof.unproven)
    more = shop(host(30, "10.0.1.8", port=3))
    bindings = declared_bindings(more)
    membership = Membership(more, bindings)
    change = compiler.update(more, membership, bindings, NOW)
    after = prover.update(more, membership, bindings, change)
    assert after.holds and after.statistics["rules"] < proof.statistics["rules"] / 5
    # The rule that keeps the gateway from the new address does not reach its switch.
    prover, compiler = prover_of(policy), compiler_of(policy)
    prover.prove({s: compiler.rules(view) for s, view in views(policy).items()})
    change = compiler.update(more, membership, bindings, NOW)
    kept = tuple(r for r in change.single[1].added if r.priority != ELSEWHERE)
    assert len(kept) < len(change.single[1].added)
    single = dict(change.single) | {1: RuleChange(kept, change.single[1].removed)}
    lent = prover.update(more, membership, bindings, Update(change.everywhere, single))
    assert not lent.holds and lent.counterexamples


def faults() -> Iterator[tuple[str, int, int]]:
    for priority in (NEVER, BEHIND, ELSEWHERE):
        yield from ((what, 1, priority) for what in ("gone", "admitting", "lower"))
    yield from (("higher", 1, priority) for priority in (BEHIND, ELSEWHERE))
    yield from ((what, 2, THROUGH) for what in ("gone", "lower"))


@pytest.mark.parametrize("what, switch, priority", list(faults()))
def test_faults_in_what_routers_may_send_are_found(what: str, switch: int, priority: int) -> None:
    policy = shop(host(31, "8.8.8.8", port=3), host(32, "10.0.1.9", port=4))
    view, compiler = views(policy)[switch], compiler_of(policy)
    rules = list(compiler.rules(view))
    bound = {rule for rule in rules if rule.table == RuleTable.GUARD and rule.priority == priority}
    rule = next(each for each in rules if each in bound)
    rules.remove(rule)
    if what == "admitting":
        if priority == BEHIND:
            rules.append(replace(rule, actions=()))
        else:
            rules.append(
                replace(rule, actions=(Load(layout.FROM_EDGE, 1), Goto(RuleTable.LOCALITY)))
            )
    elif what != "gone":
        rules.append(replace(rule, priority=300 if what == "higher" else 5))
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    prover = Prover(policy, membership, {switch: view}, bindings, NOW)
    proof = prover.prove({switch: rules})
    assert not proof.holds, rule
