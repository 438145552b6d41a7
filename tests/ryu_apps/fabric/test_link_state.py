"""Cables come and go: silence, lost switches, and hosts that pretend to be switches."""

from __future__ import annotations

from itertools import count

from ryu_apps.fabric.link_state import FRESH, LINK_TIMEOUT, LinkFrameResult, LinkWatch
from ryu_apps.openflow.discovery_frames import DiscoveryFrame
from topology.fabric import Fabric
from topology.hosts import HostTable, Place
from topology.records import Binding, Link

NOW = 1_000.0
CABLE = Link(1, 9, 2, 8)
BACK = Link(2, 8, 1, 9)
_NUMBERS = count()


def hears(
    watch: LinkWatch,
    fabric: Fabric,
    sender: Place,
    here: Place,
    now: float,
    hosts: HostTable | None = None,
) -> LinkFrameResult:
    """A frame is sent, and arrives at once."""
    frame = DiscoveryFrame(*sender, next(_NUMBERS).to_bytes(8, "big"), now)
    watch.leaves(frame, now)
    return watch.received(fabric, hosts or HostTable(), frame, here, now)


def known() -> tuple[LinkWatch, Fabric]:
    watch = LinkWatch()
    assert hears(watch, Fabric(), (1, 9), (2, 8), NOW).ask_back
    heard = hears(watch, Fabric(), (2, 8), (1, 9), NOW)
    assert heard.fabric is not None and heard.fabric.trunks(1) == {9}
    assert heard.fabric.links == {CABLE, BACK}
    return watch, heard.fabric


def test_a_silent_cable_is_lost_only_while_both_ends_could_have_been_heard() -> None:
    watch, fabric = known()
    assert not watch.overdue(fabric, {1, 2}, NOW + LINK_TIMEOUT)
    assert not watch.overdue(fabric, {1}, NOW + 10 * LINK_TIMEOUT), "switch 2 is away"
    back = NOW + 10 * LINK_TIMEOUT
    assert not watch.overdue(fabric, {1, 2}, back), "it has to get time to speak again"
    assert not watch.overdue(fabric, {1, 2}, back + LINK_TIMEOUT)
    assert set(watch.overdue(fabric, {1, 2}, back + LINK_TIMEOUT + 1)) == {CABLE, BACK}


def test_a_cable_that_carries_one_direction_only_is_lost() -> None:
    watch, fabric = known()
    watch.overdue(fabric, {1, 2}, NOW + 1)
    assert not hears(watch, fabric, (2, 8), (1, 9), NOW + LINK_TIMEOUT).ask_back
    assert watch.overdue(fabric, {1, 2}, NOW + LINK_TIMEOUT + 1) == [CABLE]


def test_a_port_where_a_host_is_known_becomes_no_trunk() -> None:
    hosts = HostTable(declared=(Binding("02:00:00:00:00:01", "10.0.0.1", 1, 1, "web"),))
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 2, 2)
    for sender, here in (((2, 9), (1, 1)), ((1, 1), (2, 9)), ((1, 9), (2, 2)), ((2, 2), (1, 9))):
        watch = LinkWatch()
        heard = hears(watch, Fabric(), sender, here, NOW, hosts)
        assert heard.fabric is None and heard.forged and "not taken for a link" in heard.problem
        assert heard.accused and heard.culprit in ((1, 1), (2, 2)), "the port of the host"
        assert [host.port for host in heard.in_doubt] == [2] * (heard.culprit == (2, 2))
        again = hears(watch, Fabric(), sender, here, NOW, hosts)
        assert again.forged and not again.problem, "reported once"


def test_a_discovered_host_that_may_have_left_is_asked_first() -> None:
    hosts = HostTable()
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 2, 8)
    hosts.port_down((2, 8))
    hosts.port_up((2, 8))
    assert hosts.occupant((2, 8)) is None, "frames are sent there"
    heard = hears(LinkWatch(), Fabric(), (1, 9), (2, 8), NOW, hosts)
    (host,) = heard.in_doubt
    hosts.leave(host)
    assert not hosts.bindings()
    assert hears(LinkWatch(), Fabric(), (1, 9), (2, 8), NOW, hosts).ask_back
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 3, 1)
    hosts.port_down((3, 1))
    hosts.check_source("02:00:00:00:00:02", "10.0.0.2", 3, 1)
    assert hosts.occupant((3, 1)) == "02:00:00:00:00:02", "seen again"


def test_own_frames_and_cables_within_a_switch_are_no_links() -> None:
    watch = LinkWatch()
    assert hears(watch, Fabric(), (1, 1), (1, 1), NOW).forged
    looped = hears(watch, Fabric(), (1, 1), (1, 2), NOW)
    assert looped.fabric is None and "cabled to each other" in looped.problem and not looped.forged


def test_a_frame_counts_once_and_not_for_long() -> None:
    watch = LinkWatch()
    frame = DiscoveryFrame(1, 9, b"nonce678", NOW)
    watch.leaves(frame, NOW)
    assert watch.received(Fabric(), HostTable(), frame, (2, 8), NOW).ask_back
    again = watch.received(Fabric(), HostTable(), frame, (3, 1), NOW)
    assert again.stale and not again.accused, "it may have gone two ways"
    late = watch.received(Fabric(), HostTable(), frame, (3, 1), NOW + 60)
    assert late.stale and late.culprit == (3, 1) and "old link discovery frames" in late.accused
    slow = DiscoveryFrame(1, 9, b"nonce679", NOW)
    watch.leaves(slow, NOW)
    assert watch.received(Fabric(), HostTable(), slow, (2, 8), NOW + FRESH + 0.1).stale
    watch.leaves(frame, NOW + 60)
    assert list(watch.outstanding) == [frame.nonce], "what never arrived is forgotten"
