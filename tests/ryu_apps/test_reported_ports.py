"""What one switch reports, or one binding, never spoils the rules of another switch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.compiler.targets import SwitchTarget
from policies.model import TCP, Action, Intent, Policy, Service
from policies.rules.layout import Category, Reason, cookie, name_number
from response.ipc.messages import SwitchChanged
from ryu_apps.core import Core
from ryu_apps.effects import Save
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.session import SETTLE, Phase
from tests.support.controller_rig import POLICY, PORTS, Rig, arp
from tests.support.fake_switch import FakeSwitch
from topology.records import Binding

FIRST, ROGUE = 1, 2
HUGE = 0x1_0007
STRANGER = ("02:00:00:00:00:09", "10.0.9.9")
MAC = bytes.fromhex("020000000009")
pytestmark = pytest.mark.threat("reported-ports")


def driven(rig: Rig, number: int = FIRST) -> bool:
    """Whether a switch has all the rules that it should, and none was refused."""
    session = rig.core.sessions[number]
    wanted = session.difference(rig.core.reconciler.rules(session, rig.now))
    return session.phase is Phase.READY and not (session.problem or wanted.changes)


def found(rig: Rig) -> set[str]:
    return {each.ip for each in rig.core.network.hosts.discovered.values()}


def test_a_bogus_port_number_spoils_no_other_switch() -> None:
    rig = Rig()
    rig.connect(FIRST)
    rogue = rig.switches[ROGUE] = FakeSwitch(ROGUE)
    reported = ReportedPorts.of({**PORTS, HUGE: bytes(6)})
    rig.carry_out(rig.core.switch_up(ROGUE, reported, rig.now, rogue.tables))
    rig.advance(SETTLE)
    rig.packet(ROGUE, Reason.GUARD, arp(*STRANGER, "10.0.0.1"), HUGE)
    assert driven(rig) and rig.core.sessions[FIRST].counters.failures == 0
    assert not found(rig)
    rig.packet(ROGUE, Reason.GUARD, arp(*STRANGER, "10.0.0.1"), 3)
    assert driven(rig) and found(rig) == {STRANGER[1]}, "its other ports work"
    (told,) = (each for each in rig.messages(SwitchChanged) if each.what == "ports")
    assert (told.switch, str(HUGE) in told.detail) == (ROGUE, True)


def test_a_bogus_binding_of_an_earlier_run_is_not_restored() -> None:
    rig = Rig()
    rig.core = Core(rig.core.desired_state.policy, b"secret")
    kept = Binding("02:00:00:00:00:08", "10.0.9.8", FIRST, 3)
    rig.core.start((Binding(*STRANGER, ROGUE, HUGE), kept), (), ())
    rig.connect(FIRST)
    assert driven(rig) and found(rig) == {kept.ip}


def test_a_rule_that_a_switch_refuses_is_left_out_alone() -> None:
    rig = Rig()
    rig.core.start((Binding(*STRANGER, ROGUE, 3),), (), ())
    switch = FakeSwitch(FIRST)
    switch.refused_bytes = MAC
    rig.connect(FIRST, switch)
    for _ in range(4):
        rig.advance(SETTLE)
    session = rig.core.sessions[FIRST]
    assert session.profile.target is SwitchTarget.STATEFUL, "no capability is missing"
    assert driven(rig)
    there = {key for key in switch.rules if MAC in key[2]}
    assert not there and len(switch.rules) > 100
    (refused,) = (each for each in rig.messages(SwitchChanged) if each.what == "refused")
    assert STRANGER[0] in refused.detail


def test_a_refused_intent_drops_where_it_cannot_act() -> None:
    """An absent deny could let something through, so a rule that drops takes its place."""
    rig = Rig()
    switch = rig.connect(FIRST)
    cause = cookie(Category.INTENT, name_number("no"))
    switch.refused_bytes, switch.refuses_drops = cause.to_bytes(8, "big"), False
    rig.carry_out(rig.core.apply_policy(with_deny("no", 2022), (), rig.now))
    for _ in range(4):
        rig.advance(SETTLE)
    instead = [rest for _, (found, _, rest) in switch.rules.items() if found == cause]
    assert instead and set(instead) == {b""}
    assert driven(rig)


def test_what_a_switch_made_of_a_refused_change_is_undone() -> None:
    """Like Open vSwitch it takes the other rules of the bundle, and removes what was to go."""
    rig = Rig(with_deny("old", 2022))
    switch = rig.connect(FIRST)
    before = dict(switch.rules)
    switch.refused_bytes = cookie(Category.INTENT, name_number("new")).to_bytes(8, "big")
    rig.carry_out(rig.core.apply_policy(with_deny("new", 2023), (), rig.now))
    assert switch.rules == before, "until it is compared again"
    for _ in range(4):
        rig.advance(SETTLE)
    assert switch.rules == before and "refused the change" in rig.core.sessions[FIRST].problem


def with_deny(name: str, port: int) -> Policy:
    deny = Intent(name, ("web",), ("db",), (Service(TCP, port, port),), Action.DENY)
    return replace(POLICY, intents=(*POLICY.intents, deny))


def test_a_switch_that_refuses_what_all_else_rests_on_keeps_what_it_has() -> None:
    rig = Rig()
    switch = rig.connect(FIRST)
    before = dict(switch.rules)
    base = cookie(Category.DEFAULT).to_bytes(8, "big")
    switch.rules = {
        key: rule for key, rule in before.items() if rule[0] != cookie(Category.DEFAULT)
    }
    less = dict(switch.rules)
    switch.refused_bytes = base
    rig.carry_out(rig.core.check(rig.now))
    for _ in range(3):
        rig.advance(SETTLE)
    session = rig.core.sessions[FIRST]
    assert "refused the change" in session.problem and switch.rules == less
    assert session.profile.target is SwitchTarget.STATEFUL and not session.left_out.rules


def test_a_discovered_host_can_be_forgotten() -> None:
    rig = Rig()
    switch = rig.connect(FIRST)
    before = dict(switch.rules)
    rig.packet(FIRST, Reason.GUARD, arp(*STRANGER, "10.0.0.1"), 3)
    assert found(rig) == {STRANGER[1]} and len(switch.rules) > len(before)
    with pytest.raises(ValueError, match="is declared: change the policy"):
        rig.core.forget_host("web", "ann", rig.now)
    with pytest.raises(ValueError, match="no such host"):
        rig.core.forget_host("10.9.9.9", "ann", rig.now)
    rig.carry_out(rig.core.forget_host(STRANGER[0], "ann", rig.now))
    assert not found(rig) and switch.rules == before
    (forgotten,) = (each for each in rig.messages(SwitchChanged) if each.what == "forgotten")
    assert STRANGER[0] in forgotten.detail and "by ann" in forgotten.detail
    saved = [each.bindings for each in rig.effects if isinstance(each, Save)]
    assert saved[-1] == ()
    rig.packet(FIRST, Reason.GUARD, arp(*STRANGER, "10.0.0.1"), 2)
    assert not found(rig), "another's port"
    rig.packet(FIRST, Reason.GUARD, arp(*STRANGER, "10.0.0.1"), 3)
    assert found(rig) == {STRANGER[1]}, "it may come again, also elsewhere"
