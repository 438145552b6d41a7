"""A recording of any supported format, gzipped or not, from a file or standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TextIO

from topology.readers.capture import is_capture, read_capture
from topology.readers.contract import csv_columns, read_contract_csv, read_contract_json
from topology.readers.nfdump import is_nfdump, read_nfdump
from topology.readers.row_count import RowCount, RowProblem, TrafficError
from topology.readers.suricata import read_suricata
from topology.readers.zeek import read_zeek_json, read_zeek_tsv
from topology.records import FlowRecord

FORMS = ("auto", "contract", "zeek", "nfdump", "suricata", "capture")
_ZEEK_KEYS = ('"id.orig_h"', '"orig_h"', '"_path"')
_HEAD = 65_536  # bytes within which the form must show
_GZIP = b"\x1f\x8b"
_READ_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
TextReader = Callable[[TextIO, RowCount], Iterator[FlowRecord]]


class RecordReader:
    """Iterates over the records of one source (a path, or ``-`` for standard input).

    ``form`` is one of :data:`FORMS`; ``auto`` looks at the content, never at the
    file's name. After (and while) reading: ``rows`` given or bad, ``bad`` among
    them, the first 20 ``problems``, and ``position`` in ``size`` bytes of
    the file for a progress display (``size`` is None for standard input).
    ``decapsulate`` reads the packets inside tunnels and mirrored traffic of a capture.
    """

    def __init__(
        self,
        source: str | Path,
        stdin: IO[bytes] | None = None,
        form: str = "auto",
        decapsulate: bool = True,
    ) -> None:
        if form not in FORMS:
            raise TrafficError(f"{form} is no form of recording; choose one of {', '.join(FORMS)}")
        self.name = "standard input" if str(source) == "-" else str(source)
        self.form = form
        self.decapsulate = decapsulate
        self.size: int | None = None
        self._tally = RowCount(self.name)
        self._raw = self._open(source, stdin)

    @property
    def rows(self) -> int:
        return self._tally.rows

    @property
    def bad(self) -> int:
        return self._tally.bad

    @property
    def problems(self) -> list[RowProblem]:
        return self._tally.problems

    @property
    def packets(self) -> int | None:
        """Packets read of a capture; None for every other form."""
        return self._tally.packets

    @property
    def notes(self) -> list[str]:
        """Notes for the user: decapsulated packets, rows and kinds that were skipped."""
        inside = [
            f"{_packets(times)} read inside {kind}" for kind, times in self._tally.layers.items()
        ]
        if self._tally.passed_over:
            inside.append(f"{self._tally.passed_over} rows of other kinds passed over")
        if self._tally.repeated:
            inside.append(f"{self._tally.repeated} rows of a second sensor counted once")
        return inside + [
            f"{_packets(times)} of {kind} not understood"
            for kind, times in self._tally.unknown.most_common()
        ]

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
        except _READ_ERRORS:
            raise TrafficError(f"{self.name}: the gzip data is damaged or cut short") from None
        except UnicodeDecodeError:
            raise TrafficError(
                f"{self.name}: not UTF-8 text (of UTF-16, `iconv -f UTF-16 -t UTF-8` makes that), "
                "and no capture; give contract CSV or JSON lines, Zeek conn.log, nfdump CSV, "
                "Suricata eve.json, pcap or pcapng, gzipped or not"
            ) from None
        except OSError as problem:
            raise TrafficError(f"{self.name}: {problem.strerror or problem}") from None
        finally:
            if self._raw is not sys.stdin.buffer:
                self._raw.close()
        self._tally.judge(final=True)

    def _open(self, source: str | Path, stdin: IO[bytes] | None) -> IO[bytes]:
        if str(source) == "-":
            return stdin or sys.stdin.buffer
        path = Path(source)
        try:
            self.size = path.stat().st_size
            return path.open("rb")
        except (OSError, ValueError) as problem:  # ValueError: a name with a null byte
            reason = getattr(problem, "strerror", None) or problem
            raise TrafficError(f"{path}: {reason}") from None

    def _records(self) -> Iterator[FlowRecord]:
        plain: IO[bytes] = self._raw
        head = _begin(plain, 2)
        if head[:2] == _GZIP:
            plain = gzip.GzipFile(fileobj=_Again(head, plain))  # type: ignore[assignment]
            head = b""
        head = _begin(plain, 4, head)
        stream = io.BufferedReader(_Again(head, plain), _HEAD)
        if self.form == "capture" or (self.form == "auto" and is_capture(head)):
            self._tally.packets = 0
            yield from read_capture(stream, self._tally, self.decapsulate)
            return
        while b"\n" not in head.lstrip() and len(head) < _HEAD:
            more = _some(plain)
            if not more:
                break
            head += more
        stream = io.BufferedReader(_Again(head, plain), _HEAD)
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        self._tally.before = _blank_lines(head)
        for _ in range(self._tally.before):
            lines.readline()
        beginning = head.decode("utf-8-sig", errors="replace").lstrip()
        if beginning:
            yield from self._reading(beginning)(lines, self._tally)

    def _reading(self, beginning: str) -> TextReader:
        """How a text that begins so is read."""
        form = self.form
        is_json = beginning.startswith("{")
        if form == "auto":
            form = _form_of(beginning)
        if form == "zeek":
            return read_zeek_json if is_json else read_zeek_tsv
        if form == "nfdump":
            return read_nfdump
        if form == "suricata":
            return read_suricata
        return read_contract_json if is_json else read_contract_csv


def _packets(number: int) -> str:
    return "1 packet" if number == 1 else f"{number} packets"


def _form_of(beginning: str) -> str:
    line = beginning.partition("\n")[0]
    if beginning.startswith("{"):
        if '"event_type"' in line and '"timestamp"' in line:
            return "suricata"
        return "zeek" if any(name in line for name in _ZEEK_KEYS) else "contract"
    if beginning.startswith("#"):
        return "zeek"
    return "nfdump" if is_nfdump(csv_columns(line)) else "contract"


def _blank_lines(head: bytes) -> int:
    """Blank lines before the first other one."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return text[: len(text) - len(text.lstrip())].count(b"\n")


def _begin(stream: IO[bytes], least: int, head: bytes = b"") -> bytes:
    """``head`` extended to the requested length; shorter only at the end of the stream."""
    while len(head) < least:
        more = _some(stream)
        if not more:
            break
        head += more
    return head


def _some(stream: IO[bytes]) -> bytes:
    """Read what is available now or soon, without waiting for a pipe to fill a buffer."""
    read1 = getattr(stream, "read1", None)
    data = stream.read(_HEAD) if read1 is None else read1(_HEAD)
    return bytes(data or b"")


class _Again(io.RawIOBase):
    """A stream whose beginning was looked at, from its beginning."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._head:
            data, self._head = self._head[: len(view)], self._head[len(view) :]
        else:
            read1 = getattr(self._rest, "read1", self._rest.read)
            data = read1(len(view))
        view[: len(data)] = data
        return len(data)


def read_records(source: str | Path, form: str = "auto") -> Iterator[FlowRecord]:
    """All records of a file, or of standard input for ``-``, in order.

    Raises :class:`TrafficError` when it cannot be opened, has none of the forms
    that are read, or more than a tenth of its rows are bad. Use
    :class:`RecordReader` to see the bad rows.
    """
    return iter(RecordReader(source, form=form))
