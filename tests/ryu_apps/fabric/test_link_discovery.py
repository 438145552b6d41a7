"""Attacks on link discovery: replay, one-way and relayed frames, port amnesia.

The attacks are those of TopoGuard (Hong et al., NDSS 2015), TopoGuard+ (Skowyra et al., DSN 2018)
and SPHINX (Dhawan et al., NDSS 2015).
"""

from __future__ import annotations

import pytest

from policies.compiler.switches_file import Switches
from policies.rules.layout import Reason
from response.ipc.messages import HostPlaced, LinkChanged
from ryu_apps.switch.admission import Admission
from tests.support.controller_rig import Rig, arp
from tests.support.discovery import announce, arrives, cable, latest
from topology.records import Link

HOST = "00:00:00:00:00:77"
NO_TRUNK: frozenset[int] = frozenset()
pytestmark = pytest.mark.threat("link-discovery")


def three(admission: Admission | None = None) -> Rig:
    rig = Rig(admission=admission)
    for switch in (1, 2, 3):
        rig.connect(switch)
    return rig


def seen(rig: Rig, switch: int, port: int) -> None:
    """A host sends from a port, and is found there."""
    rig.packet(switch, Reason.GUARD, arp(HOST, "10.0.0.77", "10.0.0.1"), port)


def stays(rig: Rig, switch: int, port: int) -> None:
    """It answers what it is asked."""
    rig.packet(switch, Reason.PROBE, arp(HOST, "10.0.0.77", "10.0.0.1", op=2), port)


def test_a_cable_is_found_by_frames_of_both_directions() -> None:
    rig = three()
    cable(rig, (1, 3), (2, 3))
    assert rig.core.network.fabric.next_ports(2) == {1: 3}
    assert {(link.switch, link.peer_switch) for link in rig.core.network.fabric.links} == {
        (1, 2),
        (2, 1),
    }


def test_frames_caught_on_a_trunk_make_no_trunk_later() -> None:
    rig = three()
    cable(rig, (1, 3), (2, 3))
    caught = latest(rig, (1, 3)), latest(rig, (2, 3))
    again = three()
    for _ in range(20):
        again.advance(1)
        for frame in caught:
            arrives(again, frame, (3, 1))
    assert again.core.network.fabric.trunks(3) == NO_TRUNK, "in another run"
    for frame in caught:
        arrives(rig, frame, (3, 1))
    assert rig.core.network.fabric.trunks(3) == NO_TRUNK, "in the same"
    assert rig.core.network.fabric.trunks(1) == {3}, "and the trunk stays one"


def test_one_direction_is_no_link() -> None:
    rig = three()
    announce(rig, 1)
    arrives(rig, latest(rig, (1, 3)), (2, 3))
    assert not rig.core.network.fabric.links


def test_a_frame_that_was_long_on_its_way_is_not_taken() -> None:
    rig = three()
    for switch in (1, 2):
        announce(rig, switch)
    rig.advance(5)
    arrives(rig, latest(rig, (1, 3)), (2, 3))
    arrives(rig, latest(rig, (2, 3)), (1, 3))
    assert not rig.core.network.fabric.links


def test_port_amnesia_makes_no_trunk_of_a_host_that_is_there() -> None:
    """The host takes its link down and up, so that its port is new, and relays frames then."""
    rig = three()
    seen(rig, 3, 1)
    rig.carry_out(rig.core.port_changed(3, 1, bytes(6), False, rig.now))
    rig.carry_out(rig.core.port_changed(3, 1, bytes(6), True, rig.now))
    for _ in range(4):
        cable(rig, (2, 3), (3, 1))
        stays(rig, 3, 1)
        rig.advance(1.2)
    assert rig.core.network.fabric.trunks(3) == NO_TRUNK
    assert rig.core.network.hosts.bindings()[-1].port == 1, "and it is known still"


def test_a_port_is_a_trunk_once_its_host_is_gone_by_a_probe() -> None:
    rig = three()
    seen(rig, 3, 1)
    rig.carry_out(rig.core.port_changed(3, 1, bytes(6), False, rig.now))
    rig.carry_out(rig.core.port_changed(3, 1, bytes(6), True, rig.now))
    cable(rig, (2, 3), (3, 1))
    assert rig.core.network.fabric.trunks(3) == NO_TRUNK, "the host is asked first"
    rig.advance(0.6)
    rig.advance(0.6)
    cable(rig, (2, 3), (3, 1))
    assert rig.core.network.fabric.trunks(3) == {1}


def test_relayed_frames_make_no_link_where_cables_are_pinned() -> None:
    """Two hosts that pass each other's frames on at once look like a cable to any controller."""
    cables = (Link(1, 3, 2, 3),)
    rig = three(Admission(settings=Switches(links=cables)))
    cable(rig, (1, 3), (3, 1))
    cable(rig, (2, 1), (3, 2))
    assert rig.core.network.fabric.links == frozenset()
    cable(rig, (1, 3), (2, 3))
    assert rig.core.network.fabric.trunks(1) == {3} and rig.core.network.fabric.trunks(2) == {3}


def test_a_pinned_port_is_a_trunk_whatever_was_seen_there() -> None:
    rig = three(Admission(settings=Switches(links=(Link(1, 3, 2, 3),))))
    seen(rig, 2, 3)
    cable(rig, (1, 3), (2, 3))
    assert rig.core.network.fabric.trunks(2) == {3}


def test_a_relayed_cable_takes_no_port_from_a_link_that_is_heard() -> None:
    rig = three()
    cable(rig, (1, 3), (2, 3))
    cable(rig, (1, 3), (3, 1))
    assert (
        rig.core.network.fabric.trunks(1) == {3} and rig.core.network.fabric.trunks(3) == NO_TRUNK
    )


@pytest.mark.threat("audit-anchor")
def test_a_host_that_is_found_or_moves_is_reported_for_the_audit() -> None:
    rig = three()
    seen(rig, 3, 1)
    seen(rig, 3, 2)
    rig.advance(0.6)
    rig.advance(0.6)
    placed = [(each.what, each.binding.port) for each in rig.messages(HostPlaced)]
    assert placed == [("found", 1), ("moved", 2)]


@pytest.mark.threat("audit-anchor")
def test_trunks_found_refused_and_lost_are_reported_for_the_audit() -> None:
    rig = three()
    cable(rig, (1, 3), (2, 3))
    cable(rig, (1, 3), (3, 1))
    rig.carry_out(rig.core.port_changed(1, 3, bytes(6), False, rig.now))
    told = [(each.what, each.link.peer_switch) for each in rig.messages(LinkChanged)]
    assert told[0][0] == "found" and told[-1][0] == "lost" and ("refused", 3) in told
    counters = rig.core.links.counters
    assert counters.new_trunks == 1 and counters.refused_links >= 1


@pytest.mark.threat("audit-anchor")
def test_an_undeclared_port_that_comes_up_is_counted() -> None:
    rig = three(Admission(settings=Switches(links=(Link(1, 3, 2, 3),))))
    for switch, port in ((1, 1), (1, 3), (2, 2)):
        for up in (False, True):
            rig.carry_out(rig.core.port_changed(switch, port, bytes(6), up, rig.now))
    assert rig.core.links.counters.undeclared_ports == 1, "not a host's, nor a pinned one"
