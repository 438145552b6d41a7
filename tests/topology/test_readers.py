from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from topology.readers import RecordReader, TrafficError, read_records

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
    with pytest.raises(TrafficError, match="not text"):
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
