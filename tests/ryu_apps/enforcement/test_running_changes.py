"""Running changes go out as what changes, and leave a switch where comparing all would."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from policies.compiler import CompileError
from policies.model import ANY, TCP, Host, Intent, Segment, Selector, Service
from ryu_apps.openflow.encode import wire_rule
from tests.support.controller_rig import POLICY, Rig

MORE = Intent("more", ("db",), ("web",), (Service(TCP, 80, 80), Service(TCP, 443, 443)))


def right(rig: Rig) -> bool:
    """Whether every switch has just what it should, by compiling anew."""
    core = rig.core
    core.desired_state._compiler = None
    return all(
        set(core.sessions[number].installed)
        == {wire_rule(r).key for r in core.reconciler.rules(core.sessions[number], rig.now)}
        and len(switch.rules) == len(core.sessions[number].installed)
        for number, switch in rig.switches.items()
    )


def test_an_intent_more_is_two_flow_mods_on_each_switch() -> None:
    rig = Rig()
    switches = [rig.connect(), rig.connect(2)]
    sent = [switch.flow_mods for switch in switches]
    more = replace(POLICY, intents=(*POLICY.intents, MORE))
    rig.carry_out(rig.core.apply_policy(more, (), rig.now))
    assert [s.flow_mods - before for s, before in zip(switches, sent, strict=True)] == [2, 2]
    assert right(rig)
    rig.carry_out(rig.core.apply_policy(POLICY, (), rig.now))
    assert right(rig)


def test_a_declared_host_more_leaves_all_other_rules_alone() -> None:
    rig = Rig()
    switch = rig.connect()
    sent = switch.flow_mods
    host = Host("new", "00:00:00:00:00:09", (ip_address("10.0.0.9"),), 1, 3, labels=(("r", "w"),))
    rig.carry_out(rig.core.apply_policy(replace(POLICY, hosts=(*POLICY.hosts, host)), (), rig.now))
    # What it may send: 3 for IPv4, 6 for its link-local address, 2 without one. The way to it: 3.
    # Segments: 4.
    assert switch.flow_mods - sent == 18
    assert right(rig)


def test_a_policy_that_does_not_fit_changes_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    names = tuple(f"s{number}" for number in range(9))
    everyone = tuple(Segment(name, (Selector(labels=(("r", "w"),)),)) for name in names)
    crowded = replace(
        POLICY,
        segments=(*POLICY.segments, *everyone),
        intents=(Intent("all", names, (ANY,), (Service(),)),),
    )
    with pytest.raises(CompileError, match="overlaps too many others"):
        rig.core.apply_policy(crowded, (), rig.now)
    assert rig.core.desired_state.policy == POLICY
    assert switch.rules == before
    rig.carry_out(
        rig.core.apply_policy(replace(POLICY, intents=(*POLICY.intents, MORE)), (), rig.now)
    )
    assert right(rig)


def test_a_refused_change_is_made_good_by_comparing() -> None:
    rig = Rig()
    switch = rig.connect()
    switch.refuse = True
    more = replace(POLICY, intents=(*POLICY.intents, MORE))
    rig.carry_out(rig.core.apply_policy(more, (), rig.now))
    assert len(switch.rules) < len(rig.core.sessions[1].installed)
    rig.advance(3)
    rig.advance(1)
    assert right(rig)
