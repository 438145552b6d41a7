"""Feeds in JSON: objects with an address, as a list, one a line, or inside other objects.

Reads what Spamhaus DROP, Feodo Tracker, ThreatFox, AlienVault OTX and MISP publish. Any object
that has a key like a table's address column (`response.feeds.table`) is a row; objects without
one are looked into, and those with nothing but plain values are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from response.feeds.entries import FeedError, FeedReading
from response.feeds.table import MAX_COLUMNS, Columns, columns_of, take_row

MAX_DEPTH = 8
"""Objects and lists in one another; MISP's events have five."""


def read_json(text: str) -> FeedReading:
    """The entries of a JSON feed; ``line`` of an entry is the number of its object, from 1.

    Raises `FeedError` for what is no JSON, and where no object has an address.
    """
    reading = FeedReading()
    known: dict[tuple[str, ...], Columns | None] = {}
    number = 0
    for value in _values(text):
        for row in _objects(value, 0):
            number += 1
            names = tuple(row)[:MAX_COLUMNS]
            if names not in known:
                known[names] = columns_of(names)
            columns = known[names]
            if columns is None:
                reading.passed_over.add(number, ", ".join(names), "no address in it")
            else:
                take_row(reading, columns, number, [_cell(row[name]) for name in names])
    if number and not any(known.values()):
        raise FeedError('no object with an address: name it as in `{"cidr": "192.0.2.0/24"}`')
    return reading


def _values(text: str) -> Iterator[Any]:
    """The one JSON value of a text, or those of its lines."""
    try:
        yield json.loads(text)
        return
    except RecursionError:
        raise FeedError("not JSON: nested too deeply") from None
    except ValueError as problem:
        if "\n" not in text.strip():
            raise FeedError(f"not JSON: {str(problem)[:100]}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise FeedError(f"line {number}: not JSON: {str(problem)[:100]}") from None


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Objects with an address, and those with nothing further inside."""
    if depth > MAX_DEPTH:
        raise FeedError(f"not this kind of feed: more than {MAX_DEPTH} objects in one another")
    if isinstance(value, list):
        for each in value:
            yield from _objects(each, depth + 1)
    elif isinstance(value, dict):
        inner = [each for each in value.values() if _holds_objects(each)]
        if not inner or columns_of(tuple(value)) is not None:
            if value:
                yield value
            return
        for each in inner:
            yield from _objects(each, depth + 1)
    elif depth == 0 or not isinstance(value, str | int | float | None):
        raise FeedError("no JSON object or list")


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(each, dict | list) for each in value)
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str | int | float) else json.dumps(value)
