from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.captured_packets import (
    A6,
    B6,
    A,
    B,
    R,
    Timed,
    ethernet,
    icmp,
    ip,
    pcap,
    pcapng,
    sll,
    sll2,
    tcp,
    udp,
)
from topology.readers import RecordReader, TrafficError, assembly, read_records
from topology.readers.assembly import Assembly
from topology.readers.link_layers import ETHERNET, SLL, SLL2
from topology.readers.packets import ACK, FIN, RST, SYN, FrameDecoder
from topology.records import FlowRecord


def session(src: str = A, dst: str = B, at: float = 100.0, sport: int = 40_000) -> list[Timed]:
    """Ten packets of a whole TCP connection to port 22."""
    out, back = (src, dst, sport, 22), (dst, src, 22, sport)
    return [
        (at, tcp(*out, SYN)),
        (at + 0.25, tcp(*back, SYN | ACK)),
        (at + 0.5, tcp(*out, ACK)),
        (at + 1, tcp(*out, ACK, 100)),
        (at + 2, tcp(*back, ACK, 50)),
        (at + 3, tcp(*out, FIN | ACK)),
        (at + 3.25, tcp(*back, FIN | ACK)),
        (at + 3.5, tcp(*out, ACK)),
    ]


def records(data: bytes, form: str = "auto") -> list[FlowRecord]:
    return list(RecordReader("-", stdin=io.BytesIO(data), form=form))


def flows(packets: Sequence[Timed], link: int = 101) -> list[FlowRecord]:
    return records(pcap(packets, link))


def only(packets: Sequence[Timed]) -> FlowRecord:
    (record,) = flows(packets)
    return record


# Containers and link layers


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("write", [pcap, pcapng])
def test_both_directions_of_a_connection_are_one_record(write, order: str, nano: bool) -> None:  # type: ignore[no-untyped-def]
    packets = [(ts, ethernet(data)) for ts, data in session()]
    (record,) = records(write(packets, order=order, nano=nano))
    assert (record.src_ip, record.dst_ip, record.service, record.src_port) == (
        A,
        B,
        "tcp/22",
        40_000,
    )
    assert (record.ts, record.duration) == (100.0, 3.5)
    assert (record.packets_out, record.packets_in) == (5, 3)
    assert (record.bytes_out, record.bytes_in) == (5 * 40 + 100, 3 * 40 + 50)
    assert (record.state, record.phase) == ("established", "whole")
    assert (record.src_mac, record.dst_mac) == ("02:00:00:00:00:01", "02:00:00:00:00:02")


@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (ETHERNET, ethernet),
        (ETHERNET, lambda data: ethernet(data, (0x8100,))),
        (ETHERNET, lambda data: ethernet(data, (0x88A8, 0x8100))),
        (ETHERNET, lambda data: ethernet(b"\0\x01\0\x40\0\x02\x01\x40" + data, (), 0x8847)),
        (101, lambda data: data),
        (228, lambda data: data),
        (0, lambda data: b"\2\0\0\0" + data),
        (SLL, sll),
        (SLL2, sll2),
    ],
)
def test_link_layers(link: int, wrap) -> None:  # type: ignore[no-untyped-def]
    packets = [(ts, wrap(data)) for ts, data in session()]
    for written in (pcap(packets, link), pcapng(packets, link), gzip.compress(pcap(packets, link))):
        (record,) = records(written)
        assert (record.src_ip, record.packets_out, record.state) == (A, 5, "established")


def test_ipv6_with_extension_headers() -> None:
    def behind(packet: bytes) -> bytes:
        options = struct.pack("!BB6x", 60, 0) + struct.pack("!BB6x", packet[6], 0)
        return (
            packet[:4]
            + struct.pack("!HB", len(packet) - 40 + 16, 0)
            + packet[7:40]
            + options
            + packet[40:]
        )

    record = only([(ts, behind(data)) for ts, data in session(A6, B6)])
    assert (record.src_ip, record.dst_ip, record.service) == (A6, B6, "tcp/22")
    assert record.packets_out == 5


