"""CSV feeds: a column with an address or network, and what else the header names.

The header may stand in a comment, as abuse.ch writes it. Without one, the first column that
holds an address in the first row is taken.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from policies.model import Service
from response.feeds.entries import Direction, Entry, FeedError, FeedReading, port_of, prefixes_of

_ADDRESS: dict[str, Direction] = {
    "cidr": "any", "network": "any", "prefix": "any", "subnet": "any", "range": "any",
    "ip": "any", "ip_address": "any", "ipaddress": "any", "address": "any", "indicator": "any",
    "ioc": "any", "ioc_value": "any", "value": "any", "host": "any",
    "dst_ip": "to", "dstip": "to", "dest_ip": "to", "destination_ip": "to",
    "src_ip": "from", "srcip": "from", "source_ip": "from",
}  # fmt: skip
_PORT = ("dst_port", "dstport", "dest_port", "destination_port", "port", "ports")
_PROTO = ("proto", "protocol")
_CONFIDENCE = ("confidence", "confidence_level")
_STARTS = ("valid_from",)
_ENDS = ("valid_until", "expires", "expiration")
MAX_COLUMNS = 256


class Columns:
    """Where in a row stands what."""

    def __init__(self, address: int, direction: Direction, names: Sequence[str] = ()) -> None:
        self.address, self.direction = address, direction
        self._names = {name: index for index, name in reversed(list(enumerate(names)))}

    def cell(self, row: Sequence[str], wanted: Sequence[str]) -> str:
        """The cell under the first of these names that the table has, or nothing."""
        for name in wanted:
            index = self._names.get(name)
            if index is not None and index < len(row):
                return row[index].strip()
        return ""


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
            columns = _header(remark) if len(remark) == len(row) else None
            if columns is None:
                columns = _header(row)
                if columns is not None:
                    continue
                columns = _guessed(row)
        _take(reading, columns, line, row)
    return reading


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        for row in rows:
            yield rows.line_num, row[:MAX_COLUMNS]
    except csv.Error as problem:
        raise FeedError(f"line {rows.line_num}: not CSV: {problem}") from None


def _header(row: Sequence[str]) -> Columns | None:
    names = [cell.strip().strip('"').lower().replace(" ", "_") for cell in row]
    for name, direction in _ADDRESS.items():
        if name in names:
            return Columns(names.index(name), direction, names)
    return None


def _guessed(row: Sequence[str]) -> Columns:
    for index, cell in enumerate(row):
        try:
            prefixes_of(cell.strip())
        except ValueError:
            continue
        return Columns(index, "any")
    raise FeedError("no column with addresses: name it in a header, as in `cidr,confidence`")


def _take(reading: FeedReading, columns: Columns, line: int, row: Sequence[str]) -> None:
    text = row[columns.address].strip() if columns.address < len(row) else ""
    try:
        service = _service(columns, row)
        confidence = _confidence(columns.cell(row, _CONFIDENCE))
        starts, ends = (_moment(columns.cell(row, names)) for names in (_STARTS, _ENDS))
        found = prefixes_of(text)
    except ValueError as problem:
        reading.bad.add(line, text, str(problem))
        return
    for prefix in found:
        direction = columns.direction
        reading.add(Entry(line, prefix, service, direction, confidence, starts, ends))


def _service(columns: Columns, row: Sequence[str]) -> Service | None:
    port, proto = columns.cell(row, _PORT), columns.cell(row, _PROTO)
    if not port and proto.lower() in ("", "any", "ip", "all"):
        return None
    return port_of(port, proto)


def _confidence(text: str) -> int | None:
    if not text:
        return None
    value = float(text.removesuffix("%"))
    if not 0 <= value <= 100:
        raise ValueError("a confidence is 0 to 100")
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
