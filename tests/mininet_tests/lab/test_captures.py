from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mininet_tests.lab.captures import (
    Hostile,
    RecordedFrame,
    hostile_arrived,
    hostile_sent,
    parse_frame,
    reached,
    read_pcap,
)

MAC = "02:00:00:00:00:01"
ETHERNET = bytes(6) + bytes.fromhex(MAC.replace(":", ""))


def tcp(sport: int, dport: int, data: bytes = b"", options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 2, offset, 0x18, 0, 0, 0) + options + data


def ipv4(src: str, dst: str, body: bytes, proto: int = 6, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, fragment, 64, proto, 0)
    return ETHERNET + b"\x08\x00" + head + ip_address(src).packed + ip_address(dst).packed + body


def ipv6(src: str, dst: str, body: bytes, proto: int = 6) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body), proto, 64)
    return ETHERNET + b"\x86\xdd" + head + ip_address(src).packed + ip_address(dst).packed + body


def arp(src: str, dst: str) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    sender, target = ip_address(src).packed, ip_address(dst).packed
    return ETHERNET + b"\x08\x06" + head + bytes(6) + sender + bytes(6) + target


def pcap(frames: list[tuple[float, bytes]], order: str = "<", nano: bool = False) -> bytes:
    magic, parts = (0xA1B23C4D, 1e9) if nano else (0xA1B2C3D4, 1e6)
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 128, 1)
    for ts, frame in frames:
        whole = int(ts)
        part = round((ts - whole) * parts)
        data += struct.pack(order + "IIII", whole, part, len(frame), len(frame)) + frame
    return data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_every_classic_form_is_read(order: str, nano: bool) -> None:
    frames = [
        (10.25, ipv4("10.0.0.1", "10.0.0.2", tcp(40000, 22, b"hello", b"\x01" * 12))),
        (11.5, ipv6("fd00::1", "fd00::2", tcp(40001, 80))),
        (12.0, arp("10.0.0.1", "10.0.0.9")),
        (13.0, ipv4("10.0.0.1", "10.0.0.2", struct.pack("!HHHH", 5, 53, 11, 0) + b"abc", 17)),
    ]
    packets = list(read_pcap(pcap(frames, order, nano)))
    assert [round(p.ts, 6) for p in packets] == [10.25, 11.5, 12.0, 13.0]
    assert packets[0] == RecordedFrame(
        packets[0].ts, MAC, "10.0.0.1", "10.0.0.2", "tcp", 40000, 22, 5
    )
    assert (packets[1].src, packets[1].dport, packets[1].payload) == ("fd00::1", 80, 0)
    assert (packets[2].proto, packets[2].dst) == ("arp", "10.0.0.9")
    assert (packets[3].proto, packets[3].dport, packets[3].payload) == ("udp", 53, 3)


def test_payload_is_counted_by_the_ip_length_when_the_recording_is_cut() -> None:
    frame = ipv4("10.0.0.1", "10.0.0.2", tcp(1, 2, b"x" * 900))
    packet = parse_frame(frame[:64], 0.0)
    assert packet is not None and packet.payload == 900


def test_padding_is_no_payload() -> None:
    packet = parse_frame(ipv4("10.0.0.1", "10.0.0.2", tcp(1, 2)) + bytes(6), 0.0)
    assert packet is not None and packet.payload == 0


def test_a_later_fragment_has_no_ports() -> None:
    packet = parse_frame(ipv4("10.0.0.1", "10.0.0.2", tcp(1, 2, b"x"), fragment=100), 0.0)
    assert packet is not None and packet.proto == "6" and packet.dport == 0


@given(st.binary(max_size=100))
def test_any_bytes_are_a_packet_or_none(frame: bytes) -> None:
    found = parse_frame(frame, 1.0)
    assert found is None or found.ts == 1.0


def test_a_recording_cut_in_the_middle_of_a_frame_keeps_what_is_whole() -> None:
    data = pcap([(1.0, arp("10.0.0.1", "10.0.0.2")), (2.0, arp("10.0.0.1", "10.0.0.3"))])
    assert [p.ts for p in read_pcap(data[:-3])] == [1.0]
    assert len(list(read_pcap(data))) == 2


@pytest.mark.parametrize("data", [b"", b"x" * 40, pcap([])[:20] + struct.pack("<I", 113)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        list(read_pcap(data))


WEB, APP, DB = "10.0.1.1", "10.0.2.1", "10.0.3.1"
HOSTILE = Hostile(
    100.0,
    {WEB: frozenset({22, 445}), APP: frozenset({22})},
    unused=frozenset({"10.0.9.1"}),
)


def packet(
    ts: float, src: str, dst: str, sport: int, dport: int, payload: int = 0
) -> RecordedFrame:
    return RecordedFrame(ts, MAC, src, dst, "tcp", sport, dport, payload)


def test_hostile_is_what_only_the_attacker_asks_for() -> None:
    assert HOSTILE.sent(packet(101, WEB, DB, 5, 445))
    assert not HOSTILE.sent(packet(101, WEB, APP, 5, 8080))
    assert not HOSTILE.sent(packet(99, WEB, DB, 5, 445))
    assert not HOSTILE.sent(packet(101, APP, DB, 5, 445))
    assert HOSTILE.sent(RecordedFrame(101, MAC, WEB, "10.0.9.1", "arp"))
    assert not HOSTILE.sent(RecordedFrame(101, MAC, WEB, DB, "arp"))


def test_sent_and_arrived_are_told_apart() -> None:
    first, second = packet(101, WEB, APP, 5, 22), packet(102, WEB, DB, 6, 445)
    asking = RecordedFrame(100.5, MAC, WEB, "10.0.9.1", "arp")
    assert hostile_sent(HOSTILE, [second, asking, first]) == [asking, first, second]
    arrived = hostile_arrived(HOSTILE, {"app": [first, asking], "db": [asking]})
    assert arrived == [("app", first)]


def test_reached_needs_payload_both_ways_on_one_connection() -> None:
    syn_only = [packet(101, WEB, DB, 6, 22), packet(101.1, DB, WEB, 22, 6)]
    banner_only = [packet(101, WEB, APP, 6, 22), packet(101.1, APP, WEB, 22, 6, 20)]
    two_halves = [packet(101, WEB, DB, 6, 22, 9), packet(101.1, DB, WEB, 22, 7, 20)]
    talk = [*banner_only, packet(101.2, WEB, APP, 6, 22, 30)]
    assert reached(HOSTILE, {"db": syn_only, "app": banner_only, "db2": two_halves}) == {}
    assert reached(HOSTILE, {"app": talk}) == {"app": 101.2}
    onward = [packet(103, APP, DB, 9, 22, 30), packet(103.5, DB, APP, 22, 9, 30)]
    assert reached(HOSTILE, {"db": onward}) == {"db": 103.5}
    benign = [packet(103, APP, DB, 9, 6379, 30), packet(103.5, DB, APP, 6379, 9, 30)]
    assert reached(HOSTILE, {"db": benign}) == {}
