"""Zeek's ``conn.log``: tab-separated with its ``#fields`` header, or JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, TextIO

from topology.addresses import looks_like_group
from topology.initiator import ANSWERS, looks_like_reply
from topology.readers import rows
from topology.readers.contract import read_json
from topology.readers.row_count import RowCount, TrafficError
from topology.readers.rows import BadRow
from topology.readers.table import BLOCK, Block, Column, RowFormat, counted, remembered, timed
from topology.records import FlowRecord, State

# https://docs.zeek.org/en/master/scripts/base/protocols/conn/main.zeek.html#type-Conn::Info
CONN_STATES: dict[str, State | None] = {
    "S0": "unanswered", "SH": "unanswered", "RSTOS0": "unanswered",
    "REJ": "rejected",
    "S1": "established", "SF": "established", "S2": "established", "S3": "established",
    "RSTO": "established", "RSTR": "established",
    "RSTRH": None, "SHR": None, "OTH": None,  # the beginning was not seen
}  # fmt: skip
# Zeek writes as port of the responder the type of the answer, not a code, for these requests.
_ASKED = {"icmp": {8, 13, 15, 17}, "icmpv6": {128, 130, 133, 135, 139, 144}}
_CONNECTIONS = ("conn", "conn_red")  # values of ``_path`` in a stream of several logs
_NUMBER = "number"  # of a protocol that Zeek has no name for, in a column of its own
_HISTORY = "history"  # what Zeek saw of a connection: S, s, h for its opening
_MILLISECONDS = 1e11  # as a number of seconds, the year 5138
_OPENING = frozenset("SsHh^")  # "^" where Zeek turned the connection round itself
_UNSET = frozenset({"", "-", "(empty)"})


def _span(cell: Any, name: str) -> float:
    return 0.0 if cell in _UNSET else rows.span(cell, name)


def _count(cell: Any, name: str) -> int | None:
    return None if cell in _UNSET else rows.count(cell, name)


def _text(cell: Any, name: str) -> str | None:
    return None if cell in _UNSET else rows.text(cell, name)


def _port(cell: Any, name: str) -> int:
    return 0 if cell in _UNSET else rows.port(cell, name)


def _proto(cell: Any, name: str) -> str:
    return "ip" if cell in ("-", "unknown_transport") else rows.protocol(cell, name)


def _state(cell: Any, name: str) -> State | None:
    if cell in _UNSET:
        return None
    if cell not in CONN_STATES:
        raise BadRow(f"{name} {cell!r} is not one of {', '.join(CONN_STATES)}")
    return CONN_STATES[cell]


# Field of the record: the columns it may stand in (the first one there counts), how it is read.
_COLUMNS: Mapping[str, tuple[tuple[str, ...], Callable[[str], Column]]] = {
    "ts": (("ts",), lambda name: timed(name, _moment)),
    "src_ip": (("id.orig_h",), lambda name: remembered(rows.address, name)),
    "dst_ip": (("id.resp_h",), lambda name: remembered(rows.address, name)),
    "proto": (("proto",), lambda name: remembered(_proto, name)),
    "src_port": (("id.orig_p",), lambda name: remembered(_port, name)),
    "dst_port": (("id.resp_p",), lambda name: remembered(_port, name)),
    "duration": (("duration",), lambda name: timed(name, _span)),
    "packets_out": (("orig_pkts",), lambda name: counted(name, _count)),
    "bytes_out": (("orig_ip_bytes", "orig_bytes"), lambda name: counted(name, _count)),
    "packets_in": (("resp_pkts",), lambda name: counted(name, _count)),
    "bytes_in": (("resp_ip_bytes", "resp_bytes"), lambda name: counted(name, _count)),
    "state": (("conn_state",), lambda name: remembered(_state, name)),
    "src_mac": (("orig_l2_addr",), lambda name: remembered(_text, name)),
    "dst_mac": (("resp_l2_addr",), lambda name: remembered(_text, name)),
    _NUMBER: (("ip_proto",), lambda name: counted(name, _count)),
    _HISTORY: (("history",), lambda name: remembered(_text, name)),
}


def _moment(value: Any, name: str) -> float:
    """Seconds since the epoch, or as ``LogAscii::json_timestamps`` has it ISO 8601 (UTC) or
    milliseconds: those of 1973 and later are above any second before the year 5138."""
    if isinstance(value, str) and "T" in value:
        try:
            written = datetime.fromisoformat(value)
        except ValueError:
            raise BadRow(f"{name} {value[:40]!r} is not a time") from None
        if written.tzinfo is None:
            written = datetime.fromisoformat(value + "+00:00")
        return rows.moment(written.timestamp(), name)
    try:
        if float(value) > _MILLISECONDS:
            value = float(value) / 1000.0
    except (TypeError, ValueError, OverflowError):
        pass  # said by the reading as seconds
    return rows.moment(value, name)


def read_zeek_tsv(lines: TextIO, tally: RowCount) -> Iterator[FlowRecord]:
    separator, table, number = "\t", None, 1
    while block := list(islice(lines, BLOCK)):
        cells: list[list[str]] = []
        where: list[int] = []
        for line in block:
            if line[0] == "#":
                if table is not None:
                    yield from table.take(cells, where, tally)
                cells, where = [], []
                text = line.rstrip("\r\n")
                if text.startswith("#separator"):
                    separator = _separator(text) or separator
                elif text.startswith("#fields"):
                    table = _table(text.split(separator)[1:], f"{tally.name}:{number}")
            elif line.strip():
                if table is None:
                    raise TrafficError(
                        f"{tally.name}:{number}: no #fields line before the first row; give "
                        "conn.log with its header, or JSON lines"
                    )
                cells.append(line.rstrip("\r\n").split(separator))
                where.append(number)
            number += 1
        if table is not None:
            yield from table.take(cells, where, tally)


def _separator(line: str) -> str:
    """``#separator \\x09``"""
    _, _, text = line.partition(" ")
    try:
        return chr(int(text.strip()[2:], 16)) if text.strip()[:2] == "\\x" else text
    except (ValueError, OverflowError):
        return ""


