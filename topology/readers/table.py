"""Rows of text cells made into records a block of rows at a time, column by column.

Most cells of a recording repeat (addresses, ports, protocols), so each distinct one is parsed once;
a column of numbers is converted at the speed of ``map``. Only a block with a bad row is processed
row by row, to find that row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from math import isfinite
from typing import Any, TypeVar

import msgspec

from topology.readers import rows
from topology.readers.row_count import RowCount
from topology.readers.rows import LATEST, MOST, BadRow
from topology.records import FlowRecord

BLOCK = 512  # rows
KEPT = 65_536  # distinct cells remembered for a column

T = TypeVar("T")
Cells = Sequence[str]
Row = Sequence[str]
Column = Callable[[Cells], list[Any]]
Parse = Callable[[Any, str], T]
# What is known of a block, by field of the record; a hook may change it.
Block = dict[str, list[Any]]
Hook = Callable[[Block], None]
_ABSENT: dict[str, Any] = {
    each.name: each.default for each in msgspec.structs.fields(FlowRecord) if not each.required
} | {"proto": "ip"}


class _Memo(dict[str, T]):
    """Parses each distinct cell once."""

    def __init__(self, parse: Parse[T], name: str) -> None:
        super().__init__()
        self._parse = parse
        self._name = name

    def __missing__(self, cell: str) -> T:
        value = self._parse(cell, self._name)
        if len(self) >= KEPT:
            self.clear()
        self[cell] = value
        return value


def remembered(parse: Parse[Any], name: str) -> Column:
    """A column with few distinct cells."""
    memo = _Memo(parse, name)

    def column(cells: Cells) -> list[Any]:
        return list(map(memo.__getitem__, cells))

    return column


def counted(name: str, parse: Parse[Any] = rows.count) -> Column:
    """A column of counts, most of them plain numbers."""
    exactly = remembered(parse, name)

    def column(cells: Cells) -> list[Any]:
        try:
            values = list(map(int, cells))
        except ValueError:
            return exactly(cells)
        return values if min(values) >= 0 and max(values) <= MOST else exactly(cells)

    return column


def timed(name: str, parse: Parse[float]) -> Column:
    """A column of seconds."""

    def column(cells: Cells) -> list[Any]:
        try:
            values = list(map(float, cells))
        except ValueError:
            return [parse(cell, name) for cell in cells]
        if all(map(isfinite, values)) and min(values) >= 0 and max(values) < LATEST:
            return values
        return [parse(cell, name) for cell in cells]

    return column


CONTRACT: Mapping[str, Callable[[], Column]] = {
    "ts": lambda: timed("ts", _needed_moment),
    "src_ip": lambda: remembered(rows.address, "src_ip"),
    "dst_ip": lambda: remembered(rows.address, "dst_ip"),
    "proto": lambda: remembered(rows.protocol, "proto"),
    "src_port": lambda: remembered(rows.port, "src_port"),
    "dst_port": lambda: remembered(rows.port, "dst_port"),
    "duration": lambda: timed("duration", rows.span),
    "packets_out": lambda: counted("packets_out"),
    "bytes_out": lambda: counted("bytes_out"),
    "packets_in": lambda: counted("packets_in"),
    "bytes_in": lambda: counted("bytes_in"),
    "packets": lambda: counted("packets"),
    "bytes": lambda: counted("bytes"),
    "state": lambda: remembered(rows.state, "state"),
    "phase": lambda: remembered(rows.phase, "phase"),
    "verdict": lambda: remembered(rows.verdict, "verdict"),
    "intent": lambda: remembered(rows.text, "intent"),
    "switch": lambda: counted("switch"),
    "in_port": lambda: counted("in_port"),
    "src_mac": lambda: remembered(rows.text, "src_mac"),
    "dst_mac": lambda: remembered(rows.text, "dst_mac"),
}  # how contract CSV writes each field of a record


def _needed_moment(cell: Any, name: str) -> float:
    if cell == "":
        raise BadRow(f"{name} is missing")
    return rows.moment(cell, name)


class RowFormat:
    """How rows of one width become records.

    ``columns`` gives for a field the cell it is in and how that is read; ``also``
    are columns that only ``hook`` looks at, to set fields that follow from several.
    """

    def __init__(
        self, width: int, columns: Mapping[str, tuple[int, Column]], hook: Hook | None = None
    ) -> None:
        self.width = width
        self._columns = dict(columns)
        self._hook = hook

    def records(self, block: Sequence[Row]) -> Iterator[FlowRecord]:
        """Raises :class:`BadRow` before the first record if any row is bad."""
        cells = list(zip(*block, strict=True))
        values = {name: read(cells[at]) for name, (at, read) in self._columns.items()}
        if self._hook is not None:
            self._hook(values)
        columns: Iterable[Iterable[Any]] = [
            values[name] if name in values else repeat(_ABSENT.get(name))
            for name in FlowRecord.__struct_fields__
        ]
        return map(FlowRecord, *columns)

    def take(
        self, block: Sequence[Row], lines: Sequence[int], tally: RowCount
    ) -> Iterator[FlowRecord]:
        """The records of the rows on these lines; bad rows are noted."""
        if not block:
            return
        if set(map(len, block)) == {self.width}:
            try:
                records = self.records(block)
            except BadRow:
                pass
            else:
                for record in records:
                    tally.rows += 1
                    yield record
                return
        for row, line in zip(block, lines, strict=True):
            tally.rows += 1
            try:
                if len(row) != self.width:
                    raise BadRow(f"{len(row)} columns where {self.width} are named")
                (record,) = self.records([row])
            except BadRow as problem:
                tally.note(line, str(problem))
            else:
                yield record
