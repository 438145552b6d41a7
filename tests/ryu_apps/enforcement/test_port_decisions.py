"""A decision on a port, on switches in software: what each switch gets, and back again, exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from policies.model import Envelope
from policies.rules.layout import Category, RuleTable, category_of, cookie
from response.ipc.messages import Enforce, Release, RulesConfirmed
from tests.support.controller_rig import HOLD, POLICY, Rig
from tests.support.fake_switch import FakeSwitch

pytestmark = pytest.mark.threat("host-is-its-port")
PORT = structs.replace(
    HOLD, target="10.0.0.9", addresses=("10.0.0.9",), scope="port", ports=((1, 3),)
)


def decided(switch: FakeSwitch) -> list[int]:
    """The tables of all decisions' rules."""
    found = (t for (t, _, _), (value, _, _) in switch.rules.items() if _is_decision(value))
    return sorted(found)


def _is_decision(value: int) -> bool:
    return category_of(value) == Category.DECISION


@pytest.mark.parametrize(
    ("action", "here", "there"),
    [
        ("quarantine", 2 * [RuleTable.MARK_SOURCE, RuleTable.MARK_TARGET], 1),
        ("isolate", 2 * [RuleTable.MARK_SOURCE], 1),
        ("rate_limit", [RuleTable.ADAPTIVE], 0),
    ],
)
def test_each_switch_gets_its_part_and_loses_it_again(
    action: str, here: list[RuleTable], there: int
) -> None:
    rig = Rig(replace(POLICY, envelope=Envelope(rate_limit=40)))
    switches = [rig.connect(number) for number in (1, 2)]
    before = [dict(switch.rules) for switch in switches]
    held = structs.replace(PORT, action=action)
    address = structs.replace(held, ports=(), scope="host")
    rig.carry_out(rig.core.decisions.order(Enforce(address), rig.now))
    alone = len(decided(switches[0]))
    rig.carry_out(rig.core.decisions.order(Enforce(held), rig.now))
    assert len(decided(switches[0])) - alone == len(here)
    assert len(decided(switches[1])) - alone == there * len(here) // 2
    assert set(decided(switches[0])) == set(map(int, here))
    confirmed = rig.messages(RulesConfirmed)[-1]
    assert {rule.cookie for rule in confirmed.rules} == {cookie(Category.DECISION, 5)}
    rig.advance(1.0)
    rig.carry_out(rig.core.decisions.order(Release(held, "a person"), rig.now))
    assert [dict(switch.rules) for switch in switches] == before
    assert rig.messages(RulesConfirmed)[-1].removed


def test_a_switch_that_comes_back_has_the_port_held() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.carry_out(rig.core.decisions.order(Enforce(PORT), rig.now))
    held = dict(switch.rules)
    fresh = Rig()
    fresh.core.start((), (), (PORT,))
    fresh.connect(1, switch)
    assert switch.rules.keys() == held.keys()


def test_it_ends_at_its_time() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    rig.carry_out(rig.core.decisions.order(Enforce(PORT), rig.now))
    rig.advance(HOLD.ttl + 1.0)
    assert switch.rules == before
