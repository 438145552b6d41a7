"""Recorded traffic as the connections it amounts to: who spoke to whom on what, and how often.

A policy treats all connections between two addresses on one service alike, so
a recording is counted by them before it is judged. Contract CSV is counted
straight from its cells, a block of rows at a time, and each distinct
connection checked once; every other form goes through the ordinary readers.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from policies.counting import ICMP_WORDS, Counts, Key, Seen, Traffic, connections, traffic_from
from policies.pause import collection_paused
from topology.readers import TrafficError, read_records
from topology.records import FlowRecord

__all__ = ["Seen", "Traffic", "connections", "read_traffic", "traffic_of"]

BLOCK = 2048  # rows counted together: few enough to stay in the processor's cache
LONGEST_HEADER = 1 << 16
_TOO_FEW = frozenset({"0", "1", "2"})  # packets: a TCP handshake alone takes three


def read_traffic(source: str | Path) -> Traffic:
    """Count a recording. Raises TrafficError for one that cannot be read or is mostly bad."""
    if str(source) == "-":
        return traffic_of(read_records(source))
    try:
        with collection_paused(), _open(Path(source)) as binary:
            columns = _columns(binary.readline(LONGEST_HEADER))
            if columns is not None:
                text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
                return _from_cells(columns, text, str(source))
    except OSError as problem:
        raise TrafficError(f"{source}: {problem.strerror or problem}") from None
    except (EOFError, zlib.error, ValueError, csv.Error) as problem:
        raise TrafficError(f"{source}: damaged or not text ({problem})") from None
    return traffic_of(read_records(source))


def traffic_of(records: Iterable[FlowRecord]) -> Traffic:
    """Count flow records."""
    counts = Counts()
    total = 0
    for total, record in enumerate(records, 1):
        port = record.src_port if record.proto in ICMP_WORDS else record.dst_port
        verdict = "deny" if record.verdict == "deny" else ""
        key = (
            record.src_ip, record.dst_ip, record.proto, str(port),
            record.state or "", verdict, record.phase,
        )  # fmt: skip
        size = record.bytes
        if size is None:
            size = (record.bytes_out or 0) + (record.bytes_in or 0)
        few = record.packets is not None and record.packets < 3 or record.packets_in == 0
        counts.add([key], [size], [record.ts], [few and record.phase != "start"], [total])
    return traffic_from(counts, total, 0, "the records")


def _open(path: Path) -> IO[bytes]:
    raw = path.open("rb")
    if raw.peek(2)[:2] == b"\x1f\x8b":
        return gzip.open(raw)  # type: ignore[return-value]
    return raw


def _columns(header: bytes) -> list[str] | None:
    """The column names of contract CSV, or None for any other form."""
    try:
        cells = next(csv.reader([header.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error):
        return None
    names = [name.strip().lower() for name in cells]
    return names if {"ts", "src_ip", "dst_ip"} <= set(names) else None


def _from_cells(columns: Sequence[str], text: Iterable[str], name: str) -> Traffic:
    counts = Counts()
    total = bad = 0
    start = 2  # the header is line 1
    stream = iter(text)
    while lines := list(islice(stream, BLOCK)):
        where: Sequence[int] = range(start, start + len(lines))
        block = _plain_block(columns, lines)
        if block is None:
            # Row by row, as a bad row must not take others with it. No cell may span lines.
            rows = [next(csv.reader([line]), []) for line in lines]
            good = [at for at, row in enumerate(rows) if _is_good(columns, row)]
            total += sum(map(bool, rows))
            bad += sum(map(bool, rows)) - len(good)
            where = [where[at] for at in good]
            block = _Block(columns, list(zip(*(rows[at] for at in good), strict=True)))
        else:
            total += len(lines)
        counts.add(block.keys(), block.sizes, block.moments, block.few(), where)
        start += len(lines)
    return traffic_from(counts, total, bad, name)


def _plain_block(columns: Sequence[str], lines: Sequence[str]) -> _Block | None:
    """The lines as columns, if no cell is quoted and every row is good."""
    commas = len(columns) - 1
    text = "".join(lines)
    if '"' in text or {line.count(",") for line in lines} != {commas}:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    cells = text.removesuffix("\n").replace("\n", ",").split(",")
    if len(cells) != len(lines) * len(columns):
        return None
    try:
        return _Block(columns, [cells[at :: len(columns)] for at in range(len(columns))])
    except ValueError:
        return None


def _is_good(columns: Sequence[str], row: Sequence[str]) -> bool:
    try:
        return len(row) == len(columns) and bool(_Block(columns, [[cell] for cell in row]).moments)
    except ValueError:
        return False


class _Block:
    """Rows as columns. Raises ValueError if a time or size in them is none."""

    def __init__(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        self._cells = dict(zip(columns, cells, strict=True)) if cells else {}
        self._empty = ("",) * (len(cells[0]) if cells else 0)
        self.moments = list(map(float, self._column("ts")))
        if not all(map(math.isfinite, self.moments)) or min(self.moments, default=0.0) < 0:
            raise ValueError("no time")
        self.sizes = self._sizes()

    def _column(self, name: str) -> Sequence[str]:
        return self._cells.get(name, self._empty)

    def _sizes(self) -> list[int]:
        whole, out, back = (self._column(c) for c in ("bytes", "bytes_out", "bytes_in"))
        if all(whole):
            return list(map(int, whole))
        if all(out) and all(back) and not any(whole):
            return list(map(int.__add__, map(int, out), map(int, back)))
        return [
            int(both) if both else int(one or 0) + int(other or 0)
            for both, one, other in zip(whole, out, back, strict=True)
        ]

    def keys(self) -> Iterator[Key]:
        protos, ports = self._column("proto"), self._column("dst_port")
        if not ICMP_WORDS.isdisjoint({word.lower() for word in set(protos)}):
            ports = [
                kind if word.lower() in ICMP_WORDS else port
                for word, kind, port in zip(protos, self._column("src_port"), ports, strict=True)
            ]
        ends = (self._column("src_ip"), self._column("dst_ip"))
        marks = (self._column(c) for c in ("state", "verdict", "phase"))
        return zip(*ends, protos, ports, *marks, strict=True)

    def few(self) -> Iterator[bool]:
        """Whether each row tells too few packets for a TCP connection to have come about."""
        if "packets" in self._cells:
            return map(_TOO_FEW.__contains__, self._column("packets"))
        return map("0".__eq__, self._column("packets_in"))
