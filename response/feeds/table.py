"""Feeds in tables: a column with an address or network, and what else the header names.

The header may stand in a comment, as abuse.ch writes it. Without one, the first column that
holds an address in the first row is taken. Columns are separated by commas, semicolons or, as in
DShield's block list, tabs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from policies.model import Service
from policies.semantics.prefixes import Prefix
from response.feeds.entries import (
    Direction,
    Entry,
    FeedError,
    FeedReading,
    endpoint_of,
    port_of,
    prefixes_of,
)
from response.feeds.other_indicators import other_indicator

_ADDRESS: dict[str, Direction] = {
    "cidr": "any", "network": "any", "prefix": "any", "subnet": "any", "range": "any",
    "ip": "any", "ip_address": "any", "ipaddress": "any", "address": "any", "indicator": "any",
    "ioc": "any", "ioc_value": "any", "value": "any", "host": "any",
    "dst_ip": "to", "dstip": "to", "dest_ip": "to", "destination_ip": "to",
    "src_ip": "from", "srcip": "from", "source_ip": "from",
}  # fmt: skip
_RANGES = (
    ("start", "end"), ("first", "last"), ("start_ip", "end_ip"), ("first_ip", "last_ip"),
    ("range_start", "range_end"), ("start_address", "end_address"),
)  # fmt: skip
"""Columns with the first and the last address of a range, where none holds both."""

_TYPE = ("type", "indicator_type", "ioc_type", "attribute_type", "kind")
_DIRECTIONS: dict[str, Direction] = {
    "ip-dst": "to", "ip-dst|port": "to", "ip-src": "from", "ip-src|port": "from",
}  # fmt: skip
"""MISP's types of attributes."""

_DETECT = ("to_ids",)
_PORT = ("dst_port", "dstport", "dest_port", "destination_port", "port", "ports")
_PROTO = ("proto", "protocol")
_CONFIDENCE = ("confidence", "confidence_level")
_STARTS = ("valid_from",)
_ENDS = ("valid_until", "expires", "expiration")
MAX_COLUMNS = 256
_NOT = frozenset({"0", "false", "no"})
_LEVELS = {"none": 0, "low": 15, "med": 50, "medium": 50, "moderate": 50, "high": 85}
"""Confidence in words, as STIX 2.1 (appendix A) turns them into numbers."""


class Columns:
    """Where in a row stands what. ``last`` is the column of a range's last address, if any."""

    def __init__(
        self,
        address: int,
        direction: Direction,
        names: Sequence[str] = (),
        last: int | None = None,
    ) -> None:
        self.address, self.direction, self.last = address, direction, last
        self.named = bool(names)
        self._names = {name: index for index, name in reversed(list(enumerate(names)))}

    def cell(self, row: Sequence[str], wanted: Sequence[str]) -> str:
        """The cell under the first of these names that the table has, or nothing."""
        for name in wanted:
            index = self._names.get(name)
            if index is not None and index < len(row):
                return row[index].strip()
        return ""

    def text(self, row: Sequence[str]) -> str:
        """What the row lists, as written: an address, or ``first-last``."""
        text = row[self.address].strip() if self.address < len(row) else ""
        if self.last is None:
            return text
        return f"{text}-{row[self.last].strip()}" if self.last < len(row) else text


def read_table(text: str) -> FeedReading:
    """The entries of a CSV feed. Raises `FeedError` when no column holds addresses."""
    reading = FeedReading()
    columns: Columns | None = None
    remark: list[str] = []
    for line, row in _rows(text):
        if row and row[0].lstrip().startswith(("#", ";", "//")):
            remark = [row[0].lstrip().lstrip("#;/"), *row[1:]]
            continue
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns = columns_of(remark) if len(remark) == len(row) else None
            if columns is None:
                columns = columns_of(row)
                if columns is not None:
                    continue
                columns = _guessed(row)
        take_row(reading, columns, line, row)
    return reading


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    lines = text.splitlines()
    rows = csv.reader(lines, delimiter=_delimiter(lines), skipinitialspace=True)
    try:
        for row in rows:
            yield rows.line_num, row[:MAX_COLUMNS]
    except csv.Error as problem:
        raise FeedError(f"line {rows.line_num}: not CSV: {problem}") from None


