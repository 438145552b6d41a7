from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from tests.support.addresses import ADDRESSES
from topology.readers import RecordReader, TrafficError, read_records
from topology.readers.rows import BadRow, to_record
from topology.records import FlowRecord

HEADER = "ts,duration,src_ip,dst_ip,proto,dst_port,packets,bytes,label,attack\n"
ROW = "5.5,0.25,10.0.0.1,10.0.0.2,tcp,22,4,240,1,sweep\n"


def write(folder: Path, text: str | bytes, name: str = "flows.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_contract_csv_with_columns_of_other_tools(tmp_path: Path) -> None:
    (record,) = read_records(write(tmp_path, HEADER + ROW))
    assert (record.ts, record.duration, record.service) == (5.5, 0.25, "tcp/22")
    assert (record.packets, record.bytes, record.phase) == (4, 240, "whole")


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress((HEADER + ROW * 3).encode()), "flows.txt")
    assert len(list(read_records(path))) == 3


def test_json_lines(tmp_path: Path) -> None:
    lines = (
        '{"ts": 1, "src_ip": "2001:DB8::1", "dst_ip": "2001:db8:0::2", "proto": 6, '
        '"dst_port": 443, "state": "rejected", "verdict": "allow", "phase": "end", '
        '"bytes_out": 10.0}\n\n'
        '{"ts": 2, "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2"}\n'
    )
    first, second = read_records(write(tmp_path, lines))
    assert (first.src_ip, first.dst_ip, first.service) == ("2001:db8::1", "2001:db8::2", "tcp/443")
    assert (first.state, first.verdict, first.phase, first.bytes_out) == (
        "rejected",
        "allow",
        "end",
        10,
    )
    assert second.proto == "ip"


def test_standard_input() -> None:
    reader = RecordReader("-", stdin=io.BytesIO((HEADER + ROW).encode()))
    assert [r.dst_port for r in reader] == [22]


def test_bad_rows_are_counted_with_their_line(tmp_path: Path) -> None:
    bad = ["x,0,10.0.0.1,10.0.0.2,tcp,22,4,240,0,\n", "6,0,nowhere,10.0.0.2,tcp,22,4,240,0,\n"]
    text = HEADER + ROW * 15 + bad[0] + ROW * 15 + bad[1] + ROW
    reader = RecordReader(write(tmp_path, text))
    assert len(list(reader)) == 31
    assert (reader.rows, reader.bad) == (33, 2)
    assert [p.line for p in reader.problems] == [17, 33]
    assert "ts 'x'" in reader.problems[0].reason
    assert "nowhere" in reader.problems[1].reason


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("-1,0,10.0.0.1,10.0.0.2,tcp,22,4,240,0,\n", "not a time"),
        ("nan,0,10.0.0.1,10.0.0.2,tcp,22,4,240,0,\n", "not a time"),
        ("1,0,10.0.0.1,10.0.0.2,tcp,70000,4,240,0,\n", "65535"),
        ("1,0,10.0.0.1,10.0.0.2,tcp,22,-4,240,0,\n", "negative"),
        ("1,0,10.0.0.1,10.0.0.2,tcp,22,1.5,240,0,\n", "whole number"),
        ("1,0,10.0.0.1,,tcp,22,4,240,0,\n", "dst_ip is missing"),
        ("1,0,10.0.0.1,10.0.0.2\n", "columns"),
    ],
)
def test_a_file_of_bad_rows_stops_with_the_first_reason(
    tmp_path: Path, row: str, word: str
) -> None:
    with pytest.raises(TrafficError, match=word) as caught:
        list(read_records(write(tmp_path, HEADER + ROW + row)))
    assert ":3:" in str(caught.value)


def test_more_than_a_tenth_stops_early(tmp_path: Path) -> None:
    reader = RecordReader(write(tmp_path, HEADER + (ROW + "junk\n") * 5000))
    with pytest.raises(TrafficError, match="more than a tenth"):
        list(reader)
    assert reader.rows < 1000


def test_not_traffic_at_all(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="no column ts, src_ip, dst_ip"):
        list(read_records(write(tmp_path, "hello\nworld\n")))
    with pytest.raises(TrafficError, match="not UTF-8 text"):
        list(read_records(write(tmp_path, bytes(range(128, 256)) * 10)))
    with pytest.raises(TrafficError, match="No such file"):
        list(read_records(tmp_path / "none.csv"))
    cut = gzip.compress((HEADER + ROW * 500).encode())[:-20]
    with pytest.raises(TrafficError, match="damaged"):
        list(read_records(write(tmp_path, cut, "cut.gz")))


def test_empty_input_is_no_traffic(tmp_path: Path) -> None:
    assert list(read_records(write(tmp_path, ""))) == []
    assert list(read_records(write(tmp_path, HEADER))) == []


def test_mac_addresses_of_frames_without_ip_pass(tmp_path: Path) -> None:
    row = "1,0,00:15:17:2C:e5:2d,ff:ff:ff:ff:ff:ff,ipx/spx,0,4,240,0,\n"
    (record,) = read_records(write(tmp_path, HEADER + row))
    assert record.src_ip == "00:15:17:2c:e5:2d"


def test_position_moves_through_the_file(tmp_path: Path) -> None:
    reader = RecordReader(write(tmp_path, HEADER + ROW * 20_000))
    records = iter(reader)
    next(records)
    early = reader.position
    for _ in range(15_000):
        next(records)
    assert reader.size is not None
    assert early < reader.position <= reader.size


