"""Zeek's conn.log and nfdump's CSV."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.addresses import ADDRESSES
from topology.readers import RecordReader, TrafficError
from topology.readers.nfdump import _span
from topology.readers.zeek import CONN_STATES
from topology.records import FlowRecord

NAMES = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes "
    "conn_state local_orig local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts "
    "resp_ip_bytes tunnel_parents ip_proto"
).split()
TYPES = (
    "time string addr port addr port enum string interval count count string bool bool count "
    "string count count count count set[string] count"
).split()
HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#open\t2024-01-01-00-00-00\n#fields\t"
    + "\t".join(NAMES)
    + "\n#types\t"
    + "\t".join(TYPES)
    + "\n"
)
SSH = {
    "ts": 1700000000.123456, "uid": "CzA1", "id.orig_h": "10.0.0.1", "id.orig_p": 40000,
    "id.resp_h": "10.0.0.2", "id.resp_p": 22, "proto": "tcp", "service": "ssh", "duration": 3.5,
    "orig_bytes": 100, "resp_bytes": 50, "conn_state": "SF", "local_orig": True, "missed_bytes": 0,
    "history": "ShADadFf", "orig_pkts": 5, "orig_ip_bytes": 300, "resp_pkts": 3,
    "resp_ip_bytes": 170,
}  # fmt: skip
Row = dict[str, object]


def tsv(rows: Sequence[Row], close: bool = True) -> str:
    def cell(value: object) -> str:
        if value is None:
            return "-"
        return {True: "T", False: "F"}[value] if isinstance(value, bool) else str(value)

    lines = ["\t".join(cell(row.get(name)) for name in NAMES) for row in rows]
    return HEADER + "".join(line + "\n" for line in lines) + "#close\t2024-01-01-01-00-00\n" * close


def as_json(rows: Sequence[Row], close: bool = True) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def reader_of(text: str, form: str = "auto") -> RecordReader:
    return RecordReader("-", stdin=io.BytesIO(text.encode()), form=form)


def records(text: str, form: str = "auto") -> list[FlowRecord]:
    return list(reader_of(text, form))


# Zeek


@pytest.mark.parametrize("write", [tsv, as_json])
def test_zeek_fields(write) -> None:  # type: ignore[no-untyped-def]
    (record,) = records(write([SSH]))
    assert record == FlowRecord(
        1700000000.123456, "10.0.0.1", "10.0.0.2", "tcp", 40000, 22, 3.5, 5, 300, 3, 170,
        state="established",
    )  # fmt: skip


@pytest.mark.parametrize("write", [tsv, as_json])
def test_zeek_states_and_what_is_unset(write) -> None:  # type: ignore[no-untyped-def]
    rows = [{**SSH, "conn_state": word} for word in CONN_STATES]
    assert [r.state for r in records(write(rows))] == list(CONN_STATES.values())
    bare = {name: SSH[name] for name in ("ts", "id.orig_h", "id.resp_h", "proto")}
    (record,) = records(write([bare]))
    assert (record.dst_port, record.duration, record.packets_out, record.state) == (
        0,
        0.0,
        None,
        None,
    )


@pytest.mark.parametrize("write", [tsv, as_json])
def test_zeek_icmp_and_group_addresses(write) -> None:  # type: ignore[no-untyped-def]
    ping = {**SSH, "proto": "icmp", "id.orig_p": 8, "id.resp_p": 0, "conn_state": "OTH"}
    six = {"id.orig_h": "fd00::1", "id.resp_h": "fd00::2", "id.orig_p": 128, "id.resp_p": 129}
    rows = [
        ping,
        {**ping, **six},
        {**ping, "id.orig_p": 3, "id.resp_p": 1},
        {**SSH, "proto": "udp", "id.resp_h": "224.0.0.251", "conn_state": "S0"},
        {**SSH, "proto": "udp", "conn_state": "S0"},
    ]
    found = records(write(rows))
    assert [r.service for r in found[:3]] == ["icmp/8", "icmpv6/128", "icmp/3"]
    assert [r.dst_port for r in found[:3]] == [0, 0, 1]
    assert [r.state for r in found[3:]] == [None, "unanswered"]


def test_zeek_json_variants() -> None:
    nested = {"ts": "2023-11-14T22:13:20.123456Z", "proto": "tcp"}
    nested["id"] = {"orig_h": "10.0.0.1", "orig_p": 1, "resp_h": "10.0.0.2", "resp_p": 22}  # type: ignore[assignment]
    (record,) = records(json.dumps(nested))
    assert (record.ts, record.service) == (1700000000.123456, "tcp/22")


def test_zeek_logs_put_together_and_other_separators() -> None:
    fewer = (
        "#separator ,\n#fields,ts,id.orig_h,id.resp_h,id.resp_p,proto\n9,10.0.0.3,10.0.0.4,53,udp\n"
    )
    found = records(tsv([SSH, SSH]) + tsv([SSH]) + fewer)
    assert [r.service for r in found] == ["tcp/22", "tcp/22", "tcp/22", "udp/53"]


@pytest.mark.parametrize("write", [tsv, as_json])
def test_bad_zeek_rows_are_counted_with_their_line(write) -> None:  # type: ignore[no-untyped-def]
    rows = [dict(SSH) for _ in range(40)]
    rows[10]["conn_state"] = "XX"
    rows[20]["id.resp_h"] = "nobody"
    reader = reader_of(write(rows))
    assert len(list(reader)) == 38
    first = 1 if write is as_json else 1 + HEADER.count("\n")
    assert [p.line for p in reader.problems] == [first + 10, first + 20]
    assert "conn_state 'XX'" in reader.problems[0].reason


def test_other_zeek_logs_are_refused() -> None:
    with pytest.raises(TrafficError, match=r"no field id.orig_h, id.resp_h, proto"):
        records("#separator \\x09\n#fields\tts\tfuid\n1.0\tF1\n")
    with pytest.raises(TrafficError, match="no #fields line"):
        records("#separator \\x09\n1.0\tx\n")
    with pytest.raises(TrafficError, match="id.orig_h is missing"):
        records('{"ts": 1.0, "id.resp_h": "10.0.0.1"}\n', form="zeek")


@pytest.mark.parametrize("ts", [1700000000123.456, 1700000000123, "1700000000123.456"])
def test_zeek_times_in_milliseconds(ts: object) -> None:
    (record,) = records(json.dumps({**SSH, "ts": ts}), form="zeek")
    assert record.ts == pytest.approx(1700000000.123, abs=0.001)


@pytest.mark.parametrize("ts", [1.7e15, -1, "soon", True, None, [1]])
def test_zeek_times_that_are_none(ts: object) -> None:
    with pytest.raises(TrafficError, match="ts"):
        records(json.dumps({**SSH, "ts": ts}), form="zeek")


def test_zeek_stream_of_several_logs_gives_its_connections() -> None:
    lines = [
        {"_path": "dns", "ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.9"},
        {"_path": "conn", **SSH},
        {"_path": "stats", "ts": 2.0, "mem": 7},
        {"_path": "conn", **SSH},
    ]
    for ordered in (lines, lines[::-1], lines[2:] + lines[:2]):
        reader = reader_of("".join(json.dumps(line) + "\n" for line in ordered))
        assert [record.service for record in reader] == ["tcp/22", "tcp/22"]
        assert (reader.rows, reader.bad) == (2, 0)
        assert reader.notes == ["2 rows of other kinds passed over"]


@pytest.mark.parametrize("write", [tsv, as_json])
def test_zeek_protocols_without_a_name_by_their_number(write) -> None:  # type: ignore[no-untyped-def]
    rows = [
        {**SSH, "proto": "unknown_transport", "ip_proto": number} for number in (47, 50, 112, 132)
    ] + [{**SSH, "ip_proto": 6}, {**SSH, "proto": "unknown_transport", "ip_proto": "-"}]
    if write is as_json:  # which leaves out what is unset
        del rows[-1]["ip_proto"]
    assert [r.proto for r in records(write(rows))] == ["47", "50", "112", "sctp", "tcp", "ip"]


# nfdump

CLASSIC = (
    "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,out,sas,das,smk,dmk,dtos,dir,nh,"
    "nhb,svln,dvln,ismc,odmc,idmc,osmc,mpls1,mpls2,mpls3,mpls4,mpls5,mpls6,mpls7,mpls8,mpls9,"
    "mpls10,cl,sl,al,ra,eng,exid,tr"
)
REST = (
    "0,0,0,0,0,0,0,0,0.0.0.0,0.0.0.0,0,0,00:00:00:00:00:00,00:00:00:00:00:00,00:00:00:00:00:00,"
    "00:00:00:00:00:00,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,0-0-0,    0.000,"
    "    0.000,    0.000,0.0.0.0,0/0,0,2024-06-28 23:18:00.000"
)
FOOT = "Summary\nflows,bytes,packets,avg_bps,avg_pps,avg_bpp\n2,340,8,777,2,42\n"
NEWER = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows\n"
DAY = 1719532800.0  # 2024-06-28 00:00:00 UTC


def classic(*rows: tuple[str, str, object, str, object, str, int, int, int, int, str]) -> str:
    """Rows of start (time of day), source, port, target, port, protocol, four counters, flags."""
    lines = [
        f"2024-06-28 {at},2024-06-28 {at},1.500,{src},{dst},{sport},{dport},{proto},{flags},0,0,"
        f"{ipkt},{ibyt},{opkt},{obyt},{REST}\n"
        for at, src, sport, dst, dport, proto, ipkt, ibyt, opkt, obyt, flags in rows
    ]
    return CLASSIC + "\n" + "".join(lines) + FOOT


A, B = "10.0.0.1", "10.0.0.2"


def test_the_two_directions_of_netflow_are_a_connection_and_its_end() -> None:
    there = ("00:00:05", A, 40000, B, 22, "TCP", 5, 300, 0, 0, "...AP.SF")
    back = ("00:00:06", B, 22, A, 40000, "TCP", 3, 170, 0, 0, "...AP.SF")
    first, second = records(classic(there, back))
    assert (first.ts, first.duration, first.phase, first.state) == (
        DAY + 5,
        1.5,
        "whole",
        "established",
    )
    assert (first.packets_out, first.bytes_out, first.packets_in) == (5, 300, None)
    assert (second.src_ip, second.service, second.src_port) == (A, "tcp/22", 40000)
    assert (second.ts, second.phase, second.state) == (DAY + 5, "end", "established")
    assert (second.packets_out, second.packets_in, second.bytes_in) == (None, 3, 170)
    late, end = records(classic(back, there))
    assert (late.src_ip, late.packets_in, late.phase) == (A, 3, "whole")
    assert (end.src_ip, end.packets_out, end.phase, end.ts) == (A, 5, "end", late.ts)


def test_netflow_outcomes() -> None:
    asked = ("00:00:05", A, 40000, B, 22, "TCP", 1, 60, 0, 0, "......S.")
    refused = ("00:00:05", B, 22, A, 40000, "TCP", 1, 40, 0, 0, "...A.R..")
    assert [r.state for r in records(classic(asked))] == ["unanswered"]
    assert [r.state for r in records(classic(asked, refused))] == ["unanswered", "rejected"]
    assert [r.state for r in records(classic(refused, asked))] == ["rejected", "rejected"]
    (both,) = records(classic(("00:00:05", A, 40000, B, 22, "TCP", 5, 300, 3, 170, "...AP.SF")))
    assert (both.packets_out, both.packets_in, both.bytes_in, both.phase) == (5, 3, 170, "whole")
    # A sweep from port 53 is a sweep: nobody answers, and who asks never acknowledges.
    (sweep,) = records(classic(("00:00:05", A, 53, B, 40000, "TCP", 1, 60, 0, 0, "......S.")))
    assert (sweep.src_ip, sweep.dst_port) == (A, 40000)


def test_netflow_icmp() -> None:
    for kind in (2048, "8.0"):
        ask = ("00:00:05", A, 0, B, kind, "ICMP", 1, 84, 0, 0, "........")
        answer = ("00:00:05", B, 0, A, "0.0", "ICMP", 1, 84, 0, 0, "........")
        found = records(classic(ask, answer))
        assert [(r.src_ip, r.service, r.phase) for r in found] == [
            (A, "icmp/8", "whole"), (A, "icmp/8", "end"),
        ]  # fmt: skip
    six = ("00:00:05", "fd00::1", 0, "fd00::2", 128 * 256, "ICMP6", 1, 84, 0, 0, "........")
    assert [r.service for r in records(classic(six))] == ["icmpv6/128"]


def test_newer_nfdump() -> None:
    text = NEWER + f"2024-06-28 00:00:05.250,0.500,6,{A},40000,{B},22,5,300,1\n"
    (record,) = records(text)
    assert (record.ts, record.duration, record.service) == (DAY + 5.25, 0.5, "tcp/22")
    assert (record.packets_out, record.bytes_out, record.state) == (5, 300, None)
    fast = (
        "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,"
    )
    fast += f"flags,srcTos,packets,bytes\n1,2,1719532805250,1719532806250,17,{A},9,{B},53,0,0,0,0,"
    (record,) = records(fast + "........,0,5,300\n")
    assert (record.ts, record.duration, record.service) == (DAY + 5.25, 1.0, "udp/53")


def test_nfdump_files_put_together_and_nothing_found() -> None:
    row = ("00:00:05", A, 40000, B, 53, "UDP", 1, 60, 0, 0, "........")
    later = ("00:00:09", *row[1:])
    assert len(records(classic(row) + classic(later))) == 2


def test_rows_of_a_second_sensor_count_once(tmp_path: Path) -> None:
    row = ("00:00:05", A, 40_000, B, 53, "UDP", 4, 170, 0, 0, "........")
    other = ("00:00:05", A, 40_001, B, 53, "UDP", 4, 170, 0, 0, "........")
    path = tmp_path / "both.csv"
    path.write_text(classic(row) + classic(row) + classic(other))
    reader = RecordReader(path)
    assert len(list(reader)) == 2
    assert reader.notes == ["1 rows of a second sensor counted once"]
    assert records(CLASSIC + "\nNo matching flows\n") == []
    assert records(NEWER) == []


def test_bad_nfdump_rows_are_counted_with_their_line() -> None:
    rows = [("00:00:05", A, 40000 + at, B, 53, "UDP", 1, 60, 0, 0, "........") for at in range(40)]
    rows[7] = ("99:00:05", A, 1, B, 53, "UDP", 1, 60, 0, 0, "........")
    rows[9] = ("00:00:05", A, 99999, B, 53, "UDP", 1, 60, 0, 0, "........")
    reader = reader_of(classic(*rows))
    assert len(list(reader)) == 38
    assert [(p.line, p.reason) for p in reader.problems] == [
        (9, "ts '2024-06-28 99:00:05' is not a time"),
        (11, "sp '99999' is above 65535"),
    ]


def test_durations_as_nfdump_writes_them() -> None:
    assert (_span("1.500", "td"), _span("00:00:01.500", "td")) == (1.5, 1.5)
    assert _span("1d 02:03:04.500", "td") == 86_400 + 2 * 3600 + 3 * 60 + 4.5


def test_the_form_can_be_named() -> None:
    with pytest.raises(TrafficError, match="nfdump -o csv"):
        records("ts,src_ip,dst_ip\n1,10.0.0.1,10.0.0.2\n", form="nfdump")
    with pytest.raises(TrafficError, match="choose one of auto, contract"):
        reader_of("", form="excel")


# Round trips and damage

row = st.builds(
    FlowRecord,
    ts=st.integers(1, 2**31).map(lambda n: n / 8),
    src_ip=ADDRESSES,
    dst_ip=st.ip_addresses(v=4).map(str),
    proto=st.sampled_from(["tcp", "udp", "gre"]),
    src_port=st.integers(0, 65_535),
    dst_port=st.integers(0, 65_535),
    duration=st.integers(0, 99).map(lambda n: n / 4),
    packets_out=st.integers(0, 2**40),
    bytes_out=st.integers(0, 2**40),
    packets_in=st.integers(0, 2**40),
    bytes_in=st.integers(0, 2**40),
)


def zeek_row(record: FlowRecord) -> Row:
    return {
        "ts": record.ts, "id.orig_h": record.src_ip, "id.orig_p": record.src_port,
        "id.resp_h": record.dst_ip, "id.resp_p": record.dst_port, "proto": record.proto,
        "duration": record.duration, "orig_pkts": record.packets_out,
        "orig_ip_bytes": record.bytes_out, "resp_pkts": record.packets_in,
        "resp_ip_bytes": record.bytes_in,
    }  # fmt: skip


def connection(record: FlowRecord) -> tuple[str, str, str, int, int]:
    return record.src_ip, record.dst_ip, record.proto, record.src_port, record.dst_port


@settings(max_examples=60, deadline=None)
@given(st.lists(row, min_size=1, max_size=20))
def test_records_written_as_zeek_come_back(rows: list[FlowRecord]) -> None:
    for write in (tsv, as_json):
        assert records(write([zeek_row(record) for record in rows])) == rows


@settings(max_examples=60, deadline=None)
@given(st.lists(row.filter(lambda r: r.packets_in), min_size=1, max_size=20, unique_by=connection))
def test_records_written_as_nfdump_come_back(rows: list[FlowRecord]) -> None:
    names = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,inPackets,inBytes,"
    names += "outPackets,outBytes"
    lines = [
        f"{r.ts},{r.duration},{r.proto.upper()},{r.src_ip},{r.src_port},{r.dst_ip},{r.dst_port},"
        f"{r.packets_out},{r.bytes_out},{r.packets_in},{r.bytes_in or ''}"
        for r in rows
    ]
    found = records("\n".join([names, *lines]))
    assert [(r.bytes_in or 0) for r in found] == [r.bytes_in for r in rows]
    assert [(r.ts, r.src_ip, r.dst_ip, r.service, r.packets_in) for r in found] == [
        (r.ts, r.src_ip, r.dst_ip, r.service, r.packets_in) for r in rows
    ]


PING = classic(("00:00:05", A, 0, B, 2048, "ICMP", 1, 84, 0, 0, "........"))
SAMPLES = [
    tsv([SSH] * 3),
    as_json([SSH] * 3),
    PING,
    NEWER + "2024-06-28 0:0:0,1,6,::1,1,::2,2,3,4,1\n",
]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=3)), max_size=8),
    st.sampled_from(["auto", "contract", "zeek", "nfdump"]),
)
def test_damaged_text_never_fails_otherwise(
    text: str, changes: list[tuple[int, bytes]], form: str
) -> None:
    work = bytearray(text.encode())
    for at, data in changes:
        at %= len(work)
        work[at : at + len(data)] = data
    reader = RecordReader("-", stdin=io.BytesIO(bytes(work)), form=form)
    try:
        assert len(list(reader)) + reader.bad == reader.rows
    except TrafficError as problem:
        assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("status", "state"),
    [("131", "denied"), ("128", "denied"), ("191", "denied"), ("64", None), ("0", None),
     ("192", None), ("", None), ("x", None)],
)  # fmt: skip
def test_nfdump_rows_that_an_access_list_dropped(status: str, state: str | None) -> None:
    header = "ts,td,sa,da,sp,dp,pr,flg,fwd,ipkt,ibyt"
    row = f"2024-03-01 14:00:00,0.0,10.0.0.1,10.0.0.2,40000,22,TCP,....A.,{status},2,120"
    (record,) = records(f"{header}\n{row}\n")
    assert record.state == state


def test_nfdump_a_dropped_answer_is_no_established_connection() -> None:
    header = "ts,td,sa,da,sp,dp,pr,flg,fwd,ipkt,ibyt"
    row = "2024-03-01 14:00:00,0.0,10.0.0.2,10.0.0.1,22,40000,TCP,...A..S.,130,1,60"
    (record,) = records(f"{header}\n{row}\n")
    assert (record.src_ip, record.dst_port, record.state) == ("10.0.0.1", 22, "denied")


NETFLOW = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows\n"


def netflow(ts: float, src: str, sport: int, dst: str, dport: int, proto: str = "TCP") -> str:
    return f"{ts},1.0,{proto},{src},{sport},{dst},{dport},5,400,1\n"


@pytest.mark.parametrize("ports", [(40222, 44818), (50000, 33000), (1500, 1600)])
@pytest.mark.parametrize("proto", ["TCP", "UDP"])
@pytest.mark.parametrize("between", [0, 100])
def test_the_earlier_of_two_rows_began_whatever_their_order(
    ports: tuple[int, int], proto: str, between: int
) -> None:
    client, server = ("10.0.0.1", ports[0]), ("10.0.0.2", ports[1])
    first = netflow(1700000000.000, *client, *server, proto)
    answer = netflow(1700000000.003, *server, *client, proto)
    others = "".join(
        netflow(1700000001.0, "10.0.1.1", 40000 + n, "10.0.1.2", 80) for n in range(between)
    )
    for order in (first + others + answer, answer + others + first):
        found = [r for r in records(NETFLOW + order) if r.src_ip.startswith("10.0.0.")]
        assert {(r.src_ip, r.dst_ip, r.dst_port) for r in found} == {
            ("10.0.0.1", "10.0.0.2", ports[1])
        }
        assert sorted(r.phase for r in found) == ["end", "whole"]


def test_ports_that_tell_outweigh_a_row_that_is_earlier() -> None:
    answer = netflow(1700000000.0, "10.0.0.2", 22, "10.0.0.1", 40000)
    late = netflow(1700000000.5, "10.0.0.1", 40000, "10.0.0.2", 22)
    for order in (answer + late, late + answer):
        assert {r.service for r in records(NETFLOW + order)} == {"tcp/22"}


def test_rows_that_wait_keep_their_order_and_their_numbers() -> None:
    rows = [netflow(1700000000.0 + n, "10.0.0.1", 40000 + n, "10.0.0.2", 80) for n in range(300)]
    rows[7] = "nonsense\n"
    reader = reader_of(NETFLOW + "".join(rows))
    numbers = [(reader.rows, record.src_port) for record in reader]
    assert numbers == [(n + 1, 40000 + n) for n in range(300) if n != 7]
    assert (reader.rows, reader.bad) == (300, 1)


@pytest.mark.parametrize("write", [tsv, as_json])
@pytest.mark.parametrize(
    ("answer", "request_", "proto"), [(0, 8, "icmp"), (14, 13, "icmp"), (129, 128, "icmp")]
)
def test_zeek_saw_an_answer_before_its_request(  # type: ignore[no-untyped-def]
    write, answer: int, request_: int, proto: str
) -> None:
    ends = ("fd00::1", "fd00::2") if answer == 129 else ("10.0.0.1", "10.0.0.2")
    row = {**SSH, "proto": proto, "conn_state": "OTH", "id.orig_h": ends[1], "id.resp_h": ends[0],
           "id.orig_p": answer, "id.resp_p": request_, "orig_ip_bytes": 11}  # fmt: skip
    (record,) = records(write([row]))
    assert (record.src_ip, record.dst_ip) == ends
    assert (record.src_port, record.dst_port, record.bytes_in) == (request_, 0, 11)


@pytest.mark.parametrize("write", [tsv, as_json])
@pytest.mark.parametrize(
    ("history", "ports", "turned"),
    [
        ("DadA", (5432, 40222), True),
        ("dA", (22, 50000), True),
        ("DadA", (40222, 5432), False),
        ("ShADad", (5432, 40222), False),
        ("^hADd", (5432, 40222), False),
        ("Dd", (40000, 50000), False),
    ],
)
def test_zeek_began_in_the_middle_of_a_connection(  # type: ignore[no-untyped-def]
    write, history: str, ports: tuple[int, int], turned: bool
) -> None:
    row = {**SSH, "conn_state": "OTH", "history": history, "id.orig_p": ports[0],
           "id.resp_p": ports[1], "orig_pkts": 80, "resp_pkts": 40}  # fmt: skip
    (record,) = records(write([row]))
    assert record.src_ip == ("10.0.0.2" if turned else "10.0.0.1")
    assert (record.src_port, record.dst_port) == (ports[::-1] if turned else ports)
    assert (record.packets_out, record.packets_in) == ((40, 80) if turned else (80, 40))


def test_ipv4_written_as_ipv6_is_ipv4() -> None:
    (record,) = records(as_json([{**SSH, "id.orig_h": "::ffff:10.0.0.1"}]))
    assert record.src_ip == "10.0.0.1"
