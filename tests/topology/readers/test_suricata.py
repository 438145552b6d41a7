"""Flow events of Suricata, among events of other types."""

from __future__ import annotations

import io
import json

import pytest

from topology.readers import RecordReader, TrafficError
from topology.records import FlowRecord

FLOW = {
    "timestamp": "2024-03-01T13:55:00.000000+0000",
    "flow_id": 7,
    "event_type": "flow",
    "src_ip": "10.0.0.1",
    "src_port": 40000,
    "dest_ip": "10.0.0.2",
    "dest_port": 443,
    "proto": "TCP",
    "app_proto": "tls",
    "flow": {
        "pkts_toserver": 6, "pkts_toclient": 5, "bytes_toserver": 420, "bytes_toclient": 1168,
        "start": "2024-03-01T13:53:54.500000+0000", "end": "2024-03-01T14:53:56.000000+0100",
        "age": 1, "state": "closed", "reason": "timeout",
    },
    "tcp": {"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "1b", "state": "closed"},
}  # fmt: skip
OTHERS = [
    {"timestamp": "2024-03-01T13:53:55.0+0000", "event_type": "dns", "src_ip": "10.0.0.1"},
    {"timestamp": "2024-03-01T13:53:55.0+0000", "event_type": "alert", "src_ip": "10.0.0.1"},
    {"timestamp": "2024-03-01T13:53:55.0+0000", "event_type": "stats", "stats": {"uptime": 1}},
]


def reader_of(*events: object, form: str = "auto") -> RecordReader:
    text = "".join(json.dumps(event) + "\n" for event in events)
    return RecordReader("-", stdin=io.BytesIO(text.encode()), form=form)


def read(**changes: object) -> FlowRecord:
    (record,) = reader_of({**FLOW, **changes})
    return record


def test_a_flow_event_is_a_record() -> None:
    assert read() == FlowRecord(
        1709301234.5, "10.0.0.1", "10.0.0.2", "tcp", 40000, 443, 1.5, 6, 420, 5, 1168,
        state="established",
    )  # fmt: skip


@pytest.mark.parametrize("first", range(len(OTHERS)))
def test_other_events_are_passed_over_and_counted(first: int) -> None:
    reader = reader_of(OTHERS[first], FLOW, *OTHERS)
    assert len(list(reader)) == 1
    assert (reader.rows, reader.bad) == (1, 0)
    assert reader.notes == ["4 rows of other kinds passed over"]


@pytest.mark.parametrize(
    ("proto", "flow", "tcp", "state"),
    [
        ("TCP", {"pkts_toclient": 0}, {"tcp_flags_tc": "00"}, "unanswered"),
        ("TCP", {"pkts_toclient": 1}, {"tcp_flags_tc": "14"}, "rejected"),
        ("TCP", {"pkts_toclient": 5}, {"tcp_flags_tc": "1e"}, "established"),
        ("UDP", {"pkts_toclient": 0}, None, None),
        ("UDP", {"pkts_toclient": 1}, None, "established"),
        ("TCP", {"pkts_toclient": 0, "action": "drop"}, None, "denied"),
    ],
)
def test_what_became_of_it(
    proto: str, flow: dict[str, object], tcp: object, state: str | None
) -> None:
    assert isinstance(FLOW["flow"], dict)
    assert read(proto=proto, flow={**FLOW["flow"], **flow}, tcp=tcp).state == state


def test_icmp_has_types_and_codes() -> None:
    four = read(proto="ICMP", icmp_type=8, icmp_code=0)
    six = read(proto="IPv6-ICMP", icmp_type=128, src_ip="fd00::1", dest_ip="fd00::2")
    assert (four.service, six.service) == ("icmp/8", "icmpv6/128")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flow": None}, "flow is missing"),
        ({"flow": {"start": "yesterday"}}, "flow.start"),
        ({"flow": {"start": "2024-03-01T13:53:54"}}, "no time zone"),
        ({"src_ip": "nobody"}, "src_ip"),
        ({"dest_port": 70000}, "dest_port"),
    ],
)
def test_what_cannot_be_read_says_what_is_wrong(changes: dict[str, object], words: str) -> None:
    with pytest.raises(TrafficError, match=words):
        list(reader_of({**FLOW, **changes}))