def test_rows_are_judged_in_blocks_as_they_are_one_by_one(tmp_path: Path) -> None:
    """A bad row in a block of many takes nothing else with it, whichever column is bad."""
    names = FlowRecord.__struct_fields__
    good = dict.fromkeys(names, "") | {"ts": "5", "src_ip": "10.0.0.1", "dst_ip": "fd00::1"}
    wrong = {"ts": "", "src_ip": "x", "dst_ip": "", "src_port": "65536", "dst_port": "-1"}
    wrong |= {"duration": "inf", "packets_out": "1e400", "bytes_out": "9" * 5000, "bytes": "0x1"}
    wrong |= {"state": "odd", "phase": "half", "verdict": "perhaps", "switch": "1.5"}
    rows = []
    for name, cell in wrong.items():
        rows += [good] * 20 + [good | {name: cell}]
    path = tmp_path / "flows.csv"
    with path.open("w", newline="") as out:
        table = csv.DictWriter(out, names)
        table.writeheader()
        table.writerows(rows)
    reader = RecordReader(path)
    assert len(list(reader)) == 20 * len(wrong)
    assert [p.line for p in reader.problems] == [22 + 21 * at for at in range(len(wrong))]
    for problem, name in zip(reader.problems, wrong, strict=True):
        assert name in problem.reason
        assert len(problem.reason) < 200


def test_line_numbers_hold_after_quoted_cells_and_blank_lines(tmp_path: Path) -> None:
    text = "\n\n" + HEADER + ROW * 20 + "\n" + ROW.replace(",sweep", ',"a\nb"') + "bad\n" + ROW
    reader = RecordReader(write(tmp_path, text))
    assert len(list(reader)) == 22
    assert [p.line for p in reader.problems] == [27]
    assert text.split("\n")[26] == "bad"


cell = st.sampled_from(
    ["", "0", "7", " 7", "7.0", "7.5", "-1", "65536", "1e3", "nan", "tcp", "6", "ICMP", "denied",
     "ALLOW", "end", "10.0.0.1", " 10.0.0.1", "fd00::A", "::ffff:10.0.0.1",
     "02:00:00:00:00:0A", "\u0663"]
) | st.text(max_size=4)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_csv_and_one_row_at_a_time_mean_the_same(data: st.DataObject) -> None:
    known = FlowRecord.__struct_fields__
    extra = st.lists(st.sampled_from([*known, "label"]), max_size=5)
    names = list(dict.fromkeys(["ts", "src_ip", "dst_ip", *data.draw(extra)]))
    plain = {"ts": "5", "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2"}
    rows = data.draw(
        st.lists(st.dictionaries(st.sampled_from(names), cell, max_size=2), max_size=6)
    )
    full = [dict.fromkeys(names, "") | plain | row for row in rows]
    out = io.StringIO()
    table = csv.DictWriter(out, names)
    table.writeheader()
    # Padded with good rows, so that bad ones are never too many.
    table.writerows([*full, *[dict.fromkeys(names, "") | plain] * 60])
    expected = []
    for row in full:
        try:
            expected.append(to_record(row))
        except BadRow:
            pass
    raw = out.getvalue().encode("utf-8", "replace")
    reader = RecordReader("-", stdin=io.BytesIO(raw))
    assert list(reader)[: len(expected)] == expected
    assert reader.bad == len(full) - len(expected)


record = st.builds(
    FlowRecord,
    ts=st.floats(0, 2e9),
    src_ip=ADDRESSES,
    dst_ip=ADDRESSES,
    proto=st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "ip"]),
    src_port=st.integers(0, 65_535),
    dst_port=st.integers(0, 65_535),
    duration=st.floats(0, 1e6),
    packets_out=st.none() | st.integers(0, 2**63 - 1),
    bytes_in=st.none() | st.integers(0, 2**63 - 1),
    state=st.sampled_from([None, "established", "rejected", "unanswered", "denied"]),
    phase=st.sampled_from(["whole", "start", "end"]),
    verdict=st.sampled_from([None, "allow", "observed", "would-deny", "deny"]),
    intent=st.none() | st.text('abc ,"\n-', min_size=1, max_size=8),
    switch=st.none() | st.integers(0, 2**63 - 1),
    src_mac=st.none() | st.just("02:00:00:00:00:01"),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(record, max_size=20))
def test_records_written_in_either_form_come_back(records: list[FlowRecord]) -> None:
    out = io.StringIO()
    table = csv.DictWriter(out, FlowRecord.__struct_fields__)
    table.writeheader()
    table.writerows(map(asdict, records))
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in records)
    for text in (out.getvalue(), lines):
        for raw in (text.encode(), gzip.compress(text.encode())):
            found = list(RecordReader("-", stdin=io.BytesIO(raw)))
            assert found == records
            assert all(type(each) is FlowRecord for each in found)


def test_records_that_were_read_are_as_frozen_as_others(tmp_path: Path) -> None:
    (found,) = read_records(write(tmp_path, HEADER + ROW))
    with pytest.raises(AttributeError):
        found.ts = 3.0  # type: ignore[misc]
    assert replace(found, ts=6.0).ts == 6.0
    assert hash(found) == hash(replace(found))


def test_a_slow_pipe_is_read_as_it_comes() -> None:
    """Also when its first bytes do not yet tell what they are the beginning of."""
    data = gzip.compress((HEADER + ROW * 3).encode())
    read_end, write_end = os.pipe()

    def trickle() -> None:
        for at in range(len(data)):
            os.write(write_end, data[at : at + 1])
        os.close(write_end)

    writer = threading.Thread(target=trickle)
    writer.start()
    with os.fdopen(read_end, "rb") as stdin:
        assert len(list(RecordReader("-", stdin=stdin))) == 3
    writer.join()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_at_all_is_read_or_refused(data: bytes) -> None:
    for raw in (data, gzip.compress(data), HEADER.encode() + data, b"{" + data):
        try:
            list(RecordReader("-", stdin=io.BytesIO(raw)))
        except TrafficError as problem:
            assert "\n" not in str(problem)