def _delimiter(lines: Iterable[str]) -> str:
    """Of the first line that is no comment: a tab, or a semicolon where no comma is."""
    for line in lines:
        if line.strip() and not line.lstrip().startswith(("#", ";", "//")):
            if "\t" in line:
                return "\t"
            return ";" if ";" in line and "," not in line else ","
    return ","


def columns_of(row: Sequence[str]) -> Columns | None:
    """The columns that a header names; None when none of them holds addresses."""
    names = [cell.strip().strip('"').lower().replace(" ", "_") for cell in row]
    for name, direction in _ADDRESS.items():
        if name in names:
            return Columns(names.index(name), direction, names)
    for first, last in _RANGES:
        if first in names and last in names:
            return Columns(names.index(first), "any", names, names.index(last))
    return None


def _guessed(row: Sequence[str]) -> Columns:
    found = [index for index, cell in enumerate(row) if _is_address(cell.strip())]
    if not found:
        raise FeedError("no column with addresses: name it in a header, as in `cidr,confidence`")
    if len(found) > 1:
        raise FeedError(
            "several columns with addresses: name what they are in a header, as in `start,end`"
        )
    return Columns(found[0], "any")


def _is_address(text: str) -> bool:
    try:
        prefixes_of(endpoint_of(text)[0])
    except ValueError:
        return False
    return True


def take_row(reading: FeedReading, columns: Columns, line: int, row: Sequence[str]) -> None:
    """Add a row's entries, or note why it gives none: unreadable, or of no use here."""
    text = columns.text(row)
    written = columns.cell(row, _TYPE).lower()
    if columns.cell(row, _DETECT).lower() in _NOT:
        reading.passed_over.add(line, text, "its source does not mean it for detection")
        return
    try:
        found, service = _listed(columns, row, text)
        confidence = _confidence(columns.cell(row, _CONFIDENCE))
        starts, ends = (_moment(columns.cell(row, names)) for names in (_STARTS, _ENDS))
    except ValueError as problem:
        other = other_indicator(text, written) if columns.named else None
        if other is None:
            reading.bad.add(line, text, str(problem))
        else:
            reading.passed_over.add(line, text, f"it lists {other}")
        return
    direction = _DIRECTIONS.get(written, columns.direction)
    for prefix in found:
        reading.add(Entry(line, prefix, service, direction, confidence, starts, ends))


def _listed(
    columns: Columns, row: Sequence[str], text: str
) -> tuple[tuple[Prefix, ...], Service | None]:
    """The networks of a row and the one service of them that it lists. Raises ValueError."""
    address, port = endpoint_of(text)
    if port is None and "|" in address:  # MISP's ``ip-dst|port``
        address, _, number = address.partition("|")
        port = port_of(number)
    found = prefixes_of(address)
    proto = columns.cell(row, _PROTO)
    if port is not None:
        return found, Service(port_of("", proto).proto, port.low, port.high) if proto else port
    number = columns.cell(row, _PORT)
    if not number and proto.lower() in ("", "any", "ip", "all"):
        return found, None
    return found, port_of(number, proto)


def _confidence(text: str) -> int | None:
    if not text:
        return None
    if text.lower() in _LEVELS:
        return _LEVELS[text.lower()]
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ValueError("a confidence is 0 to 100, or low, medium or high")
    return round(value)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        return seconds_of(text)
    except ValueError:
        raise ValueError("no time, as in 2027-01-31T00:00:00Z") from None


@lru_cache(maxsize=4096)
def seconds_of(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time; one without a zone is UTC. ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