def test_what_is_no_traffic_between_hosts_gives_nothing() -> None:
    packets = [
        (1.0, ethernet(b"\0\1" * 14, kind=0x0806)),
        (2.0, ethernet(b"\x42\x42\3" * 10, kind=38)),  # spanning tree
        (3.0, ethernet(icmp(A6, "ff02::1:ff00:2", 135, 0))),
        (4.0, ethernet(udp(A, B, 40_000, 53))),
    ]
    reader = RecordReader("-", stdin=io.BytesIO(pcap(packets)))
    assert [record.service for record in reader] == ["udp/53"]
    assert (reader.packets, reader.rows, reader.bad) == (4, 1, 0)


# Who began, and what became of it


def test_outcomes_of_tcp() -> None:
    there, back = (A, B, 40_000, 22), (B, A, 22, 40_000)
    assert only([(1, tcp(*there, SYN)), (2, tcp(*there, SYN))]).state == "unanswered"
    assert only([(1, tcp(*there, SYN)), (1, tcp(*back, RST | ACK))]).state == "rejected"
    half_open = [(1, tcp(*there, SYN)), (1, tcp(*back, SYN | ACK)), (1, tcp(*there, RST))]
    assert only(half_open).state == "established"
    middle = [(1, tcp(*back, ACK, 9)), (2, tcp(*there, ACK))]
    assert (only(middle).src_ip, only(middle).state) == (A, "established")
    assert (only([(1, tcp(*back, SYN | ACK))]).src_ip, only(middle[:1]).state) == (A, None)


def test_outcomes_of_udp_and_icmp() -> None:
    ask, answer = (1.0, udp(A, B, 5353, 53)), (2.0, udp(B, A, 53, 5353, 99))
    assert only([ask]).state == "unanswered"
    assert (only([ask, answer]).bytes_in, only([ask, answer]).state) == (127, "established")
    assert only([(1, udp(A, "224.0.0.251", 5353, 5353))]).state is None
    refused = icmp(B, A, 3, 3, inner=ask[1][:28])
    assert only([ask, (2, refused)]).state == "rejected"
    assert only([ask, (2, icmp(R, A, 3, 1, inner=ask[1][:28]))]).state == "unanswered"
    echo, reply = icmp(A, B, 8, 0), icmp(B, A, 0, 0)
    assert (only([(1, echo)]).service, only([(1, echo)]).state) == ("icmp/8", "unanswered")
    answered = only([(1, echo), (2, reply), (3, echo), (4, reply)])
    assert (answered.src_port, answered.packets_out, answered.packets_in) == (8, 2, 2)
    late = only([(1, reply)])
    assert (late.src_ip, late.service, late.state) == (A, "icmp/8", "established")
    six = only([(1, icmp(A6, B6, 128, 0)), (2, icmp(B6, A6, 129, 0))])
    assert (six.service, six.dst_port, six.state) == ("icmpv6/128", 0, "established")
    assert [r.service for r in flows([(1, refused)])] == ["icmp/3"]  # about nothing that was seen
    lost = only([(1, echo), (2, icmp(R, A, 11, 0, inner=echo[:28]))])
    assert (lost.service, lost.state) == ("icmp/8", "unanswered")


def test_answers_at_the_beginning_of_a_capture_are_turned_round() -> None:
    early = flows([(1.0, udp(B, A, 53, 40_000))])
    assert [(r.src_ip, r.service) for r in early] == [(A, "udp/53")]
    later = flows([(1.0, udp(A, R, 40_000, 123)), (200.0, udp(B, A, 53, 40_000))])
    assert (later[1].src_ip, later[1].dst_port) == (B, 40_000)  # a scan from port 53, no answer


def test_the_same_ports_again_are_another_connection() -> None:
    there = (A, B, 40_000, 22)
    twice = session() + session(at=104.0)
    assert [r.packets_out for r in flows(twice)] == [5, 5]
    again = session()[:4] + [(110.0, tcp(*there, SYN, seq=99)), (111.0, tcp(*there, ACK))]
    assert [r.ts for r in flows(again)] == [100.0, 110.0]
    slow = [(0.0, udp(A, B, 40_000, 53)), (61.0, udp(A, B, 40_000, 53))]
    assert [r.ts for r in flows(slow)] == [0.0, 61.0]


