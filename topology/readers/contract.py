"""Recorded traffic as contract CSV or JSON lines, gzipped or not, from a file or standard input.

The form is told by looking at the bytes, not at the file's name. A bad row is
counted, remembered with its line number and skipped; when more than a tenth of
the rows are bad the file is not what it should be, and reading stops.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from topology.readers.rows import NEEDED, BadRow, to_record
from topology.records import FlowRecord

BAD_SHARE = 0.10
GRACE_ROWS = 100  # rows before the share of bad ones can stop the reading early
SHOWN = 20


class TrafficError(Exception):
    """Recorded traffic that cannot be used; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """``line`` counts from 1, as editors do."""

    line: int
    reason: str


class RecordReader:
    """Iterates over the records of one source (a path, or ``-`` for standard input).

    After (and while) reading: ``rows`` read, ``bad`` among them, the first
    :data:`SHOWN` ``problems``, and ``position`` in ``size`` bytes of the file for
    a progress display (``size`` is None for standard input).
    """

    def __init__(self, source: str | Path, stdin: IO[bytes] | None = None) -> None:
        self.name = "standard input" if str(source) == "-" else str(source)
        self.rows = 0
        self.bad = 0
        self.problems: list[RowProblem] = []
        self.size: int | None = None
        self._raw = self._open(source, stdin)

    @property
    def position(self) -> int:
        """Bytes read so far of the file as it lies on disk."""
        try:
            return self._raw.tell()
        except (OSError, ValueError):
            return 0

    def __iter__(self) -> Iterator[FlowRecord]:
        try:
            yield from self._records()
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise TrafficError(f"{self.name}: the gzip data is damaged or cut short") from None
        except UnicodeDecodeError:
            raise TrafficError(
                f"{self.name}: not text; give contract CSV or JSON lines, gzipped or not"
            ) from None
        finally:
            if self._raw is not sys.stdin.buffer:
                self._raw.close()
        self._judge(final=True)

    def _open(self, source: str | Path, stdin: IO[bytes] | None) -> IO[bytes]:
        if str(source) == "-":
            stream = stdin or sys.stdin.buffer
            return stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]
        path = Path(source)
        try:
            self.size = path.stat().st_size
            return path.open("rb")
        except OSError as problem:
            raise TrafficError(f"{path}: {problem.strerror or problem}") from None

    def _records(self) -> Iterator[FlowRecord]:
        peeked = self._raw.peek(2)[:2]  # type: ignore[attr-defined]
        plain: IO[bytes] = self._raw
        if peeked == b"\x1f\x8b":
            plain = io.BufferedReader(gzip.GzipFile(fileobj=self._raw))
        text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
        try:
            first = text.readline()
            if first.lstrip().startswith("{"):
                yield from self._from_json(first, text)
            elif first.strip():
                yield from self._from_csv(first, text)
        finally:
            text.detach()  # closing the wrapper would close a stdin that is not ours

    def _from_csv(self, header: str, text: io.TextIOWrapper) -> Iterator[FlowRecord]:
        columns = [name.strip().lower() for name in next(csv.reader([header]))]
        missing = [name for name in NEEDED if name not in columns]
        if missing:
            raise TrafficError(
                f"{self.name}:1: no column {', '.join(missing)}; "
                f"the first line must name the columns (at least {', '.join(NEEDED)})"
            )
        width = len(columns)
        reader = csv.reader(text)
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                self.rows += 1
                self._note(reader.line_num + 1, str(problem))
                continue
            if not values:
                continue
            self.rows += 1
            if len(values) != width:
                self._note(reader.line_num + 1, f"{len(values)} columns where {width} are named")
                continue
            record = self._one(dict(zip(columns, values, strict=True)), reader.line_num + 1)
            if record is not None:
                yield record

    def _from_json(self, first: str, text: io.TextIOWrapper) -> Iterator[FlowRecord]:
        number = 0
        line = first
        while line:
            number += 1
            if line.strip():
                self.rows += 1
                try:
                    row: Any = json.loads(line)
                except (ValueError, RecursionError):
                    self._note(number, "not a JSON object")
                else:
                    if isinstance(row, dict):
                        record = self._one(row, number)
                        if record is not None:
                            yield record
                    else:
                        self._note(number, "not a JSON object")
            line = text.readline()

    def _one(self, row: dict[str, Any], line: int) -> FlowRecord | None:
        try:
            return to_record(row)
        except BadRow as problem:
            self._note(line, str(problem))
            return None

    def _note(self, line: int, reason: str) -> None:
        self.bad += 1
        if len(self.problems) < SHOWN:
            self.problems.append(RowProblem(line, reason))
        self._judge(final=False)

    def _judge(self, final: bool) -> None:
        if self.bad > BAD_SHARE * self.rows and (final or self.rows >= GRACE_ROWS):
            first = self.problems[0]
            raise TrafficError(
                f"{self.name}:{first.line}: {first.reason}; {self.bad} of {self.rows} rows "
                "are bad, more than a tenth: is this contract CSV or JSON lines?"
            )


def read_records(source: str | Path) -> Iterator[FlowRecord]:
    """All records of a file, or of standard input for ``-``, in order.

    Raises :class:`TrafficError` when it cannot be opened, is not contract CSV or
    JSON lines, or more than a tenth of its rows are bad. Use :class:`RecordReader`
    to see the bad rows.
    """
    return iter(RecordReader(source))
