"""nfdump's CSV (``nfdump -o csv``), as 1.6 and 1.7.0 to 1.7.4 write it and as later ones do.

A row of NetFlow is one direction of a connection. Each row becomes one record: the first direction
seen a whole connection without counters of the way back, the other one the ``end`` of that
connection with nothing but them. The initiator is inferred from the order of the rows, the ports
and the TCP flags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from topology.readers import rows
from topology.readers.contract import csv_blocks, csv_columns
from topology.readers.one_way_rows import Lookahead, OneWayPairs, RowsSeenTwice
from topology.readers.row_count import RowCount, TrafficError
from topology.readers.rows import BadRow
from topology.readers.table import Block, Column, Row, RowFormat, counted, remembered, timed
from topology.records import FlowRecord, State

_SUMMARY = ("summary", "summary:")
_NO_ROWS = frozenset({"no matching flows", "no matched flows"})


def _moment(value: Any, name: str) -> float:
    """``2024-06-28 23:17:41.123`` (read as UTC), or seconds or milliseconds since the epoch."""
    if value == "":
        raise BadRow(f"{name} is missing")
    try:
        number = float(value)
    except ValueError:
        try:
            written = datetime.fromisoformat(value.strip())
            return rows.moment(written.replace(tzinfo=written.tzinfo or UTC).timestamp(), name)
        except (ValueError, OverflowError):
            raise BadRow(f"{name} {value[:40]!r} is not a time") from None
    return rows.moment(number / 1000.0 if number > 1e11 else number, name)


def _span(value: Any, name: str) -> float:
    """Seconds, or ``[DAYSd] HH:MM:SS.mmm``."""
    parts = value.replace("d", ":").replace(" ", "").split(":")
    if len(parts) == 1:
        return rows.span(value, name)
    seconds = 0.0
    for part, worth in zip(reversed(parts), (1, 60, 3600, 86_400), strict=False):
        seconds += rows.span(part, name) * worth
    return rows.span(seconds, name)


def _port(value: Any, name: str) -> int:
    """A port; for ICMP ``8.0`` (type and code) becomes 8 * 256 + 0, as others write it."""
    kind, dot, code = value.strip().partition(".")
    if dot and kind.isdecimal() and code.isdecimal() and int(kind) < 256 and int(code) < 256:
        return int(kind) * 256 + int(code)
    return rows.port(value.strip(), name)


def _flags(value: Any, name: str) -> str:
    """The set TCP flags: letters (``.AP.SF``), or a number in later versions."""
    word = str(value).strip().upper()
    if word.startswith("0X") or word.isdecimal():
        try:
            bits = int(word, 16 if word.startswith("0X") else 10)
        except ValueError:
            return ""
        return "".join(letter for at, letter in enumerate("FSRPAU") if bits >> at & 1)
    return word.replace(".", "")


def _dropped(value: Any, name: str) -> bool:
    """Whether the forwarding status (RFC 7270, section 4.12) is one of dropping: 128 to 191."""
    word = str(value).strip()
    return word.isascii() and word.isdecimal() and int(word[:6]) >> 6 == 2


# Field of the record, or `flags`, `forwarding` and `last`: names in either header, how it is read.
_COLUMNS: Mapping[str, tuple[tuple[str, ...], Callable[[str], Column]]] = {
    "ts": (("ts", "firstseen"), lambda name: _moments(name)),
    "duration": (("td", "duration"), lambda name: timed(name, _span)),
    "src_ip": (("sa", "srcaddr"), lambda name: remembered(rows.address, name)),
    "dst_ip": (("da", "dstaddr"), lambda name: remembered(rows.address, name)),
    "src_port": (("sp", "srcport"), lambda name: remembered(_port, name)),
    "dst_port": (("dp", "dstport"), lambda name: remembered(_port, name)),
    "proto": (("pr", "proto"), lambda name: remembered(rows.protocol, name)),
    "packets_out": (("ipkt", "packets", "inpackets"), counted),
    "bytes_out": (("ibyt", "bytes", "inbytes"), counted),
    "packets_in": (("opkt", "outpackets"), counted),
    "bytes_in": (("obyt", "outbytes"), counted),
    "last": (("te", "lastseen"), lambda name: _moments(name)),
    "flags": (("flg", "flags"), lambda name: remembered(_flags, name)),
    "forwarding": (("fwd", "fwdstatus"), lambda name: remembered(_dropped, name)),
}


def _moments(name: str) -> Column:
    def column(cells: Sequence[str]) -> list[Any]:
        return [_moment(cell, name) for cell in cells]

    return column


def is_nfdump(columns: Sequence[str]) -> bool:
    names = set(columns)
    return {"ts", "sa", "da"} <= names or {"firstseen", "srcaddr", "dstaddr"} <= names


def read_nfdump(lines: TextIO, tally: RowCount) -> Iterator[FlowRecord]:
    first = lines.readline()
    columns = csv_columns(first)
    if not is_nfdump(columns):
        raise TrafficError(
            f"{tally.name}:1: not the header line of `nfdump -o csv`, which has columns "
            "ts,sa,da,... or firstSeen,srcAddr,dstAddr,..."
        )
    if columns[-1] == "":
        columns.pop()  # some versions end the header, but no row, with a comma
    table = _table(columns)
    seen, waiting, pairs = RowsSeenTwice(), Lookahead(), OneWayPairs()
    footer = False
    for block, where in csv_blocks(lines, 2, tally):
        kept: list[Row] = []
        at: list[int] = []
        for row, line in zip(block, where, strict=True):
            word = row[0].strip().lower()
            if word == columns[0]:  # files put one after the other
                footer = False
            elif word.startswith(_SUMMARY) or (len(row) == 1 and word in _NO_ROWS):
                footer = True
            elif not footer:
                kept.append(row)
                at.append(line)
        for record in table.take(kept, at, tally):
            if seen.repeats(record):
                tally.repeated += 1
                continue
            read = tally.rows
            for each, tally.rows, reply in waiting.take(record, read):
                yield pairs.oriented(each, reply)
            tally.rows = read
    read = tally.rows
    for each, tally.rows, reply in waiting.rest():
        yield pairs.oriented(each, reply)
    tally.rows = read


def _table(names: Sequence[str]) -> RowFormat:
    columns = {}
    for field, (spellings, reading) in _COLUMNS.items():
        for name in spellings:
            if name in names:
                columns[field] = names.index(name), reading(name)
                break
    return RowFormat(len(names), columns, _settle)


def _settle(block: Block) -> None:
    """What follows from several columns."""
    lasts, flags = block.pop("last", None), block.pop("flags", None)
    dropped = block.pop("forwarding", ())
    if lasts is not None and "duration" not in block:
        block["duration"] = [
            max(0.0, last - first) for first, last in zip(block["ts"], lasts, strict=True)
        ]
    protos = block.get("proto", [])
    if not {"icmp", "icmpv6"}.isdisjoint(protos) and "dst_port" in block:
        types, codes = block.setdefault("src_port", [0] * len(protos)), block["dst_port"]
        for at, proto in enumerate(protos):
            if proto in ("icmp", "icmpv6"):
                types[at], codes[at] = divmod(codes[at], 256)
    for name in ("packets_in", "bytes_in"):
        if name in block:  # 0 where the exporter counts one direction only
            block[name] = [number or None for number in block[name]]
    if flags is not None:
        block["state"] = list(map(_state, protos, flags))
    if any(dropped):
        states = block.setdefault("state", [None] * len(dropped))
        for at, each in enumerate(dropped):
            if each:
                states[at] = "denied"


def _state(proto: str, flags: str) -> State | None:
    """From the flags of one direction."""
    if proto != "tcp" or not flags:
        return None
    if set(flags) == {"S"}:
        return "unanswered"  # who got an answer acknowledges or resets it
    if "R" in flags and set(flags) <= {"R", "A"}:
        return "rejected"  # a lone reset: what the other end asked for
    return "established" if "S" in flags else None