def test_a_long_connection_keeps_its_direction_in_parts() -> None:
    """Neither end has a port that tells."""
    packets: list[Timed] = [
        (0.0, tcp(A, B, 2000, 3000, SYN)),
        (0.1, tcp(B, A, 3000, 2000, SYN | ACK)),
    ]
    packets += [(at, tcp(B, A, 3000, 2000, ACK)) for at in range(100, 4000, 100)]
    parts = flows(packets)
    assert [part.src_ip for part in parts] == [A, A, A]
    assert sum((part.packets_in or 0) for part in parts) == 40
    assert all(part.duration <= assembly.LONGEST for part in parts)


def test_records_come_in_the_order_in_which_connections_began() -> None:
    """A hop from B to C lies within the session from A to B, and ends before it."""
    inner = session(B, "10.0.0.3", at=101.0, sport=50_000)
    quiet = [(float(at), udp(A, R, at, 514)) for at in range(110, 1000, 30)]
    found = flows(sorted(session()[:5] + inner + quiet))
    assert [r.src_ip for r in found[:2]] == [A, B]
    assert [r.ts for r in found] == sorted(r.ts for r in found)


def test_fragments_count_for_their_connection() -> None:
    whole = udp(A, B, 40_000, 53, 1000)[20:]
    packets = [
        (1.0, ip(A, B, 17, whole[:512], fragment=0x2000)),
        (1.0, ip(A, B, 17, whole[512:], fragment=64)),
        (1.0, ip(A, B, 17, b"x" * 64, fragment=64, ident=8)),  # its first one was not seen
    ]
    record = only(packets)
    assert (record.packets_out, record.bytes_out) == (2, 40 + 1008)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MAX_FLOWS", 200)
    monkeypatch.setattr(assembly, "MAX_ENDED", 50)
    work = Assembly()
    found: list[FlowRecord] = []
    for at in range(5000):
        packet = FrameDecoder().decode(
            101, tcp(A, f"10.1.{at >> 8}.{at & 255}", 40_000, 22, SYN), 40
        )
        assert packet is not None
        found += work.take(at / 1000, packet)
        assert len(work._flows) <= 201
        assert len(work._ended) <= 50
    found += work.rest()
    assert len({r.dst_ip for r in found}) == len(found) == 5000


# What is wrong with a capture


