"""Cables come and go: silence, lost switches, and hosts that pretend to be switches."""

from __future__ import annotations

from ryu_apps.fabric.link_state import LINK_TIMEOUT, LinkWatch
from topology.fabric import Fabric
from topology.hosts import HostTable
from topology.records import Binding, Link

NOW = 1_000.0
CABLE = Link(1, 9, 2, 8)


def known() -> tuple[LinkWatch, Fabric]:
    watch = LinkWatch()
    heard = watch.received(Fabric(), HostTable(), (1, 9), (2, 8), NOW)
    assert heard.fabric is not None and heard.fabric.trunks(1) == {9}
    return watch, heard.fabric


def test_a_silent_cable_is_lost_only_while_both_ends_could_have_been_heard() -> None:
    watch, fabric = known()
    assert not watch.overdue(fabric, {1, 2}, NOW + LINK_TIMEOUT)
    assert not watch.overdue(fabric, {1}, NOW + 10 * LINK_TIMEOUT), "switch 2 is away"
    back = NOW + 10 * LINK_TIMEOUT
    assert not watch.overdue(fabric, {1, 2}, back), "it has to get time to speak again"
    assert not watch.overdue(fabric, {1, 2}, back + LINK_TIMEOUT)
    assert watch.overdue(fabric, {1, 2}, back + LINK_TIMEOUT + 1) == [CABLE]


def test_hearing_either_direction_keeps_a_cable() -> None:
    watch, fabric = known()
    watch.overdue(fabric, {1, 2}, NOW + 1)
    watch.received(fabric, HostTable(), (2, 8), (1, 9), NOW + LINK_TIMEOUT)
    assert not watch.overdue(fabric, {1, 2}, NOW + LINK_TIMEOUT + 5)


def test_a_port_where_a_host_is_known_becomes_no_trunk() -> None:
    hosts = HostTable(declared=(Binding("02:00:00:00:00:01", "10.0.0.1", 1, 1, "web"),))
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 2, 2)
    for sender, here in (((2, 9), (1, 1)), ((1, 1), (2, 9)), ((1, 9), (2, 2)), ((2, 2), (1, 9))):
        watch = LinkWatch()
        heard = watch.received(Fabric(), hosts, sender, here, NOW)
        assert heard.fabric is None and heard.forged and "not taken for a link" in heard.problem
        again = watch.received(Fabric(), hosts, sender, here, NOW)
        assert again.forged and not again.problem, "reported once"


def test_a_discovered_host_that_may_have_left_does_not_stop_a_cable() -> None:
    hosts = HostTable()
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 2, 8)
    hosts.port_down((2, 8))
    hosts.port_up((2, 8))
    heard = LinkWatch().received(Fabric(), hosts, (1, 9), (2, 8), NOW)
    assert heard.fabric is not None
    assert hosts.vacate((2, 8)) and not hosts.bindings()
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 3, 1)
    hosts.port_down((3, 1))
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 3, 1)
    assert hosts.occupant((3, 1)) == "02:00:00:00:00:02", "seen again"


def test_own_frames_and_cables_within_a_switch_are_no_links() -> None:
    watch = LinkWatch()
    assert watch.received(Fabric(), HostTable(), (1, 1), (1, 1), NOW).forged
    looped = watch.received(Fabric(), HostTable(), (1, 1), (1, 2), NOW)
    assert looped.fabric is None and "cabled to each other" in looped.problem and not looped.forged
