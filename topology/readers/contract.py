"""Contract CSV and JSON lines: the columns are the fields of a flow record."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TextIO

from topology.readers.row_count import RowCount, TrafficError
from topology.readers.rows import NEEDED, BadRow, to_record
from topology.readers.table import BLOCK, CONTRACT, Row, RowFormat
from topology.records import FlowRecord

_LINE_END = re.compile(r"\r\n|\r|\n")


def contract_table(columns: Sequence[str], name: str) -> RowFormat:
    """Raises TrafficError where a needed column is missing. The last of equal names counts."""
    missing = [needed for needed in NEEDED if needed not in columns]
    if missing:
        raise TrafficError(f"{name}:1: {_not_contract(columns, missing)}")
    found = {column: at for at, column in enumerate(columns) if column in CONTRACT}
    return RowFormat(len(columns), {field: (at, CONTRACT[field]()) for field, at in found.items()})


def _not_contract(columns: Sequence[str], missing: Sequence[str]) -> str:
    """What a first line is that names no columns of the contract."""
    first = columns[0] if columns else ""
    if first[:1] in "[{" and first:
        return "JSON that is not one object a line; give lines, as `jq -c '.[]'` writes them"
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(columns) == 1 and set(NEEDED) <= set(first.split(separator)):
            return f"the columns are separated by {word}; give them separated by commas"
    return (
        f"no column {', '.join(missing)}; contract CSV names its columns in the "
        f"first line (at least {', '.join(NEEDED)}). Also read: JSON lines, Zeek conn.log, "
        "nfdump CSV, Suricata eve.json, pcap, pcapng"
    )


def csv_columns(line: str) -> list[str]:
    """The names of a header line."""
    try:
        return [cell.strip().lower() for cell in next(csv.reader([line]), [])]
    except csv.Error:
        return []


def read_contract_csv(lines: TextIO, tally: RowCount) -> Iterator[FlowRecord]:
    header = lines.readline()
    table = contract_table(csv_columns(header), tally.name)
    for block, where in csv_blocks(lines, 2, tally):
        yield from table.take(block, where, tally)


def csv_blocks(
    lines: TextIO, first: int, tally: RowCount
) -> Iterator[tuple[list[Row], Sequence[int]]]:
    """Rows a block at a time, each with the line it begins on; blank lines are no rows."""
    reader = csv.reader(lines)
    while True:
        before = reader.line_num
        block: list[Row] = []
        problem = ""
        try:
            for row in islice(reader, BLOCK):
                block.append(row)
        except csv.Error as error:
            problem = str(error)
        if not block and not problem:
            return
        where: Sequence[int] = range(first + before, first + before + len(block))
        if problem or reader.line_num - before != len(block):
            where = _lines_of(block, first + before)
        if not all(block):
            kept = [at for at, row in enumerate(block) if row]
            block, where = [block[at] for at in kept], [where[at] for at in kept]
        yield block, where
        if problem:
            tally.rows += 1
            tally.note(first + reader.line_num - 1, problem)


def _lines_of(block: Sequence[Row], first: int) -> list[int]:
    """Where each row begins: a quoted cell may hold line ends."""
    where = []
    for row in block:
        where.append(first)
        first += 1 + sum(
            len(_LINE_END.findall(cell)) for cell in row if "\n" in cell or "\r" in cell
        )
    return where


def read_contract_json(lines: TextIO, tally: RowCount) -> Iterator[FlowRecord]:
    return read_json(lines, tally, to_record)


def read_json(
    lines: TextIO, tally: RowCount, convert: Callable[[dict[str, Any]], FlowRecord | None]
) -> Iterator[FlowRecord]:
    """One JSON object a line; ``convert`` may raise BadRow, and gives None for what is no flow."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        tally.rows += 1
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            tally.note(number, "not a JSON object")
            continue
        try:
            record = convert(row)
        except BadRow as problem:
            tally.note(number, str(problem))
        else:
            if record is None:
                tally.rows -= 1
                tally.passed_over += 1
            else:
                yield record
