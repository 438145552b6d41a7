"""Meters of new connections: one for each edge port, by how many connections the switch tracks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from policies.compiler.switches_file import Switches, SwitchSetting
from policies.compiler.targets import SwitchTarget
from policies.rules.layout import CONNECTION_METERS, connection_rate, is_connection_meter
from policies.rules.rule import Resubmit, Rule, UseMeter
from ryu_apps.switch.admission import Admission
from ryu_apps.switch.capabilities import SwitchCapabilities
from ryu_apps.switch.switch_profile import profile_of
from tests.support.controller_rig import PORTS, Rig

pytestmark = pytest.mark.threat("connection-tables")


def of_connections(meters: Iterable[int]) -> set[int]:
    return {number for number in meters if is_connection_meter(number)}


def test_each_edge_port_has_a_meter_and_half_of_the_table_while_nobody_answers() -> None:
    assert connection_rate(262_144) == 1_092 and connection_rate(1) == 1
    settings = Switches(SwitchSetting(connection_table=6_000))
    switch = Rig(admission=Admission(settings=settings)).connect()
    assert of_connections(switch.meters) == {CONNECTION_METERS | port for port in PORTS}
    assert {switch.meters[each] for each in of_connections(switch.meters)} == {(25, 25)}


def test_the_meter_of_a_port_goes_after_its_rule_and_comes_before_it() -> None:
    rig = Rig()
    switch = rig.connect()
    rig.carry_out(rig.core.port_changed(1, 3, None, False, rig.now))
    assert of_connections(switch.meters) == {CONNECTION_METERS | port for port in (1, 2)}
    rig.carry_out(rig.core.port_changed(1, 3, PORTS[3], True, rig.now))
    assert of_connections(switch.meters) == {CONNECTION_METERS | port for port in PORTS}
    rig.carry_out(rig.core.check(rig.now))
    checked = rig.core.sessions[1].checked
    assert checked is not None and checked.right


def test_a_switch_without_meters_has_that_among_its_limits() -> None:
    rig = Rig()
    rig.connect()
    session = rig.core.sessions[1]
    rules = rig.core.reconciler.rules(session, rig.now)
    plain = profile_of(SwitchCapabilities(meters=0), SwitchSetting(SwitchTarget.STATEFUL))
    assert any("fill its connection table" in each for each in plain.limits)
    fitted = tuple(plain.fitted(rules))
    assert len(fitted) == len(rules) and not any(map(uses_a_meter, fitted))


def uses_a_meter(rule: Rule) -> bool:
    return any(isinstance(each, UseMeter) for each in rule.actions)


def test_every_way_to_the_connection_table_passes_the_meter() -> None:
    rig = Rig()
    rig.connect()
    rules = rig.core.reconciler.rules(rig.core.sessions[1], rig.now)
    metered = [each for each in rules if Resubmit(24) in each.actions]
    assert len(metered) == 4, "of both families, whole and in fragments"
