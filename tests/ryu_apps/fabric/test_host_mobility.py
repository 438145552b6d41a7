"""Who moved and who pretends: the old port is asked, and its answer or silence counts."""

from __future__ import annotations

import struct

from ryu_apps.fabric.host_mobility import PATIENCE, QUIET, HostMobility, probe
from ryu_apps.openflow.ethernet import read_frame
from topology.hosts import HostTable
from topology.records import Binding

NOW = 1_000.0
MAC, OTHER = "02:00:00:00:00:02", "02:00:00:00:00:09"
ELSEWHERE = Binding(MAC, "10.0.0.2", 2, 5)


def found() -> HostTable:
    hosts = HostTable(declared=(Binding("02:00:00:00:00:01", "10.0.0.1", 1, 1, "web"),))
    for ip in ("10.0.0.2", "fd00::2"):
        assert hosts.check_source(MAC, ip, 1, 2).learned
    return hosts


def test_only_what_was_discovered_can_have_moved() -> None:
    hosts = found()
    seen = hosts.check_source(MAC, "10.0.0.2", 2, 5)
    assert seen.spoof and seen.outdated is not None and seen.outdated.port == 2
    for mac, ip in (("02:00:00:00:00:01", "10.0.0.1"), (MAC, "10.0.0.1")):
        other = hosts.check_source(mac, ip, 2, 5)
        assert other.spoof and other.outdated is None, "a declared host is part of it"
    at_declared = hosts.check_source(MAC, "10.0.0.2", 1, 1)
    assert at_declared.spoof and at_declared.outdated is None
    taken = hosts.check_source(OTHER, "10.0.0.2", 2, 5)
    assert taken.outdated is not None and taken.outdated.mac == MAC


def test_silence_lets_a_host_move_with_all_its_addresses() -> None:
    hosts, moves = found(), HostMobility()
    known = hosts.check_source(MAC, "10.0.0.2", 2, 5).outdated
    assert known is not None
    (asked,) = moves.challenge(hosts, known, ELSEWHERE, NOW) or []
    assert asked.switch == 1 and moves.challenge(hosts, known, ELSEWHERE, NOW) == []
    again, silent = moves.due(NOW + 0.4)
    assert len(again) == 1 and not silent
    _, silent = moves.due(NOW + PATIENCE)
    assert [each.claimant for each in silent] == [ELSEWHERE]
    hosts.gone(known, ELSEWHERE)
    assert hosts.check_source(MAC, "10.0.0.2", 2, 5).learned
    assert [(b.ip, b.switch) for b in hosts.bindings()] == [("10.0.0.1", 1), ("10.0.0.2", 2)]


def test_an_answer_keeps_the_host_and_is_not_asked_for_again_at_once() -> None:
    hosts, moves = found(), HostMobility()
    known = hosts.check_source(MAC, "10.0.0.2", 2, 5).outdated
    assert known is not None and moves.challenge(hosts, known, ELSEWHERE, NOW)
    assert moves.answered(1, 3, MAC, NOW) is None, "from another port"
    challenge = moves.answered(1, 2, MAC, NOW + 0.1)
    assert challenge is not None and challenge.claimant == ELSEWHERE
    assert moves.answered(1, 2, MAC, NOW + 0.1) is None
    assert moves.due(NOW + PATIENCE) == ([], [])
    assert moves.challenge(hosts, known, ELSEWHERE, NOW + 1) is None
    moves.due(NOW + QUIET + 1)
    assert moves.challenge(hosts, known, ELSEWHERE, NOW + QUIET + 1)


def test_an_address_that_somebody_else_has_now_is_all_that_its_owner_loses() -> None:
    hosts = found()
    known = hosts.check_source(OTHER, "10.0.0.2", 2, 5).outdated
    assert known is not None
    hosts.gone(known, Binding(OTHER, "10.0.0.2", 2, 5))
    assert hosts.check_source(OTHER, "10.0.0.2", 2, 5).learned
    assert {(b.mac, b.ip) for b in hosts.discovered.values()} == {
        (MAC, "fd00::2"),
        (OTHER, "10.0.0.2"),
    }


def test_probes_are_well_formed() -> None:
    four = read_frame(probe(MAC, "10.0.0.2"))
    assert four is not None and (four.src_ip, four.target, four.query) == ("0.0.0.0", "10.0.0.2", 1)
    data = probe(MAC, "fd00::2")
    six = read_frame(data)
    assert six is not None and six.query and six.target == "fd00::2" and six.dst_mac == MAC
    icmp = data[54:]
    whole = data[22:54] + struct.pack("!II", len(icmp), 58) + icmp
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the checksum is right"
    assert data[21] == 255, "neighbour discovery has a hop limit of its own"
