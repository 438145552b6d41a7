"""Flow exports of every version: the same rows, what was lost counted, anything else refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flow_export_packets import (
    BOOTED,
    Direction,
    ipfix,
    version_5,
    version_9,
)
from topology.flow_exports.exporter import MAX_TEMPLATES, BadExport, Exporter
from topology.records import FlowRecord

WRITERS = (version_5, version_9, ipfix)
SSH = Direction("10.0.0.1", "10.0.0.2")


def test_a_row_is_the_same_in_every_version() -> None:
    expected = FlowRecord(
        BOOTED + 10.0, "10.0.0.1", "10.0.0.2", "tcp", 40_000, 22, 2.0, 5, 500, state="established"
    )
    for write in WRITERS:
        assert Exporter("192.0.2.1").read(write([SSH])) == [expected]


directions = st.builds(
    Direction,
    src=st.sampled_from(["10.0.0.1", "10.0.0.3"]),
    dst=st.sampled_from(["10.0.0.2", "10.0.0.255"]),
    proto=st.sampled_from([1, 6, 17, 47, 132]),
    sport=st.integers(0, 0xFFFF),
    dport=st.integers(0, 0xFFFF),
    flags=st.integers(0, 0x3F),
    packets=st.integers(1, 2**32 - 1),
    octets=st.integers(1, 2**32 - 1),
    begun=st.integers(0, 30_000).map(lambda each: each / 1000.0),
    ended=st.integers(30_000, 60_000).map(lambda each: each / 1000.0),
)


@given(st.lists(directions, min_size=1, max_size=20))
def test_all_versions_agree(rows: list[Direction]) -> None:
    read = [Exporter("192.0.2.1").read(write(rows)) for write in WRITERS]
    rounded = [
        [(round(each.ts, 3), round(each.duration, 3), each.src_ip, each.dst_ip, each.service,
          each.src_port, each.dst_port, each.packets_out, each.bytes_out, each.state)
         for each in records]
        for records in read
    ]  # fmt: skip
    assert rounded[0] == rounded[1] == rounded[2]
    assert len(rounded[0]) == len(rows)


def test_ipv6_and_icmp() -> None:
    ping = Direction("fd00::1", "fd00::2", proto=58, sport=0, dport=0x8000, flags=0)
    for write in (version_9, ipfix):
        (record,) = Exporter("192.0.2.1").read(write([ping]))
        assert (record.src_ip, record.service, record.dst_port) == ("fd00::1", "icmpv6/128", 0)


@pytest.mark.parametrize(("write", "step"), [(version_5, 3), (version_9, 1), (ipfix, 3)])
def test_gaps_in_the_sequence_are_counted(write: object, step: int) -> None:
    exporter, rows = Exporter("192.0.2.1"), [SSH] * 3

    def send(sequence: int) -> int:
        exporter.read(write(rows, sequence % 2**32))  # type: ignore[operator]
        return exporter.counts.lost

    start = 2**32 - step
    assert send(start) == 0, "nobody knows what was before the first"
    assert send(start + step) == 0, "the number begins again at 0"
    assert send(start + 4 * step) == 2 * step
    assert send(start + 3 * step) == 2 * step, "one that was overtaken"
    assert send(start + 5 * step) == 2 * step
    lost = send(10**6)
    assert lost == 10**6 - 3 * step
    assert send(0) == lost, "an exporter that began anew"
    assert send(step) == lost


def test_rows_before_their_template_are_counted() -> None:
    exporter = Exporter("192.0.2.1")
    for write in (version_9, ipfix):
        assert exporter.read(write([SSH, SSH], templates=False)) == []
    assert exporter.counts.untemplated == 4
    exporter.read(version_9([]))
    assert len(exporter.read(version_9([SSH], templates=False))) == 1
    assert exporter.read(version_9([SSH], templates=False, domain=2)) == [], (
        "templates have a domain"
    )


def test_templates_are_bounded() -> None:
    exporter = Exporter("192.0.2.1")
    for domain in range(3 * MAX_TEMPLATES):
        exporter.read(ipfix([SSH], domain=domain))
    assert len(exporter._templates) == MAX_TEMPLATES
    assert exporter.read(ipfix([SSH], templates=False, domain=3 * MAX_TEMPLATES - 1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\x05",
        b"\0\x07" + bytes(60),
        version_5([SSH])[:-1],
        version_9([SSH])[:-1],
        ipfix([SSH])[:-1],
        struct.pack("!HHIII", 10, 20, 1, 1, 1) + struct.pack("!HH", 256, 0),
        struct.pack("!HHIII", 10, 24, 1, 1, 1) + struct.pack("!HHHH", 2, 8, 256, 60_000),
        struct.pack("!HHIII", 10, 28, 1, 1, 1) + struct.pack("!HHHHHH", 2, 12, 256, 1, 8, 0),
    ],
)
def test_what_is_no_export_is_refused_and_counted(data: bytes) -> None:
    exporter = Exporter("192.0.2.1")
    with pytest.raises(BadExport):
        exporter.read(data)
    assert exporter.counts.bad == 1


def test_dropped_by_the_exporter_is_denied() -> None:
    fields = struct.pack("!HHHHHHHHHH", 256, 4, 8, 4, 12, 4, 4, 1, 89, 1)
    body = bytes([10, 0, 0, 1, 10, 0, 0, 2, 6, 0x82])
    sets = struct.pack("!HH", 2, 4 + len(fields)) + fields + struct.pack("!HH", 256, 4 + len(body))
    data = struct.pack("!HHIII", 10, 16 + len(sets) + len(body), BOOTED, 0, 0) + sets + body
    (record,) = Exporter("192.0.2.1").read(data)
    assert (record.state, record.ts) == ("denied", BOOTED)
