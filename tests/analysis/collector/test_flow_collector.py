"""Datagrams of exporters become connections, each once, and everything that is lost is counted."""

from __future__ import annotations

from dataclasses import replace

from analysis.collector.flow_collector import HOLD, MAX_EXPORTERS, MAX_WAITING, FlowCollector
from analysis.collector.known_connections import KnownConnections
from tests.support.flow_export_packets import BOOTED, Direction, ipfix, version_5, version_9
from topology.records import FlowRecord

NOW = float(BOOTED + 60)
REQUEST = Direction("10.0.0.1", "10.0.0.2", sport=40_001, dport=22)
ANSWER = Direction("10.0.0.2", "10.0.0.1", sport=22, dport=40_001, octets=9_000, begun=10.1)


def test_two_directions_are_one_connection_whichever_row_comes_first() -> None:
    for rows in ([REQUEST, ANSWER], [ANSWER, REQUEST]):
        collector = FlowCollector()
        collector.take(version_9(rows), "192.0.2.1", NOW)
        assert collector.next(9) == (), "rows wait a little for their other direction"
        collector.due(NOW + HOLD)
        found = collector.next(9)
        assert {(each.src_ip, each.service, each.exporter) for each in found} == {
            ("10.0.0.1", "tcp/22", "192.0.2.1")
        }
        assert sum(each.bytes_out or 0 for each in found) == 500
        assert sum(each.bytes_in or 0 for each in found) == 9_000


def test_a_connection_that_two_exporters_saw_counts_once() -> None:
    collector = FlowCollector()
    later = [
        replace(row, begun=row.begun + 0.02, ended=row.ended + 0.05) for row in (REQUEST, ANSWER)
    ]
    collector.take(ipfix([REQUEST, ANSWER]), "192.0.2.1", NOW)
    collector.take(version_5(later), "192.0.2.2", NOW)
    collector.due(NOW + HOLD)
    assert len(collector.next(9)) == 2 and collector.repeated == 2
    assert {each.exporter for each in collector.next(9)} == {"192.0.2.1"}


def test_a_connection_that_goes_on_has_a_row_for_each_stretch() -> None:
    collector = FlowCollector()
    stretches = [replace(REQUEST, begun=60.0 * n, ended=60.0 * n + 60) for n in range(3)]
    for number, row in enumerate(stretches):
        collector.take(ipfix([row], number), "192.0.2.1", NOW)
    collector.due(NOW + HOLD)
    assert len(collector.next(9)) == 3 and not collector.repeated


def test_only_listed_exporters_are_listened_to() -> None:
    collector = FlowCollector(["192.0.2.1"])
    collector.take(ipfix([REQUEST]), "192.0.2.66", NOW)
    collector.due(NOW + HOLD)
    assert collector.next(9) == () and collector.unlisted == 1 and collector.counts() == ()


def test_what_is_no_export_is_counted_and_said() -> None:
    collector = FlowCollector()
    collector.take(b"\0\x63hello", "192.0.2.1", NOW)
    (counts,) = collector.counts()
    assert (counts.datagrams, counts.bad, counts.heard) == (1, 1, NOW)
    assert "version 99" in counts.problem


def test_records_stay_until_they_are_taken_and_are_bounded() -> None:
    collector = FlowCollector()
    for number in range(MAX_WAITING // 20 + 10):
        rows = [replace(REQUEST, sport=1 + number * 20 + at) for at in range(20)]
        collector.take(version_5(rows, number * 20), f"192.0.2.{number % 200}", NOW)
        collector.due(NOW + HOLD)
    assert len(collector.next(10**6)) == MAX_WAITING and collector.dropped == 200
    first = collector.next(1)
    assert collector.next(1) == first
    collector.taken(1)
    assert collector.next(1) != first


def test_exporters_are_bounded() -> None:
    collector = FlowCollector()
    for number in range(MAX_EXPORTERS + 5):
        collector.take(ipfix([]), f"10.1.{number // 256}.{number % 256}", NOW)
    assert len(collector.counts()) == MAX_EXPORTERS


def test_what_our_switches_reported_is_known_from_either_end() -> None:
    known = KnownConnections()
    record = FlowRecord(NOW, "10.0.0.1", "10.0.0.2", "tcp", 40_001, 22, phase="start")
    known.note(record)
    turned = FlowRecord(NOW + 5, "10.0.0.2", "10.0.0.1", "tcp", 22, 40_001)
    assert not known.counted(turned), "nothing is remembered where nothing is collected"
    known.note(record)
    assert known.counted(turned) and known.counted(record)
    assert not known.counted(FlowRecord(NOW, "10.0.0.1", "10.0.0.2", "tcp", 40_002, 22))
    assert not known.counted(FlowRecord(NOW + 7200, "10.0.0.1", "10.0.0.2", "tcp", 40_001, 22))
