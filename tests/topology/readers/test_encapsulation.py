"""Captures of mirrored and tunnelled traffic: what is inside, what is counted, what is refused."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.captured_packets import A, B, ethernet, ip, pcap, pcapng, tcp, udp
from topology.readers import RecordReader, TrafficError
from topology.readers.link_layers import (
    C_HDLC,
    ETHERNET,
    LINK_TYPES,
    PPP,
    PPP_ETHER,
    BadPacket,
    UnknownPacket,
)
from topology.readers.packets import SYN, FrameDecoder
from topology.records import FlowRecord

OUTER, MIRROR = "192.0.2.1", "192.0.2.2"
INNER = tcp(A, B, 40_000, 22, SYN)
INNER6 = tcp("fd00::1", "fd00::2", 40_000, 22, SYN)
MACS = bytes.fromhex("020000000002020000000001")


def typed(kind: int, payload: bytes) -> bytes:
    return MACS + struct.pack("!H", kind) + payload


def gre(flags: int, kind: int, payload: bytes) -> bytes:
    return ethernet(ip(OUTER, MIRROR, 47, struct.pack("!HH", flags, kind) + payload))


def datagram(port: int, payload: bytes) -> bytes:
    head = struct.pack("!HHHH", 50_000, port, 8 + len(payload), 0)
    return ethernet(ip(OUTER, MIRROR, 17, head + payload))


WRAPPED = {
    "VN-Tag": typed(0x8926, struct.pack("!IHHH", 1, 0x8100, 5, 0x0800) + INNER),
    "E-Tag": typed(0x893F, b"\0" * 6 + struct.pack("!H", 0x0800) + INNER),
    "Cisco MetaData": typed(0x8909, b"\1\1\0\1\0\7" + struct.pack("!H", 0x0800) + INNER),
    "FabricPath": typed(0x8903, b"\0\1" + ethernet(INNER)),
    "802.1ah": typed(0x88E7, b"\0" * 4 + ethernet(INNER)),
    "PPPoE": typed(0x8864, struct.pack("!BBHHH", 0x11, 0, 1, 2 + len(INNER), 0x0021) + INNER),
    "SNAP": typed(8 + len(INNER), b"\xaa\xaa\x03\0\0\0\x08\x00" + INNER),
    "MPLS": typed(0x8847, struct.pack("!II", 0x10000, 0x20100) + INNER),
    "MPLS with a control word": typed(
        0x8847, struct.pack("!I", 0x20100) + b"\0" * 4 + ethernet(INNER)
    ),
    "GRE": gre(0, 0x0800, INNER),
    "GRE with all its fields": gre(0xB000, 0x0800, b"\0" * 12 + INNER),
    "GRE with a bridge": gre(0x2000, 0x6558, b"\0" * 4 + ethernet(INNER)),
    "GRE of PPTP": gre(0x3081, 0x880B, b"\0" * 12 + b"\xff\x03\x00\x21" + INNER),
    "ERSPAN type I": gre(0, 0x88BE, ethernet(INNER)),
    "ERSPAN type II": gre(0x1000, 0x88BE, b"\0" * 12 + ethernet(INNER)),
    "ERSPAN type III": gre(0x1000, 0x22EB, b"\0" * 16 + ethernet(INNER)),
    "ERSPAN type III, long": gre(0x1000, 0x22EB, b"\0" * 15 + b"\1" + b"\0" * 8 + ethernet(INNER)),
    "ERSPAN type III, IP": gre(0x1000, 0x22EB, b"\0" * 14 + b"\x08\0" + INNER),
    "VXLAN": datagram(4789, b"\x08\0\0\0\0\0\7\0" + ethernet(INNER)),
    "VXLAN, Linux's port": datagram(8472, b"\x08\0\0\0\0\0\7\0" + ethernet(INNER)),
    "Geneve": datagram(6081, b"\x01\0\x65\x58\0\0\7\0" + b"\0" * 4 + ethernet(INNER)),
    "IP in IP": ethernet(ip(OUTER, MIRROR, 4, INNER)),
    "IP in IPv6": ethernet(ip("2001:db8::1", "2001:db8::2", 4, INNER)),
    "ERSPAN of a VN-Tag": gre(
        0x1000, 0x88BE, b"\0" * 12 + typed(0x8926, struct.pack("!IH", 1, 0x0800) + INNER)
    ),
}
TUNNELS = [name for name in WRAPPED if name.startswith(("GRE", "ERSPAN", "VXLAN", "Gen", "IP"))]


def decode(data: bytes, decapsulate: bool = True, link: int = ETHERNET) -> FlowEnds | None:
    packet = FrameDecoder(decapsulate).decode(link, data, len(data))
    return packet and (packet.src, packet.dst, packet.proto, packet.dst_port)


FlowEnds = tuple[bytes, bytes, int, int]


@pytest.mark.parametrize("name", WRAPPED)
def test_the_packet_inside_is_the_one_that_counts(name: str) -> None:
    assert decode(WRAPPED[name]) == decode(ethernet(INNER))


@pytest.mark.parametrize("name", TUNNELS)
def test_the_tunnel_itself_on_request(name: str) -> None:
    found = decode(WRAPPED[name], decapsulate=False)
    assert found is not None
    assert found[0].endswith(b"\1") and found[0] != decode(ethernet(INNER))[0]  # type: ignore[index]


@pytest.mark.parametrize("name", WRAPPED)
def test_cut_anywhere_it_is_bad_or_no_other_packet(name: str) -> None:
    whole = WRAPPED[name]
    for end in range(len(whole)):
        try:
            found = FrameDecoder().decode(ETHERNET, whole[:end], len(whole))
        except (BadPacket, UnknownPacket):
            continue
        if found is not None:
            assert (found.proto, found.dst_port) in ((6, 22), (17, 4789), (17, 8472), (17, 6081))


def test_ipv6_inside() -> None:
    assert decode(gre(0, 0x86DD, INNER6)) == decode(ethernet(INNER6))
    assert decode(ethernet(ip(OUTER, MIRROR, 41, INNER6))) == decode(ethernet(INNER6))


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (PPP, b"\xff\x03\x00\x21" + INNER),
        (PPP, b"\x00\x21" + INNER),
        (PPP_ETHER, struct.pack("!BBHHH", 0x11, 0, 1, 2 + len(INNER), 0x0021) + INNER),
        (C_HDLC, b"\x0f\x00\x08\x00" + INNER),
    ],
)
def test_links_of_routers(link: int, frame: bytes) -> None:
    assert decode(frame, link=link) == decode(ethernet(INNER))


@pytest.mark.parametrize(
    "payload", [b"\0" * 40, b"hello, this is no VXLAN at all", b"\x08\0\0\0\0\0\7\1" + b"x" * 40]
)
def test_another_program_on_a_tunnels_port_is_what_it_is(payload: bytes) -> None:
    found = decode(datagram(4789, payload))
    assert found is not None and found[2:] == (17, 4789)


def test_packets_in_packets_without_end_are_refused() -> None:
    data = INNER
    for _ in range(20):
        data = ip(OUTER, MIRROR, 4, data)
    with pytest.raises(BadPacket, match="more than 8"):
        FrameDecoder().decode(ETHERNET, ethernet(data), len(data))
    tags = ethernet(INNER, (0x8100,) * 20)
    with pytest.raises(BadPacket, match="more than 8"):
        FrameDecoder().decode(ETHERNET, tags, len(tags))


@given(st.sampled_from(sorted(LINK_TYPES)), st.sampled_from(sorted(WRAPPED)), st.data())
def test_no_bytes_end_otherwise(link: int, name: str, data: st.DataObject) -> None:
    frame = bytearray(WRAPPED[name])
    for _ in range(data.draw(st.integers(0, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        FrameDecoder().decode(link, bytes(frame), len(frame))
    except (BadPacket, UnknownPacket):
        pass


def reader(capture: bytes, decapsulate: bool = True) -> RecordReader:
    return RecordReader("-", io.BytesIO(capture), decapsulate=decapsulate)


def records(read: RecordReader) -> list[FlowRecord]:
    return list(read)


def test_a_mirrored_connection_is_a_record_and_is_counted() -> None:
    capture = pcap([(10.0 + n, WRAPPED["ERSPAN of a VN-Tag"]) for n in range(3)])
    read = reader(capture)
    (record,) = records(read)
    assert (record.src_ip, record.dst_ip, record.dst_port) == (A, B, 22)
    assert read.notes == ["3 packets read inside ERSPAN", "3 packets read inside VN-Tag"]
    (outside,) = records(reader(capture, decapsulate=False))
    assert (outside.src_ip, outside.proto) == (OUTER, "gre")


def test_kinds_that_nobody_knows_are_counted_not_passed_over() -> None:
    read = reader(pcap([(1.0, typed(0x88B5, b"x" * 50)), (2.0, ethernet(INNER))]))
    assert len(records(read)) == 1
    assert read.bad == 0
    assert read.notes == ["1 packet of Ethernet type 0x88b5 not understood"]


def test_nothing_understood_is_an_error() -> None:
    with pytest.raises(TrafficError, match="3 of Ethernet type 0x88b5"):
        records(reader(pcap([(1.0, typed(0x88B5, b"x" * 50))] * 3)))


@pytest.mark.parametrize("kind", [0x0806, 0x88CC, 0x888E, 0x8863, 38])
def test_what_switches_and_hosts_say_to_each_other_is_no_traffic(kind: int) -> None:
    read = reader(pcap([(1.0, typed(kind, b"\x42\x42\x03" + b"x" * 50))]))
    assert records(read) == []
    assert read.notes == []


@pytest.mark.parametrize("words", [1, 2])
def test_a_link_type_that_says_how_long_the_check_sequence_is(words: int) -> None:
    frame = ethernet(udp(A, B, 5000, 53)) + b"\xee" * 2 * words
    capture = bytearray(pcap([(1.0, frame)]))
    capture[20:24] = struct.pack("<I", words << 28 | 0x0400_0000 | ETHERNET)
    (record,) = records(reader(bytes(capture)))
    (plain,) = records(reader(pcap([(1.0, ethernet(udp(A, B, 5000, 53)))])))
    assert record == plain


def test_other_interfaces_of_a_capture_are_counted() -> None:
    def interface(link: int) -> bytes:
        return struct.pack("<IIHHII", 1, 20, link, 0, 0, 20)

    def packet(which: int, data: bytes) -> bytes:
        body = data + b"\0" * (-len(data) % 4)
        size = 32 + len(body)
        head = struct.pack("<IIIIIII", 6, size, which, 0, 1_000_000, len(data), len(data))
        return head + body + struct.pack("<I", size)

    section = pcapng([])[:28]
    capture = section + interface(220) + interface(ETHERNET)
    capture += packet(0, b"usb" * 9) * 4 + packet(1, ethernet(INNER))
    read = reader(capture)
    assert len(records(read)) == 1
    assert read.notes == ["4 packets of link type 220 not understood"]
