"""Recorded traffic against one policy and against two."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.cli import run
from policies.language.packet_queries import PacketQueries
from policies.language.reader import load_policy
from policies.model import Connection, Host, Policy
from policies.review import recorded_traffic
from policies.review.recorded_traffic import (
    RecordedTraffic,
    TrafficReader,
    connections,
    read_traffic,
    traffic_of,
    traffic_read,
)
from policies.review.simulate import Accepted, Cut, simulate
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from topology.readers import RecordReader, TrafficError, read_records

DAY = 86_400
BASE = """apiVersion: septum/v1
kind: SegmentPolicy
defaults: {mode: enforce}
hosts:
  web1: {ip: [10.0.1.1, "fd00:1::1"], labels: {role: web}}
  web2: {ip: 10.0.1.2, labels: {role: web}}
  db1: {ip: [10.0.2.1, "fd00:2::1"], labels: {role: db}}
segments:
  web: {members: [{labels: {role: web}}]}
  db: {members: [{labels: {role: db}}]}
  lab: {members: [{cidr: 10.9.0.0/16}], mode: audit}
  lobby: {members: [{cidr: 10.8.0.0/16}]}
intents:
- {name: reads, from: web, to: db, services: tcp/5432}
- {name: pings, from: web, to: web, services: icmp/echo-request}
"""
MORE = "- {name: shell, from: web, to: db, services: tcp/22}\n"
HEADER = "ts,duration,src_ip,dst_ip,proto,src_port,dst_port,packets,bytes,state,label\n"
ROWS = f"""{10 * DAY},1,10.0.1.1,10.0.2.1,tcp,50000,5432,5,500,established,0
{10 * DAY + 5},1,10.0.1.1,10.0.2.1,6,50001,5432,5,700,established,0
{3 * DAY},1,10.0.1.2,10.0.2.1,tcp,50000,22,5,100,established,0
{9 * DAY},1,fd00:1::1,fd00:2::1,tcp,50000,22,5,100,,0
{10 * DAY},1,10.0.1.1,10.0.2.1,tcp,50000,5432,1,60,denied,0
{10 * DAY},1,10.0.1.1,10.0.1.2,icmp,8,0,1,60,,0
{10 * DAY},1,10.0.1.1,10.0.1.2,icmp,13,0,1,60,,0
{10 * DAY},1,10.9.0.1,10.9.0.2,udp,1,2,1,60,,0
{10 * DAY},1,10.0.1.1,10.0.2.1,rtp,1,2,1,60,,0
"""


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy([write(tmp_path, BASE)])


def write(folder: Path, text: str, name: str = "p.yaml") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


def judge(policy: Policy) -> Judge:
    return Judge(policy, Membership(policy))


def recorded(tmp_path: Path, rows: str = ROWS) -> RecordedTraffic:
    return read_traffic(write(tmp_path, HEADER + rows, "f.csv"))


def test_connections_are_counted_by_what_a_policy_can_tell_apart(
    tmp_path: Path, policy: Policy
) -> None:
    traffic = recorded(tmp_path)
    assert (traffic.records, traffic.bad, traffic.unjudged) == (9, 0, 1)
    reads = PacketQueries(policy).packet("web1", "db1", "tcp/5432")
    ((_, seen),) = [each for each in traffic.carried if each[0] == reads]
    assert (seen.connections, seen.bytes, seen.last) == (2, 1200, 10 * DAY + 5)
    assert [connection for connection, _ in traffic.blocked] == [reads]
    types = {c.port for c, _ in traffic.carried if c.proto == 1}
    assert types == {8, 13}
    assert traffic.newest_until(inf) == 10 * DAY + 5


def test_cells_and_records_and_gzip_count_alike(tmp_path: Path) -> None:
    def plain(traffic: RecordedTraffic) -> Any:
        def order(one: tuple[Connection, Any]) -> str:
            return str(one[0])

        return [
            [(c, s.connections, s.bytes, s.last) for c, s in sorted(half, key=order)]
            for half in (traffic.carried, traffic.blocked)
        ]

    path = write(tmp_path, HEADER + ROWS, "f.csv")
    fast = read_traffic(path)
    slow = traffic_of(read_records(path))
    packed = tmp_path / "f.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    assert plain(fast) == plain(slow) == plain(read_traffic(packed))
    lines = [
        json.dumps({"ts": 1.5, "src_ip": "10.0.1.1", "dst_ip": "10.0.2.1", "proto": "tcp",
                    "dst_port": 80, "bytes_out": 3, "bytes_in": 4, "phase": phase})
        for phase in ("start", "end")
    ]  # fmt: skip
    ((_, seen),) = read_traffic(write(tmp_path, "\n".join(lines), "f.jsonl")).carried
    assert (seen.connections, seen.bytes) == (1, 14)


def test_what_a_policy_would_do(tmp_path: Path, policy: Policy) -> None:
    found = simulate(recorded(tmp_path), judge(policy), 0.0)
    assert found.totals == {
        "newly-blocked": 3,  # two on ssh, one timestamp request
        "newly-allowed": 1,  # the denied read
        "would-deny": 1,  # in the audited lab
        "blocked": 0,
        "allowed": 3,
    }
    first = found.groups[0]
    assert (first.change, first.intent, first.tier) == ("newly-blocked", None, "default")
    assert (first.from_segments, first.to_segments) == (("web",), ("db",))
    assert (first.connections, len(first.pairs)) == (2, 2)
    assert {str(cut.src) for cut in found.cuts} == {"10.0.1.1", "10.0.1.2", "fd00:1::1"}


def test_two_policies_side_by_side(tmp_path: Path, policy: Policy) -> None:
    wider = load_policy([write(tmp_path, BASE + MORE, "q.yaml")])
    traffic = recorded(tmp_path)
    opened = simulate(traffic, judge(wider), 0.0, judge(policy))
    assert opened.totals["newly-allowed"] == 2 and opened.totals["newly-blocked"] == 0
    assert [g.intent for g in opened.groups if g.change == "newly-allowed"] == ["shell"]
    closed = simulate(traffic, judge(policy), 0.0, judge(wider))
    assert closed.totals["newly-blocked"] == 2 and closed.totals["newly-allowed"] == 0
    same = simulate(traffic, judge(policy), 0.0, judge(policy))
    assert same.totals["newly-blocked"] == same.totals["newly-allowed"] == 0
    assert same.totals["would-deny"] == 0


@pytest.mark.thorough
def test_a_pair_that_spoke_lately_is_not_cut_by_accident(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = write(tmp_path, BASE), write(tmp_path, BASE + MORE, "q.yaml")
    flows = write(tmp_path, HEADER + ROWS, "f.csv")
    words = ["policy", "simulate", new, "--flows", flows, "--against", old, "--json"]

    def refused(*more: str) -> tuple[int, list[tuple[str, str]]]:
        code = run([*words, *more])
        data = json.loads(capsys.readouterr().out)
        return code, [(cut["src_ip"], cut["dst_ip"]) for cut in data["refused"]]

    six, four = ("fd00:1::1", "fd00:2::1"), ("10.0.1.2", "10.0.2.1")
    assert refused() == (0, [])
    assert refused("--refuse-days", "2") == (1, [six])
    assert refused("--refuse-days", "30") == (1, [four, six])
    assert refused("--refuse-days", "30", "--accept", "web1,db1") == (1, [four])
    assert refused("--refuse-days", "30", "--accept", "web,10.0.2.1") == (1, [six])
    assert refused("--refuse-days", "30", "--accept", "web,db") == (0, [])
    assert run([*words, "--accept", "wbe,db"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("septum: --accept wbe: no segment or host") and "'web'?" in said


def test_simulate_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new, flows = write(tmp_path, BASE), write(tmp_path, HEADER + ROWS, "f.csv")
    assert run(["policy", "simulate", new, "--flows", flows, "--refuse-days", "9"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("9 records, 0 bad, 1 without a protocol to judge\n")
    assert "         3 newly blocked\n" in out
    assert "newly blocked: web -> db by default: 2 connections, 2 pairs\n" in out
    assert "    10.0.1.2 -> 10.0.2.1 tcp/22 x 1\n" in out
    assert "refused: 3 pairs of the last 9 days would be cut\n" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        (HEADER + "x,1,a,b,tcp,1,2,3,4,,0\n" * 3, "3 of 3 rows are bad"),
        (HEADER + "1,1,10.0.0.1,10.0.0.300,tcp,1,2,3,4,,0\n", "f.csv:2: '10.0.0.300'"),
        (HEADER + "1,1,10.0.0.1,10.0.0.3,tcp,1,70000,3,4,,0\n", "70000' is above 65535"),
        (HEADER + "1,1,10.0.0.1,fd00::1,tcp,1,70,3,4,,0\n", "two address families"),
        ("a,b\n1,2\n", "no column"),
        ("ts;src_ip;dst_ip;proto\n1;10.0.0.1;10.0.0.2;tcp\n", "separated by semicolons"),
        ("ts|src_ip|dst_ip|proto\n1|10.0.0.1|10.0.0.2|tcp\n", "separated by bars"),
        ('[{"ts": 1, "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2"}]', "not one object a line"),
        ("\x1f\x8bnot gzip", ""),
    ],
)
def test_traffic_that_cannot_be_used_is_one_line(
    tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "f.csv"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    with pytest.raises(TrafficError) as raised:
        read_traffic(file)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_few_bad_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    good = f"{DAY},1,10.0.1.1,10.0.2.1,tcp,1,80,1,1,,0\n" * 30
    traffic = recorded(tmp_path, good + "nonsense\n" + f"{DAY},1,x,10.0.2.1,tcp,1,80,1,1,,0\n")
    assert (traffic.records, traffic.bad) == (32, 2)
    ((_, seen),) = traffic.carried
    assert seen.connections == 30


CELLS = st.sampled_from(
    ["", "1", "1.5", "-1", "nan", "x", "10.0.0.1", "10.0.0.2", "fd00::1", "01.2.3.4", "tcp", "icmp",
     "6", "80", "0x8", "70000", "denied", "rejected", "start", "end", '"', '"a,b"', " 10.0.0.1 ",
     "\x00", "é", "1_0"]
)  # fmt: skip
GOOD = ["2", "10.0.0.1", "10.0.0.2", "tcp", "80", "1", "9", "9", "", "", ""]
COLUMNS = "ts,src_ip,dst_ip,proto,dst_port,src_port,packets,bytes,state,verdict,phase\n"


@given(
    st.lists(
        st.tuples(st.integers(0, 10), CELLS, st.sampled_from(["\n", "\r\n", "\n\n"])),
        max_size=8,
    ),
    st.integers(0, 90),
)
def test_any_cells_are_counted_or_bad_and_no_row_harms_another(
    rows: list[tuple[int, str, str]], good: int
) -> None:
    lines = []
    for place, cell, ending in rows:
        row = list(GOOD)
        row[place] = cell
        lines.append(",".join(row) + ending)
    text = COLUMNS + "".join(lines) + (",".join(GOOD) + "\n") * good
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f.csv"
        file.write_text(text, newline="")
        try:
            traffic = read_traffic(file)
        except TrafficError as problem:
            assert good < 90 and "\n" not in str(problem)
            return
    counted = sum(seen.connections for _, seen, _ in connections(traffic))
    phases = sum(cell in ("start", "end") and place == 10 for place, cell, _ in rows)
    assert good <= counted <= traffic.records - traffic.bad - traffic.unjudged
    assert traffic.records - traffic.bad - traffic.unjudged - phases <= counted


def counted(traffic: RecordedTraffic) -> object:
    """What a recording amounts to, whichever way it was read."""
    return (
        traffic.records,
        traffic.bad,
        traffic.unjudged,
        {c: (s.connections, s.bytes, s.last, s.failed, s.first) for c, s in traffic.carried},
        {c: (s.connections, s.bytes, s.last, s.failed, s.first) for c, s in traffic.blocked},
    )


LONGER = COLUMNS.strip() + ",duration,packets_in\n"
ODD_CELLS = st.sampled_from(
    ["", "0", "1", "4", "5.0", "1.5", "-1", "nan", "1e3", "x", "10.0.0.1", "fd00::1",
     "::ffff:10.0.0.1", "tcp", "icmp", "ICMPv6", "6", "58", "300", "80", "0x8", "70000", "9" * 20,
     "denied", "Rejected", "unanswered", "allow", "would-deny", "start", "END", "1709301234500",
     '"a,b"', " 7 "]
)  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 12), ODD_CELLS), max_size=6),
    st.integers(0, 60),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 200),
)
def test_one_reading_by_name_from_a_stream_and_as_json(
    rows: list[tuple[int, str]], good: int, zipped: bool, ending: str, block: int
) -> None:
    """However long the lines are in a block that is counted together."""
    plain = [*GOOD, "1", "3"]
    lines = [list(plain) for _ in range(good)]
    for place, cell in rows:
        row = list(plain)
        row[place] = cell
        lines.insert(len(lines) // 2, row)
    text = LONGER + "".join(",".join(line) + "\n" for line in lines)
    names = LONGER.strip().split(",")
    objects = [dict(zip(names, next(csv.reader([",".join(line)])), strict=False)) for line in lines]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        by_name, as_json = Path(folder) / "f.csv", Path(folder) / "f.jsonl"
        data = text.replace("\n", ending).encode()
        by_name.write_bytes(gzip.compress(data) if zipped else data)
        as_json.write_text("".join(json.dumps(each) + "\n" for each in objects))
        ways: list[Callable[[], RecordedTraffic]] = [
            lambda: TrafficReader(by_name).read(),
            lambda: traffic_read(RecordReader(by_name)),
            lambda: traffic_read(RecordReader("-", stdin=io.BytesIO(data))),
            lambda: TrafficReader(as_json if objects else by_name).read(),
        ]
        for read in ways:
            with patch.object(recorded_traffic, "BLOCK", block):
                try:
                    found.append(counted(read()))
                except TrafficError:
                    found.append("refused")
    if any(len(next(csv.reader([",".join(line)]))) != len(names) for line in lines):
        found.pop()  # JSON has no row with a cell too many
    assert all(each == found[0] for each in found), found


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_flows(data: bytes, headed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f"
        file.write_bytes(COLUMNS.encode() * headed + data)
        try:
            read_traffic(file)
        except TrafficError as problem:
            assert "\n" not in str(problem)


def test_other_recordings_go_through_the_readers(tmp_path: Path) -> None:
    log = (
        "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n"
        "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\n"
        "1.5\tC1\t10.0.1.1\t50000\t10.0.2.1\t5432\ttcp\n"
    )
    ((connection, seen),) = read_traffic(write(tmp_path, log, "conn.log")).carried
    assert (str(connection.dst), connection.port, seen.connections) == ("10.0.2.1", 5432, 1)


def test_bad_rows_are_told_with_their_lines(tmp_path: Path) -> None:
    good = f"{DAY},1,10.0.1.1,10.0.2.1,tcp,1,80,1,1,,0\n" * 40
    bad = ["short\n", f"{DAY},1,x,10.0.2.1,tcp,1,80,1,1,,0\n", "never" + good.split("\n")[0] + "\n"]
    file = write(tmp_path, HEADER + bad[0] + good + bad[1] + bad[2], "f.csv")
    traffic = read_traffic(file)
    assert (traffic.records, traffic.bad) == (43, 3)
    assert [problem.line for problem in traffic.problems] == [2, 43, 44]
    reasons = " / ".join(problem.reason for problem in traffic.problems)
    assert "1 columns" in reasons and "'x'" in reasons and "seconds" in reasons


def test_a_frame_without_ip_is_not_judged_and_not_bad(tmp_path: Path) -> None:
    traffic = recorded(tmp_path, f"{DAY},1,00:00:00:00:00:01,00:00:00:00:00:02,,,,1,1,,0\n")
    assert (traffic.records, traffic.bad, traffic.unjudged) == (1, 0, 1)


def test_reading_tells_how_far_it_is(tmp_path: Path) -> None:
    file = write(tmp_path, HEADER + ROWS, "f.csv")
    reader = TrafficReader(file)
    seen: list[int] = []
    reader.read(lambda: seen.append(reader.position))
    assert reader.size == Path(file).stat().st_size == seen[-1]


def test_a_pair_is_accepted_by_a_host_over_all_its_addresses() -> None:
    hosts = tuple(
        Host(f"h{n}", f"02:00:00:00:00:0{n}", (ip_address(f"10.0.0.{n}"),)) for n in (1, 2)
    )
    accepted = Accepted(Membership(Policy("p", hosts)), [("h1", "h2")])
    for one, other in (("10.0.0.1", "10.0.0.2"), ("fe80::ff:fe00:1", "fe80::ff:fe00:2")):
        assert Cut(ip_address(one), ip_address(other), 0.0, 1) in accepted
    assert Cut(ip_address("10.0.0.2"), ip_address("10.0.0.1"), 0.0, 1) not in accepted


ERRORS = """ts,src_ip,dst_ip,proto,src_port,dst_port,state
1,10.0.1.1,10.0.2.1,udp,40000,53,unanswered
2,10.0.2.1,10.0.1.1,icmp,3,3,
3,10.0.2.1,10.0.1.2,icmp,3,3,
4,fd00:2::1,fd00:1::1,icmpv6,1,4,
5,fd00:1::1,fd00:2::1,tcp,40000,22,established
"""


def test_an_icmp_error_has_the_verdict_of_what_it_is_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = BASE.partition("intents:")[0]
    intent = "intents: [{name: dns, from: any, to: any, services: udp/53}]\n"
    policy = write(tmp_path, head + intent, "e.yaml")
    flows = write(tmp_path, ERRORS, "errors.csv")
    assert run(["policy", "simulate", str(policy), "--flows", str(flows), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["connections"]
    # Allowed: the question and its error. Denied: an error about nothing, an ssh connection and
    # the error about it.
    assert (found["allowed"], found["newly-blocked"]) == (2, 3)


@pytest.mark.parametrize("ahead", [4_294_967_295, 200_000_000_000])
def test_one_clock_that_is_ahead_does_not_open_the_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ahead: int
) -> None:
    policy = write(tmp_path, BASE, "p.yaml")
    rows = [
        f"{1_709_301_234 + n},10.0.1.1,10.0.2.1,tcp,{40000 + n},22,established" for n in range(30)
    ]
    header = "ts,src_ip,dst_ip,proto,src_port,dst_port,state"
    for more, told in (([], False), ([f"{ahead},10.0.1.2,10.0.2.1,tcp,1,22,established"], True)):
        flows = write(tmp_path, "\n".join([header, *rows, *more]) + "\n", "clock.csv")
        command = ["policy", "simulate", str(policy), "--flows", str(flows), "--refuse-days", "7"]
        assert run(command) == 1
        assert ("a clock is wrong" in capsys.readouterr().err) is told


def test_two_rows_of_one_connection_are_one(tmp_path: Path) -> None:
    header = "ts,src_ip,dst_ip,proto,src_port,dst_port,phase\n"
    row = "1,10.0.1.1,10.0.2.1,tcp,40000,22,"
    cases = [
        (["whole", "end"], 1), (["start", "end"], 1), (["whole"] * 2, 2), (["end"], 1),
        (["whole", "end"] * 3, 3), (["start", "whole"], 2),
    ]  # fmt: skip
    for phases, connections_ in cases:
        text = header + "".join(f"{row}{phase}\n" for phase in phases)
        traffic = read_traffic(write(tmp_path, text, "rows.csv"))
        ((_, seen),) = traffic.carried
        assert seen.connections == connections_, phases


@pytest.mark.parametrize("rows", ["", "1,10.0.1.1,10.0.2.1,unknown-proto,80\n"])
def test_where_nothing_was_judged_nothing_is_promised(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, flows = tmp_path / "p.yaml", tmp_path / "f.csv"
    policy.write_text(BASE)
    flows.write_text("ts,src_ip,dst_ip,proto,dst_port\n" + rows)
    command = ["policy", "simulate", str(policy), "--flows", str(flows)]
    assert run(command) == 0
    assert "it says nothing about the policy" in capsys.readouterr().err
    assert run([*command, "--refuse-days", "7"]) == 2
    assert "no connection in it that a policy judges" in capsys.readouterr().err
