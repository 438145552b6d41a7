"""Decisions that begin or end while a switch or the controller is away: what is reported when
they meet again."""

from __future__ import annotations

from msgspec import structs

from policies.rules.layout import Category, category_of
from response.decision import InstalledRule
from response.ipc.messages import Enforce, Release, RulesConfirmed
from tests.support.controller_rig import HOLD, Rig

MADE = structs.replace(HOLD, id="d7", number=7)


def confirmed(rig: Rig) -> dict[tuple[str, bool], set[InstalledRule]]:
    found: dict[tuple[str, bool], set[InstalledRule]] = {}
    for confirmed in rig.messages(RulesConfirmed):
        found.setdefault((confirmed.decision, confirmed.removed), set()).update(confirmed.rules)
    return found


def test_rules_of_a_decision_that_ended_meanwhile_are_taken_away_and_reported() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.carry_out(rig.core.decisions.command(Enforce(MADE), rig.now))
    placed = confirmed(rig)["d7", False]
    again = Rig()  # a controller that starts and receives no decision
    again.now = rig.now
    again.connect(1, switch)
    assert not any(category_of(value) == Category.DECISION for value, _, _ in switch.rules.values())
    assert confirmed(again) == {("d7", True): placed}


def test_a_release_before_any_switch_is_there_is_confirmed_when_it_comes() -> None:
    """The switch's own timer has ended the rules long ago; somebody still has to say so."""
    rig = Rig()
    rig.connect()
    rig.carry_out(rig.core.decisions.command(Enforce(MADE), rig.now))
    placed = confirmed(rig)["d7", False]
    again = Rig()
    again.now = MADE.expires + 5
    known = structs.replace(MADE, state="expired", rules=tuple(placed))
    again.carry_out(again.core.decisions.command(Release(known, "expired (sent again)"), again.now))
    assert confirmed(again) == {}
    again.connect()
    assert confirmed(again) == {("d7", True): placed}


def test_what_holds_is_reported_with_the_first_comparison() -> None:
    rig = Rig()
    rig.carry_out(rig.core.decisions.command(Enforce(MADE), rig.now))
    assert confirmed(rig) == {}
    rig.connect()
    assert set(confirmed(rig)) == {("d7", False)}
    sent = rig.core.sessions[1].counters.flow_mods
    rig.carry_out(rig.core.decisions.command(Enforce(MADE), rig.now))
    assert rig.core.sessions[1].counters.flow_mods == sent, "said again, nothing is sent"
