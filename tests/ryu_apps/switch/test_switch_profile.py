"""Switches that can do less: found out, given rules they can hold, changed in safe order."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from policies.compiler import CompileError
from policies.compiler.switches_file import Switches, SwitchSetting
from policies.compiler.targets import Form, SwitchTarget
from policies.model import TCP, Host, Intent, Service
from policies.rules.layout import Category, category_of
from response.ipc.messages import Enforce, HostsChanged, Release, RulesConfirmed, SwitchChanged
from ryu_apps.core import PACKET_IN, Core
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import wire_rule
from ryu_apps.switch.admission import Admission
from ryu_apps.switch.session import RETRY_AFTER, SETTLE, Phase
from tests.support.controller_rig import HOLD, POLICY, Rig, arp
from tests.support.fake_switch import FakeSwitch

MORE = Intent("more", ("db",), ("web",), (Service(TCP, 80, 80),))
OTHER = replace(POLICY, intents=(MORE,))
MANY = replace(
    POLICY,
    intents=tuple(
        Intent(f"i{n}", ("web",), ("db",), (Service(TCP, 1000 + n, 1000 + n),)) for n in range(40)
    ),
)


def plain(number: int = 1, **options: Any) -> FakeSwitch:
    return FakeSwitch(number, vendor=False, **options)


def reported(rig: Rig, what: str) -> list[str]:
    return [each.detail for each in rig.messages(SwitchChanged) if each.what == what]


def as_compiled(rig: Rig, switch: FakeSwitch) -> bool:
    wanted = rig.core.reconciler.rules(rig.core.sessions[switch.number], rig.now)
    return {(wire_rule(r).cookie, r.table, r.priority) for r in wanted} == {
        (cookie, table, priority) for (table, priority, _), (cookie, _, _) in switch.rules.items()
    }


@pytest.mark.parametrize(
    ("switch", "target"),
    [
        (FakeSwitch(1), SwitchTarget.STATEFUL),
        (FakeSwitch(1, tables=8), SwitchTarget.SINGLE),
        (plain(), SwitchTarget.STATELESS),
        (plain(tables=12), SwitchTarget.SINGLE),
        (plain(tables=1), SwitchTarget.SINGLE),
    ],
)
def test_a_switch_gets_the_rules_of_its_kind(switch: FakeSwitch, target: SwitchTarget) -> None:
    rig = Rig()
    rig.connect(1, switch)
    session = rig.core.sessions[1]
    assert session.profile.target is target
    assert session.phase is Phase.READY and not session.problem
    assert as_compiled(rig, switch)
    assert switch.fragments == (3 if target is SwitchTarget.STATEFUL else 1), "matched, or dropped"
    assert bool(reported(rig, "limited")) == (target is not SwitchTarget.STATEFUL)
    sent = switch.flow_mods
    again = Rig()
    again.connect(1, switch)
    assert switch.flow_mods == sent


def test_the_installations_file_has_the_last_word() -> None:
    setting = SwitchSetting(SwitchTarget.SINGLE, port_masks=False)
    rig = Rig(admission=Admission(settings=Switches(own={1: setting})))
    switch = rig.connect()
    assert rig.core.sessions[1].profile.form == Form(SwitchTarget.SINGLE, False)
    assert as_compiled(rig, switch)


def test_a_plain_change_writes_the_new_before_the_old_goes() -> None:
    rig = Rig()
    switch = rig.connect(1, plain())
    seen: list[str] = []
    usual = switch.answer

    def watched(data: bytes) -> Any:
        if data[1] == messages.FLOW_MOD:
            seen.append("add" if data[8 + 17] == 0 else "delete")
        elif data[1] == messages.BARRIER_REQUEST:
            seen.append("barrier")
        return usual(data)

    switch.answer = watched  # type: ignore[method-assign]
    rig.carry_out(rig.core.apply_policy(OTHER, (), rig.now))
    assert as_compiled(rig, switch)
    assert seen.index("delete") > seen.index("barrier") > seen.index("add")
    assert "add" not in seen[seen.index("delete") :]


def test_changes_of_a_plain_switch_go_one_after_the_other() -> None:
    rig = Rig()
    switch = rig.connect(1, plain())
    there = rig.core.apply_policy(OTHER, (), rig.now)
    back = rig.core.apply_policy(POLICY, (), rig.now)
    assert not [each for each in back if getattr(each, "data", None)]
    rig.carry_out(there)
    assert as_compiled(rig, switch)
    assert rig.core.sessions[1].idle


def test_a_full_table_is_told_and_the_switch_stays_as_it_was() -> None:
    """It says that its tables hold much, and they do not."""
    rig = Rig()
    switch = rig.connect(1, plain())
    before = dict(switch.rules)
    switch.table_size = max(sum(1 for each in before if each[0] == table) for table in range(13))
    rig.carry_out(rig.core.apply_policy(MANY, (), rig.now))
    assert switch.rules == before
    session = rig.core.sessions[1]
    assert (
        "table policy is full" in session.problem
        and "table policy is full" in reported(rig, "failed")[0]
    )
    sent = switch.flow_mods
    for _ in range(10):
        rig.advance(RETRY_AFTER)
        rig.carry_out(rig.core.check(rig.now))
    assert 1 <= session.counters.failures <= 5, "tried again, less often each time"
    switch.table_size = 10**6
    for _ in range(10):
        rig.advance(30)
        rig.advance(SETTLE)
    assert as_compiled(rig, switch) and not session.problem
    assert switch.flow_mods > sent
    assert not reported(rig, "drift")


def test_rules_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    rig = Rig()
    switch = rig.connect(1, plain(table_size=60))
    sent = switch.flow_mods
    with pytest.raises(CompileError, match=r"switch 1: table policy holds 60 rules and needs"):
        rig.core.apply_policy(MANY, (), rig.now)
    assert switch.flow_mods == sent and as_compiled(rig, switch)
    assert rig.core.desired_state.policy == POLICY


def test_a_switch_that_is_too_small_when_it_connects_keeps_what_it_has() -> None:
    rig = Rig()
    switch = rig.connect(1, plain(table_size=5))
    assert not [each for each in switch.rules if each[0] > 0]
    assert "holds 5 rules" in rig.core.sessions[1].problem
    assert any("holds 5 rules" in each for each in reported(rig, "failed"))


def test_where_old_and_new_find_no_room_together_nothing_passes_meanwhile() -> None:
    rig = Rig()
    switch = rig.connect(1, plain())
    first = replace(MANY, intents=MANY.intents[:20])
    rig.carry_out(rig.core.apply_policy(first, (), rig.now))
    size = max(sum(1 for each in switch.rules if each[0] == table) for table in range(13))
    session = rig.core.sessions[1]
    session.profile = replace(session.profile, sizes=dict.fromkeys(range(13), size))
    switch.table_size = size
    second = replace(MANY, intents=MANY.intents[20:])
    rig.carry_out(rig.core.apply_policy(second, (), rig.now))
    assert switch.shut == 1, "dropped everything once, and only now"
    assert as_compiled(rig, switch) and not session.problem


def test_decisions_reach_plain_switches_and_leave_them() -> None:
    rig = Rig()
    switch = rig.connect(1, plain())
    before = dict(switch.rules)
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    held = [
        cookie for cookie, _, _ in switch.rules.values() if category_of(cookie) == Category.DECISION
    ]
    assert held and rig.messages(RulesConfirmed)
    rig.carry_out(rig.core.decisions.command(Release(HOLD, "a person"), rig.now))
    assert switch.rules == before
    assert rig.messages(RulesConfirmed)[-1].removed


def test_a_plain_switch_finds_hosts_too() -> None:
    rig = Rig()
    switch = rig.connect(1, plain())
    before = len(switch.rules)
    frame = arp("00:00:00:00:00:09", "10.0.0.9", "10.0.0.1")
    match = b"\x00\x01\x00\x0c" + b"\x80\x00\x00\x04" + (3).to_bytes(4, "big") + bytes(4)
    body = b"\xff" * 4 + len(frame).to_bytes(2, "big") + b"\x01\x00" + bytes(8)
    buf = messages.message(PACKET_IN, 0, body + match + b"\0\0" + frame)
    rig.carry_out(rig.core.message(1, PACKET_IN, 0, buf, rig.now))
    assert rig.messages(HostsChanged)[-1].bindings[-1].ip == "10.0.0.9"
    assert len(switch.rules) > before and as_compiled(rig, switch)


def test_a_switch_that_refuses_its_rules_gets_simpler_ones() -> None:
    """It takes bundles and lists every field, but not what the rules do."""
    switch = FakeSwitch(1)
    switch.refused_bytes = b"\x00\x00\x23\x20"
    rig = Rig()
    rig.connect(1, switch)
    rig.advance(SETTLE)
    assert rig.core.sessions[1].profile.target is SwitchTarget.STATELESS
    assert as_compiled(rig, switch) and not rig.core.sessions[1].problem


@pytest.mark.parametrize("takeover", [False, True])
def test_a_switch_has_one_owner(takeover: bool) -> None:
    first = Rig(admission=Admission(owner=7))
    switch = first.connect()
    before = dict(switch.rules)
    second = Rig(OTHER, Admission(owner=8, takeover=takeover))
    second.connect(1, switch)
    session = second.core.sessions[1]
    if not takeover:
        assert session.phase is Phase.STANDBY and switch.rules == before
        assert "controller 000000000007" in reported(second, "standby")[0]
        second.carry_out(second.core.decisions.command(Enforce(HOLD), second.now))
        second.advance(60)
        assert switch.rules == before
        return
    assert session.phase is Phase.READY and as_compiled(second, switch)
    assert reported(second, "taken")
    taken = dict(switch.rules)
    first.advance(5)
    assert first.core.sessions[1].phase is Phase.STANDBY
    first.advance(60)
    first.carry_out(first.core.apply_policy(MANY, (), first.now))
    assert switch.rules == taken


def test_who_stayed_out_stays_out_when_the_switch_forgets() -> None:
    first = Rig(admission=Admission(owner=7))
    switch = first.connect()
    second = Rig(admission=Admission(owner=8))
    second.connect(1, switch)
    fresh = FakeSwitch(1)
    second.carry_out(second.core.switch_down(1, second.now))
    second.connect(1, fresh)
    assert second.core.sessions[1].phase is Phase.STANDBY and not fresh.rules


def test_a_host_that_rules_cannot_be_made_for_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    core: Core = rig.core
    real = type(core.desired_state)._compiled

    def refuses_nine(self: Any, now: float) -> Any:
        if any(each.ip == "10.0.0.9" for each in self.bindings):
            raise CompileError("too many")
        return real(self, now)

    monkeypatch.setattr(type(core.desired_state), "_compiled", refuses_nine)
    monkeypatch.setattr(
        type(core.desired_state), "_advance", lambda self, now: setattr(self, "_compiler", None)
    )
    core.network.hosts.check_source("00:00:00:00:00:09", "10.0.0.9", 1, 3)
    rig.carry_out(core.reconciler.reconcile_all(rig.now))
    assert switch.rules == before
    assert core.desired_state.problem == "too many"
    host = Host("new", "00:00:00:00:00:08", (ip_address("10.0.0.8"),), 1, 3, labels=(("r", "w"),))
    core.network.hosts.discovered.clear()
    rig.carry_out(core.apply_policy(replace(POLICY, hosts=(*POLICY.hosts, host)), (), rig.now))
    assert len(switch.rules) > len(before) and not core.desired_state.problem


def test_how_fragments_are_treated_is_said_again() -> None:
    """It is no rule, so no comparison would find that somebody else has changed it."""
    rig = Rig()
    switch = rig.connect()
    switch.fragments = 0
    rig.carry_out(rig.core.look_around(rig.now))
    assert switch.fragments == 3
