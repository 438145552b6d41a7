"""Recorded traffic as distinct connections with counts: initiator, responder, service.

A policy treats all connections between two addresses on one service equally, so a recording is
counted by them before it is judged. Contract CSV is counted straight from its cells, a block of
rows at a time, and each distinct connection checked once; every other form goes through the
ordinary readers.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from policies.review.record_counting import (
    ICMP_WORDS,
    Counts,
    Key,
    RecordedConnection,
    RecordedTraffic,
    connections,
    traffic_from,
)
from topology.gc_tuning import collection_paused
from topology.readers import RecordReader, RowProblem, TrafficError
from topology.readers.row_count import SHOWN
from topology.readers.rows import LATEST, MOST, BadRow, to_record
from topology.records import FlowRecord

__all__ = [
    "RecordedConnection",
    "RecordedTraffic",
    "TrafficReader",
    "connections",
    "read_traffic",
    "traffic_of",
]

BLOCK = 1 << 15  # characters counted together: few enough to stay in the processor's cache
WATCHED = 2048  # records between two calls of who follows the progress
LONGEST_HEADER = 1 << 16
_TOO_FEW = frozenset({"0", "1", "2"})  # packets: a TCP handshake alone takes three
_BARELY = frozenset({"3", "4"})  # packets: with nothing in them, tries that were turned down
_WHOLE_NUMBERS = {
    "packets": MOST, "packets_out": MOST, "packets_in": MOST, "bytes": MOST, "bytes_out": MOST,
    "bytes_in": MOST, "switch": MOST, "in_port": MOST, "src_port": 65_535,
}  # fmt: skip
"""Columns and what they hold at most."""

BARE = 60  # bytes of an IP packet with TCP's header, its options, and nothing in it


def read_traffic(source: str | Path, form: str = "auto") -> RecordedTraffic:
    """Count a recording. Raises TrafficError for one that cannot be read or is mostly bad."""
    return TrafficReader(source, form).read()


class TrafficReader:
    """Counts one recording: a path, or ``-`` for standard input; ``form`` as for `RecordReader`.

    While it is read, ``position`` of ``size`` bytes are done (None: of how many is not known).
    """

    def __init__(self, source: str | Path, form: str = "auto", decapsulate: bool = True) -> None:
        self._source = source
        self._records = RecordReader(source, form=form, decapsulate=decapsulate)
        self._raw: IO[bytes] | None = None
        self.name = self._records.name
        self.size = self._records.size

    @property
    def position(self) -> int:
        return self._records.position if self._raw is None else self._raw.tell()

    @property
    def notes(self) -> list[str]:
        """As of `RecordReader`."""
        return self._records.notes

    def read(self, advance: Callable[[], None] = lambda: None) -> RecordedTraffic:
        """Count all of it; ``advance`` is called now and then. Raises TrafficError."""
        if self.size is None or self._records.form not in ("auto", "contract"):
            return self._from_records(advance)
        try:
            with collection_paused(), Path(self._source).open("rb") as raw:
                self._raw = raw
                binary = gzip.open(raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
                columns = _columns(binary.readline(LONGEST_HEADER))
                if columns is not None:
                    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
                    return _from_cells(columns, text, self.name, advance)
        except OSError as problem:
            raise TrafficError(f"{self.name}: {problem.strerror or problem}") from None
        except (EOFError, zlib.error, ValueError, csv.Error) as problem:
            raise TrafficError(f"{self.name}: damaged or not text ({problem})") from None
        finally:
            self._raw = None
        return self._from_records(advance)

    def _from_records(self, advance: Callable[[], None]) -> RecordedTraffic:
        return traffic_read(self._records, advance)


def _watched(records: Iterable[FlowRecord], advance: Callable[[], None]) -> Iterator[FlowRecord]:
    for number, record in enumerate(records):
        if number % WATCHED == 0:
            advance()
        yield record


def traffic_read(
    records: RecordReader, advance: Callable[[], None] = lambda: None
) -> RecordedTraffic:
    """Count what a reader reads, its bad rows included. Raises TrafficError."""
    counts = Counts()
    for number, record in enumerate(_watched(records, advance), 1):
        _count(counts, record, number)
    return traffic_from(counts, records.rows, records.bad, records.name, records.problems)


def traffic_of(records: Iterable[FlowRecord]) -> RecordedTraffic:
    """Count flow records."""
    counts = Counts()
    total = 0
    for total, record in enumerate(records, 1):
        _count(counts, record, total)
    return traffic_from(counts, total, 0, "the records")


def _count(counts: Counts, record: FlowRecord, line: int) -> None:
    port = record.src_port if record.proto in ICMP_WORDS else record.dst_port
    key = (
        record.src_ip, record.dst_ip, record.proto, str(port),
        record.state or "", record.verdict or "", record.phase,
    )  # fmt: skip
    size = record.bytes
    if size is None:
        size = (record.bytes_out or 0) + (record.bytes_in or 0)
    few = record.packets_in == 0
    if record.packets is not None:
        few = record.packets < 3 or record.packets < 5 and size <= BARE * record.packets
    counts.add([key], [size], [record.ts], [few and record.phase != "start"], [line])


def _columns(header: bytes) -> list[str] | None:
    """The column names of contract CSV, or None for any other form."""
    try:
        cells = next(csv.reader([header.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error):
        return None
    names = [name.strip().lower() for name in cells]
    return names if {"ts", "src_ip", "dst_ip"} <= set(names) else None


def _from_cells(
    columns: Sequence[str], stream: IO[str], name: str, advance: Callable[[], None]
) -> RecordedTraffic:
    counts = Counts()
    problems: list[RowProblem] = []
    total = bad = 0
    start = 2  # the header is line 1
    while text := stream.read(BLOCK) + stream.readline():
        advance()
        block = _plain_block(columns, text)
        if block is None:
            # As the ordinary reader has it, row by row: a bad row must not take others with it.
            lines = list(io.StringIO(text, newline=""))
            where = range(start, start + len(lines))
            for line, text_line in zip(where, lines, strict=True):
                row = next(csv.reader([text_line]), [])  # no cell may span lines
                if not row:
                    continue
                total += 1
                try:
                    _count(counts, _record(columns, row), line)
                except BadRow as problem:
                    bad += 1
                    problems.append(RowProblem(line, str(problem)))
            del problems[SHOWN:]
        else:
            where = range(start, start + len(block.moments))
            total += len(where)
            counts.add(block.keys(), block.sizes, block.moments, block.few(), where)
        start = where.stop
    return traffic_from(counts, total, bad, name, problems)


def _plain_block(columns: Sequence[str], text: str) -> _Block | None:
    """Whole lines as columns, if no cell is quoted and every row is good."""
    if '"' in text:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    cells = text.removesuffix("\n").replace("\n", ",\n,").split(",")
    width = len(columns)
    ends = cells[width :: width + 1]  # a row's end is a cell of its own, where every row is whole
    if len(cells) != len(ends) * (width + 1) + width or ends.count("\n") != len(ends):
        return None
    try:
        return _Block(columns, [cells[at :: width + 1] for at in range(width)])
    except ValueError:
        return None


def _record(columns: Sequence[str], row: Sequence[str]) -> FlowRecord:
    if len(row) != len(columns):
        raise BadRow(f"{len(row)} columns, the header has {len(columns)}")
    return to_record(dict(zip(columns, row, strict=True)))


class _Block:
    """Rows as columns. Raises ValueError if a time or size in them is none."""

    def __init__(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        self._cells = dict(zip(columns, cells, strict=True)) if cells else {}
        self._empty = ("",) * (len(cells[0]) if cells else 0)
        self.moments = list(map(float, self._column("ts")))
        if not all(map(math.isfinite, self.moments)) or min(self.moments, default=0.0) < 0:
            raise ValueError("no time")
        if max(self.moments, default=0.0) >= LATEST:
            raise ValueError("no time in seconds")
        self._check_others()
        self.sizes = self._sizes()

    def _check_others(self) -> None:
        """Raise ValueError for cells that do not count here, and that the ordinary reader may
        find wrong: it has the last word."""
        for name, most in _WHOLE_NUMBERS.items():
            column = self._column(name)
            digits = "".join(column)
            if not digits:
                continue
            longest = max(map(len, column))
            if longest > 18 or not digits.isdecimal():
                raise ValueError("perhaps no whole number")
            if 10**longest > most and max(map(int, filter(None, column))) > most:
                raise ValueError("more than it can be")
        lengths = list(map(float, filter(None, self._column("duration"))))
        if lengths and not (0 <= min(lengths) and max(lengths) < LATEST):  # NaN is neither
            raise ValueError("no duration")

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
            packets = self._column("packets")
            return (
                count in _TOO_FEW or count in _BARELY and size <= BARE * int(count)
                for count, size in zip(packets, self.sizes, strict=True)
            )
        return map("0".__eq__, self._column("packets_in"))