@pytest.mark.parametrize("write", [pcap, pcapng])
def test_a_capture_that_ends_in_the_middle_of_a_packet(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    packets = [(ts, ethernet(data)) for at in range(5) for ts, data in session(sport=40_000 + at)]
    path = tmp_path / "cut.pcap"
    path.write_bytes(write(packets)[:-30])
    reader = RecordReader(path)
    assert len(list(reader)) == 5
    assert (reader.bad, reader.packets) == (1, 40)
    assert (reader.problems[0].line, reader.rows) == (40, 6)
    assert "ends in the middle" in reader.problems[0].reason


def test_short_snapshots_are_enough_if_they_hold_the_headers() -> None:
    packets = [(ts, ethernet(data)) for ts, data in session()]
    (record,) = records(pcap(packets, snap=54))
    assert record.bytes_out == 300
    with pytest.raises(TrafficError, match=":1: cut off within its headers"):
        records(pcap(packets, snap=30))


def test_bad_packets_are_counted_with_their_number() -> None:
    good = [(ts, data) for at in range(5) for ts, data in session(sport=40_000 + at)]
    data = good[:20] + [(103.0, b"\x45\0\0\x14" + b"\0" * 5)] + good[20:]
    reader = RecordReader("-", stdin=io.BytesIO(pcap(data, 101)))
    assert len(list(reader)) == 5
    assert [(p.line, p.reason) for p in reader.problems] == [(21, "shorter than its headers")]
    assert reader.bad == 1


def test_padding_is_not_taken_for_a_header() -> None:
    short = ethernet(ip(A, B, 6, b"")) + b"\0" * 26
    with pytest.raises(TrafficError, match="shorter than its headers"):
        records(pcap([(1.0, short)]))


def test_damage_stops_with_one_line() -> None:
    packets = [(ts, ethernet(data)) for ts, data in session()]
    broken = pcap(packets) + struct.pack("<IIII", 1, 1, 1 << 30, 1 << 30) + b"x" * 99
    with pytest.raises(TrafficError, match="damaged after packet 8: 1073741824 bytes"):
        records(broken)
    with pytest.raises(TrafficError, match="damaged after packet 8: a block of 3 bytes"):
        records(pcapng(packets) + struct.pack("<II", 6, 3))
    with pytest.raises(TrafficError, match="link type 105 cannot be read"):
        records(pcap(packets, 105))
    with pytest.raises(TrafficError, match="8 of link type 105"):
        records(pcapng(packets, 105))
    with pytest.raises(TrafficError, match="no time"):
        records(pcapng(packets, simple=True))
    with pytest.raises(TrafficError, match="neither pcap nor pcapng"):
        records(b"hello", form="capture")
    with pytest.raises(TrafficError, match="within its header"):
        records(pcap([])[:20])


def read_or_refuse(data: bytes) -> None:
    try:
        for record in records(data):
            assert record.duration >= 0
            assert ip_address(record.src_ip).version == ip_address(record.dst_ip).version
    except TrafficError as problem:
        assert "\n" not in str(problem)


PLAIN = [(ts, ethernet(data)) for ts, data in session() + session(A6, B6)]
PLAIN += [
    (120.0, ethernet(icmp(B, A, 3, 3, inner=udp(A, B, 9, 9)))),
    (121.0, ethernet(icmp(A, B, 8, 0))),
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([pcap(PLAIN), pcapng(PLAIN), pcapng(PLAIN, order=">", nano=True)]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=12),
    st.integers(0, 2000),
)
def test_damaged_captures_never_fail_otherwise(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    work = bytearray(data)
    for at, value in changes:
        work[at % len(work)] = value
    read_or_refuse(bytes(work[: len(work) - cut] if cut < 1000 else work))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([0, 1, 101, 113, 276]), st.lists(st.binary(max_size=90), max_size=8))
def test_packets_of_anything_never_fail_otherwise(link: int, packets: list[bytes]) -> None:
    read_or_refuse(pcap([(float(at), data) for at, data in enumerate(packets)], link))
    raw = [b"\x45\0\0\x50" + data for data in packets] + [b"\x60" + data for data in packets]
    read_or_refuse(pcap([(float(at), data) for at, data in enumerate(raw)], 101))


conversation = st.tuples(
    st.sampled_from([(A, B), (A, R), (A6, B6), (B, R)]),
    st.integers(32_768, 32_800),
    st.sampled_from([22, 53, 443]),
    st.integers(0, 3),
    st.integers(0, 3),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(conversation, max_size=12, unique_by=lambda c: c[:3]))
def test_every_udp_conversation_comes_back_as_it_went_in(
    talks: list[tuple[tuple[str, str], int, int, int, int]],
) -> None:
    packets: list[Timed] = []
    expected = set()
    for at, ((src, dst), sport, dport, out, back) in enumerate(talks):
        packets += [(1 + at / 64, udp(src, dst, sport, dport, 8))] * (out + 1)
        packets += [(2 + at / 64, udp(dst, src, dport, sport, 9))] * back
        expected.add((src, dst, sport, dport, 1 + at / 64, out + 1, back))
    for write in (pcap, pcapng):
        found = records(
            write([(ts, ethernet(data)) for ts, data in sorted(packets, key=lambda p: p[0])])
        )
        assert {
            (r.src_ip, r.dst_ip, r.src_port, r.dst_port, r.ts, r.packets_out, r.packets_in)
            for r in found
        } == expected


def test_a_capture_from_a_file_by_name(tmp_path: Path) -> None:
    path = tmp_path / "anything.csv"
    path.write_bytes(gzip.compress(pcap([(ts, ethernet(data)) for ts, data in session()])))
    assert [r.service for r in read_records(path)] == ["tcp/22"]
