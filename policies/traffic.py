"""Recorded traffic as the connections it amounts to: who spoke to whom on what, and how often.

A policy treats all connections between two addresses on one service alike, so
a recording is counted by them before it is judged. Contract CSV is counted
straight from its cells, each distinct connection checked once; every other
form goes through the ordinary readers.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import IO

from policies import scalars
from policies.model import ICMP, ICMPV6, PROTOCOL_NUMBERS, Address, Connection
from topology.readers import TrafficError, read_records
from topology.records import FlowRecord

BAD_SHARE = 0.10
_PROTOCOLS = PROTOCOL_NUMBERS | {
    "igmp": 2, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "ospf": 89,
    "pim": 103, "vrrp": 112, "udplite": 136,
}  # fmt: skip
_ICMP_WORDS = frozenset({"icmp", "1", "icmpv6", "ipv6-icmp", "58"})
_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
_BLOCKED = frozenset({"denied", "deny"})
# A key in text: source, target, protocol, port (or ICMP type), and whether it was let through.
Key = tuple[str, str, str, str, bool]


@dataclass(slots=True)
class Seen:
    """What was recorded of one kind of connection; times in seconds since the epoch."""

    connections: int = 0
    bytes: int = 0
    last: float = 0.0
    line: int = 0

    def add(self, other: Seen) -> None:
        self.connections += other.connections
        self.bytes += other.bytes
        self.last = max(self.last, other.last)


@dataclass(slots=True)
class Traffic:
    """Distinct connections with their counts, split by whether the network let them through.

    ``records`` were read, ``bad`` of them left out; ``unjudged`` name no
    protocol that a policy could judge.
    """

    carried: list[tuple[Connection, Seen]] = field(default_factory=list)
    blocked: list[tuple[Connection, Seen]] = field(default_factory=list)
    records: int = 0
    bad: int = 0
    unjudged: int = 0

    @property
    def newest(self) -> float:
        return max((seen.last for _, seen in (*self.carried, *self.blocked)), default=0.0)


def read_traffic(source: str | Path) -> Traffic:
    """Count a recording. Raises TrafficError for one that cannot be read or is mostly bad."""
    if str(source) == "-":
        return traffic_of(read_records(source))
    try:
        with _open(Path(source)) as binary:
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
            columns = _columns(text.readline())
            if columns is not None:
                return _from_cells(columns, text, str(source))
    except OSError as problem:
        raise TrafficError(f"{source}: {problem.strerror or problem}") from None
    except (EOFError, zlib.error, UnicodeDecodeError, csv.Error) as problem:
        raise TrafficError(f"{source}: damaged or not text ({problem})") from None
    return traffic_of(read_records(source))


def traffic_of(records: Iterable[FlowRecord]) -> Traffic:
    """Count flow records."""
    counts: dict[Key, Seen] = {}
    total = 0
    for total, record in enumerate(records, 1):
        icmp = record.proto in _ICMP_WORDS
        port = record.src_port if icmp else record.dst_port
        through = record.state not in _BLOCKED and record.verdict not in _BLOCKED
        key = (record.src_ip, record.dst_ip, record.proto, str(port), through)
        seen = counts.get(key)
        if seen is None:
            seen = counts[key] = Seen(line=total)
        # An end repeats a connection whose start was counted.
        seen.connections += record.phase != "end" or not seen.connections
        size = record.bytes
        seen.bytes += (record.bytes_out or 0) + (record.bytes_in or 0) if size is None else size
        seen.last = max(seen.last, record.ts)
    return _checked(counts, total, 0, "the records")


def _open(path: Path) -> IO[bytes]:
    raw = path.open("rb")
    if raw.peek(2)[:2] == b"\x1f\x8b":
        return gzip.open(raw)  # type: ignore[return-value]
    return raw


def _columns(header: str) -> list[str] | None:
    """The column names of contract CSV, or None for any other form."""
    names = [name.strip().lower() for name in next(csv.reader([header]), [])]
    return names if {"ts", "src_ip", "dst_ip"} <= set(names) else None


def _from_cells(columns: Sequence[str], lines: Iterable[str], name: str) -> Traffic:
    cell = _cell_readers(columns)
    source, target, proto, port, kind = (
        cell(c) for c in ("src_ip", "dst_ip", "proto", "dst_port", "src_port")
    )
    state, verdict, phase = cell("state"), cell("verdict"), cell("phase")
    labelled = {"state", "verdict", "phase"} & set(columns)
    sizes = [columns.index(c) for c in ("bytes", "bytes_out", "bytes_in") if c in columns]
    when = columns.index("ts")
    width = len(columns)
    counts: dict[Key, Seen] = {}
    total = bad = 0
    for row in csv.reader(lines):
        if not row:
            continue
        total += 1
        if len(row) != width:
            bad += 1
            continue
        word = proto(row)
        through, again = True, False
        if labelled:
            through = state(row) not in _BLOCKED and verdict(row) not in _BLOCKED
            again = phase(row) == "end"
        key = (
            source(row),
            target(row),
            word,
            kind(row) if word.lower() in _ICMP_WORDS else port(row),
            through,
        )
        try:
            moment = float(row[when])
            size = 0
            for index in sizes:
                if text := row[index]:
                    size += int(text)
                    if index == sizes[0] and columns[index] == "bytes":
                        break
        except ValueError:
            bad += 1
            continue
        seen = counts.get(key)
        if seen is None:
            seen = counts[key] = Seen(line=total + 1)
        seen.connections += not again or not seen.connections
        seen.bytes += size
        if moment > seen.last:
            seen.last = moment
    return _checked(counts, total, bad, name)


def _cell_readers(columns: Sequence[str]) -> Callable[[str], Callable[[list[str]], str]]:
    def reader(name: str) -> Callable[[list[str]], str]:
        if name in columns:
            return itemgetter(columns.index(name))
        return lambda row: ""

    return reader


def _checked(counts: dict[Key, Seen], total: int, bad: int, name: str) -> Traffic:
    """Turn counted text into connections; what cannot be one is bad, as often as it was seen."""
    traffic = Traffic(records=total, bad=bad)
    addresses: dict[str, Address] = {}
    # Numbers hash many times faster than addresses do.
    known: dict[tuple[int, int, int, int, int, bool], Seen] = {}
    problem = ""
    for (source, target, proto, port, through), seen in counts.items():
        try:
            ends = [_address(text, addresses) for text in (source, target)]
            number = _protocol(proto)
            if number is None:
                traffic.unjudged += seen.connections
                continue
            connection = Connection(ends[0], ends[1], number, _port(port, number))
            if ends[0].version != ends[1].version or not math.isfinite(seen.last):
                raise ValueError("ends of two address families, or no time")
        except ValueError as error:
            problem = problem or f"{name}:{seen.line}: {error}"
            traffic.bad += seen.connections
            continue
        src, dst = connection.src, connection.dst
        same = (src.version, int(src), int(dst), number, connection.port, through)
        if (first := known.setdefault(same, seen)) is not seen:
            first.add(seen)  # written in two ways, as 6 and as tcp
        else:
            (traffic.carried if through else traffic.blocked).append((connection, seen))
    if traffic.bad > BAD_SHARE * total:
        where = problem or name
        raise TrafficError(f"{where}; {traffic.bad} of {total} rows are bad, more than a tenth")
    return traffic


def _address(text: str, known: dict[str, Address]) -> Address:
    if text not in known:
        known[text] = scalars.address(text.strip())
    return known[text]


def _protocol(text: str) -> int | None:
    word = text.strip().lower()
    if word.isascii() and word.isdigit():
        if int(word) > 255:
            raise ValueError(f"'{text}' is not a protocol")
        return int(word)
    return _PROTOCOLS.get(word)


def _port(text: str, proto: int) -> int:
    """A port, or ICMP's type; a recording that names no type is taken for pings."""
    word = text.strip()
    if not word or word == "None":
        return _ECHO_REQUEST.get(proto, 0)
    value = int(word, 16) if word[:2] in ("0x", "0X") else int(word)
    if not 0 <= value <= 65_535:
        raise ValueError(f"'{text}' is not a port")
    return value


def connections(traffic: Traffic) -> Iterator[tuple[Connection, Seen, bool]]:
    """Every distinct connection, what was seen of it, and whether it got through."""
    for connection, seen in traffic.carried:
        yield connection, seen, True
    for connection, seen in traffic.blocked:
        yield connection, seen, False