def _table(names: list[str], where: str) -> RowFormat:
    columns = {}
    for field, (spellings, reading) in _COLUMNS.items():
        for name in spellings:
            if name in names:
                columns[field] = names.index(name), reading(name)
                break
    missing = [name for name in ("ts", "src_ip", "dst_ip", "proto") if name not in columns]
    if missing:
        wanted = ", ".join(_COLUMNS[field][0][0] for field in missing)
        raise TrafficError(f"{where}: no field {wanted}: is this Zeek's conn.log?")
    return RowFormat(len(names), columns, _settle)


def _settle(block: Block) -> None:
    """What follows from several columns."""
    protos, ends = block["proto"], block["dst_ip"]
    numbers = block.pop(_NUMBER, None)
    if numbers is not None and "ip" in protos:
        for at, proto in enumerate(protos):
            if proto == "ip" and numbers[at]:
                protos[at] = rows.protocol(numbers[at], "ip_proto")
    if "icmp" in protos:
        for at, proto in enumerate(protos):
            if proto == "icmp" and ":" in ends[at]:
                protos[at] = "icmpv6"
    if not _ASKED.keys().isdisjoint(protos) and "src_port" in block and "dst_port" in block:
        types, codes = block["src_port"], block["dst_port"]
        for at, proto in enumerate(protos):
            if proto in _ASKED:
                codes[at] = _code(proto, types[at], codes[at])
    _turn_round(block, block.pop(_HISTORY, None))
    states = block.get("state")
    if states is not None and "unanswered" in states:
        for at, state in enumerate(states):
            if state == "unanswered" and protos[at] != "tcp" and looks_like_group(ends[at]):
                states[at] = None


_SWAPPED = (("src_ip", "dst_ip"), ("src_port", "dst_port"), ("packets_out", "packets_in"),
            ("bytes_out", "bytes_in"), ("src_mac", "dst_mac"))  # fmt: skip


def _turn_round(block: Block, histories: list[Any] | None) -> None:
    """Turn round what Zeek saw from its middle on: an answer before its request, or TCP without
    an opening whose ports say which end serves."""
    if "src_port" not in block or "dst_port" not in block:
        return
    protos, firsts, seconds = block["proto"], block["src_port"], block["dst_port"]
    for at, proto in enumerate(protos):
        if proto in ANSWERS:
            asked = ANSWERS[proto].get(firsts[at])
            if asked is None or seconds[at] != asked:
                continue
            firsts[at], seconds[at] = 0, asked  # the code of a request, and its type
        elif proto == "tcp" and histories is not None:
            history = histories[at]
            opened = history is None or not _OPENING.isdisjoint(history)
            if opened or not looks_like_reply(firsts[at], seconds[at]):
                continue
        else:
            continue
        for one, other in _SWAPPED:
            if one in block or other in block:
                left, right = (block.setdefault(n, [None] * len(protos)) for n in (one, other))
                left[at], right[at] = right[at], left[at]


def _code(proto: str, kind: int, code: int) -> int:
    return 0 if kind in _ASKED[proto] else code


def read_zeek_json(lines: TextIO, tally: RowCount) -> Iterator[FlowRecord]:
    """Records of the ``conn`` rows; those of other logs describe the same connections again."""
    # One row at a time through the columns' own rules, so both forms mean the same.
    return read_json(lines, tally, _from_json)


def _from_json(row: dict[str, Any]) -> FlowRecord | None:
    path = row.get("_path", row.get("@path", "conn"))
    if path not in _CONNECTIONS:
        return None
    ends = row.get("id")
    if isinstance(ends, dict):
        row = {**row, **{f"id.{name}": value for name, value in ends.items()}}
    block: Block = {}
    for field, (spellings, _) in _COLUMNS.items():
        for name in spellings:
            value = row.get(name)
            if value is not None:
                block[field] = [_VALUES[field](value, name)]
                break
    for field in ("ts", "src_ip", "dst_ip"):
        if field not in block:
            raise BadRow(f"{_COLUMNS[field][0][0]} is missing")
    block.setdefault("proto", ["ip"])
    _settle(block)
    return FlowRecord(**{field: values[0] for field, values in block.items()})


def _word_state(value: Any, name: str) -> State | None:
    return _state(str(value), name)


_VALUES: Mapping[str, Callable[[Any, str], Any]] = {
    "ts": _moment,
    "src_ip": rows.address,
    "dst_ip": rows.address,
    "proto": lambda value, name: _proto(str(value), name),
    "src_port": rows.port,
    "dst_port": rows.port,
    "duration": rows.span,
    "packets_out": rows.count,
    "bytes_out": rows.count,
    "packets_in": rows.count,
    "bytes_in": rows.count,
    "state": _word_state,
    "src_mac": rows.text,
    "dst_mac": rows.text,
    _NUMBER: rows.count,
    _HISTORY: rows.text,
}
