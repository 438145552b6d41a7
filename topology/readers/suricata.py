"""Suricata's ``eve.json``: its flow events; those of other types are passed over and counted.

https://docs.suricata.io/en/latest/output/eve/eve-json-format.html#event-type-flow
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TextIO

from topology.readers import rows
from topology.readers.contract import read_json
from topology.readers.row_count import RowCount
from topology.readers.rows import BadRow
from topology.records import FlowRecord, State

_SYN, _RST = 0x02, 0x04


def read_suricata(lines: TextIO, tally: RowCount) -> Iterator[FlowRecord]:
    """One record a flow event, in the order of the file: that in which flows ended."""
    return read_json(lines, tally, _from_event)


def _from_event(event: dict[str, Any]) -> FlowRecord | None:
    if event.get("event_type") != "flow":
        return None
    flow = event.get("flow")
    if not isinstance(flow, dict):
        raise BadRow("flow is missing")
    start = _moment(flow.get("start") or event.get("timestamp"), "flow.start")
    end = _moment(flow["end"], "flow.end") if flow.get("end") else start
    proto = rows.protocol(event.get("proto"), "proto")
    ports = ("icmp_type", "icmp_code") if proto.startswith("icmp") else ("src_port", "dest_port")
    return FlowRecord(
        ts=start,
        src_ip=rows.address(event.get("src_ip"), "src_ip"),
        dst_ip=rows.address(event.get("dest_ip"), "dest_ip"),
        proto=proto,
        src_port=rows.port(event.get(ports[0]), ports[0]),
        dst_port=rows.port(event.get(ports[1]), ports[1]),
        duration=max(0.0, end - start),
        packets_out=rows.count(flow.get("pkts_toserver"), "pkts_toserver"),
        bytes_out=rows.count(flow.get("bytes_toserver"), "bytes_toserver"),
        packets_in=rows.count(flow.get("pkts_toclient"), "pkts_toclient"),
        bytes_in=rows.count(flow.get("bytes_toclient"), "bytes_toclient"),
        state=_state(proto, flow, event.get("tcp")),
    )


def _moment(value: Any, name: str) -> float:
    """``2024-03-01T13:53:54.567891+0000`` in seconds since the epoch."""
    try:
        written = datetime.fromisoformat(str(value))
    except ValueError:
        raise BadRow(f"{name} {str(value)[:40]!r} is not a time") from None
    if written.tzinfo is None:
        raise BadRow(f"{name} {str(value)[:40]!r} has no time zone")
    return rows.moment(written.timestamp(), name)


def _state(proto: str, flow: Mapping[str, Any], tcp: Any) -> State | None:
    """What became of it: answered at all, and by more than a reset."""
    if flow.get("action") == "drop":
        return "denied"
    answered = rows.count(flow.get("pkts_toclient"), "pkts_toclient")
    if not answered:
        return "unanswered" if proto == "tcp" else None
    if proto != "tcp" or not isinstance(tcp, dict):
        return "established"
    flags = _flags(tcp.get("tcp_flags_tc"))
    if flags is not None and flags & _RST and not flags & _SYN:
        return "rejected"
    return "established"


def _flags(value: Any) -> int | None:
    """TCP flags of one direction, written in hexadecimal."""
    try:
        return int(str(value), 16)
    except ValueError:
        return None
