"""When a controller calls itself ready, and what it reports about places."""

from __future__ import annotations

import json
from dataclasses import replace

from policies.rules.layout import Reason
from ryu_apps.placement_status import awaited, placement_status, switches_are_there
from tests.support.controller_rig import POLICY, WEB, Rig, tcp
from topology.records import SpoofedPacket


def test_without_any_switch_of_the_policy_it_is_not_ready() -> None:
    rig = Rig()
    assert not switches_are_there(rig.core, None)
    assert awaited(rig.core, None) == "waiting for switches of the policy (1); connected: none"
    rig.connect(7)
    assert not switches_are_there(rig.core, None), "not one that the policy names"
    rig.connect(1)
    assert switches_are_there(rig.core, None)


def test_a_number_given_takes_the_place_of_the_names() -> None:
    rig = Rig()
    assert switches_are_there(rig.core, 0)
    assert not switches_are_there(rig.core, 1)
    assert awaited(rig.core, 1) == "waiting for 1 switches with their rules; connected: none"
    rig.connect(7)
    assert switches_are_there(rig.core, 1)


def test_a_policy_that_names_no_switch_waits_for_none() -> None:
    free = replace(POLICY, hosts=tuple(replace(h, switch=None, port=None) for h in POLICY.hosts))
    assert switches_are_there(Rig(free).core, None)


def test_dropped_packets_show_where_a_host_really_is() -> None:
    rig = Rig()
    rig.connect()
    borrowed = tcp("10.0.0.1", "10.0.0.2", 22)
    for _ in range(3):
        rig.packet(1, Reason.GUARD, borrowed[:6] + bytes.fromhex("000000000001") + borrowed[12:], 3)
    found = placement_status(rig.core)
    json.dumps(found)
    assert [each["kind"] for each in found["inventory"]] == ["elsewhere"]
    (seen,) = found["dropped_sources"]
    assert (seen["mac"], seen["ip"], seen["port"], seen["packets"]) == (WEB.mac, "10.0.0.1", 3, 3)


def test_senders_are_forgotten_before_there_are_too_many() -> None:
    dropped = Rig().core.hosts.dropped
    for number in range(1_200):
        dropped.add(SpoofedPacket(float(number), 1, 1, "m", str(number), "why"))
    dropped.add(SpoofedPacket(2_000.0, 1, 1, "m", "300", "why"))
    latest = dropped.latest()
    assert (len(latest), latest[0].ip, latest[0].packets) == (1_000, "300", 2)
    assert "0" not in {each.ip for each in latest}
