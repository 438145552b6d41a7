"""A switch that is handed back: nothing of ours on it, and left alone until it is taken again."""

from __future__ import annotations

from typing import Any

import pytest

from policies.rules.layout import Reason, category_of
from response.decision import id_of
from response.ipc.messages import Enforce, RulesConfirmed, SwitchChanged
from ryu_apps.effects import Save
from ryu_apps.enforcement import release
from ryu_apps.enforcement.release import ReleaseError
from ryu_apps.placement_status import switches_are_there
from ryu_apps.switch.admission import Admission
from ryu_apps.switch.session import SETTLE, Phase
from tests.support.controller_rig import HOLD, Rig, arp
from tests.support.fake_switch import FakeSwitch

FOREIGN = (3, 7, b"\0\x01\0\x04" + bytes(4))
STRANGER = ("02:00:00:00:00:09", "10.0.9.9")


def told(rig: Rig, what: str) -> list[str]:
    return [each.detail for each in rig.messages(SwitchChanged) if each.what == what]


def phase(rig: Rig) -> Phase:
    return rig.core.sessions[1].phase


def handed_back(rig: Rig, normal: bool = False) -> None:
    rig.carry_out(rig.core.releases.release(1, "ann", rig.now, normal=normal))


@pytest.mark.parametrize("options", [{}, {"vendor": False}])
@pytest.mark.parametrize("normal", [False, True])
def test_what_is_ours_goes_and_nothing_else(options: Any, normal: bool) -> None:
    rig = Rig()
    switch = rig.connect(1, FakeSwitch(1, **options))
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    switch.rules[FOREIGN] = (0xABC, 0, b"")
    switch.meters[77] = (1, 1)
    handed_back(rig, normal)
    left = {key: rule for key, rule in switch.rules.items() if key != FOREIGN}
    assert switch.rules[FOREIGN] == (0xABC, 0, b"") and switch.meters == {77: (1, 1)}
    assert [(table, priority) for table, priority, _ in left] == ([(0, 0)] if normal else [])
    assert all(b"\xff\xff\xff\xfa" in rest for _, _, rest in left.values())
    assert switch.fragments == 0
    (text,) = told(rig, "released")
    assert "by ann" in text and ("plain switch" in text) == normal
    gone = [each for each in rig.messages(RulesConfirmed) if each.removed]
    assert gone[-1].decision == id_of(HOLD.number)
    assert rig.core.releases.pending[1].outcome.startswith("released by ann")


def test_it_is_left_alone_until_it_is_taken() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    handed_back(rig)
    sent = switch.flow_mods
    for _ in range(8):
        rig.advance(4)
        rig.carry_out(rig.core.look_around(rig.now))
        rig.carry_out(rig.core.check(rig.now))
    rig.packet(1, Reason.GUARD, arp(*STRANGER, "10.0.0.1"), 3)
    assert switch.flow_mods == sent
    assert not rig.core.network.hosts.discovered, "what it copies to us counts no more"
    rig.carry_out(rig.core.switch_down(1, rig.now))
    rig.connect(1, switch)
    assert phase(rig) is Phase.STANDBY and not switch.rules
    rig.carry_out(rig.core.releases.take(1, "bob", rig.now))
    rig.advance(SETTLE)
    rig.advance(SETTLE)
    assert switch.rules == before and phase(rig) is Phase.READY
    assert "by bob" in told(rig, "taken")[0]


def test_a_restart_does_not_take_it_again() -> None:
    rig = Rig()
    switch = rig.connect()
    handed_back(rig)
    (saved,) = (e.released for e in rig.effects if isinstance(e, Save) and e.released is not None)
    kept = release.read(release.written(saved))
    again = Rig(admission=Admission(released=kept))
    again.connect(1, switch)
    assert phase(again) is Phase.STANDBY and not switch.rules
    assert "ann" in again.core.sessions[1].problem
    assert release.read(None) == {}


def test_a_controller_is_ready_without_the_switches_that_were_released() -> None:
    rig = Rig(admission=Admission(released={1: "ann"}))
    rig.connect(1)
    assert not switches_are_there(rig.core, 1)
    rig.connect(2)
    assert switches_are_there(rig.core, 1)


def test_a_plain_rule_goes_when_it_is_taken() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    handed_back(rig, normal=True)
    rig.carry_out(rig.core.releases.take(1, "bob", rig.now))
    rig.advance(SETTLE)
    rig.advance(SETTLE)
    assert switch.rules == before


def test_a_switch_that_refuses_is_driven_as_before() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    switch.refuse = True
    handed_back(rig)
    assert rig.core.releases.pending[1].refused and told(rig, "failed")
    rig.advance(SETTLE)
    rig.advance(SETTLE)
    assert switch.rules == before and phase(rig) is Phase.READY
    assert not rig.core.admission.released


def test_what_cannot_be_released_or_taken_is_said_and_changes_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    with pytest.raises(ReleaseError, match="switch 2 is not connected"):
        rig.core.releases.release(2, "ann", rig.now, normal=False)
    with pytest.raises(ReleaseError, match="switch 1 is not released"):
        rig.core.releases.take(1, "ann", rig.now)
    assert switch.rules == before
    handed_back(rig)
    with pytest.raises(ReleaseError, match="released already"):
        handed_back(rig)
    other = Rig(admission=Admission(owner=8))
    theirs = Rig(admission=Admission(owner=7))
    shared = theirs.connect()
    other.connect(1, shared)
    with pytest.raises(ReleaseError, match="belongs to controller"):
        handed_back(other)
    assert {category_of(cookie) for cookie, _, _ in shared.rules.values()} >= {10}
