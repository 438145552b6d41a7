"""A feed's bytes as entries, in any supported format."""

from __future__ import annotations

from collections.abc import Callable

from response.feeds.entries import FeedError, FeedReading
from response.feeds.json_rows import read_json
from response.feeds.lists import read_list
from response.feeds.stix import read_bundle
from response.feeds.table import read_table

_READERS: dict[str, Callable[[str], FeedReading]] = {
    "cidr-list": read_list,
    "csv": read_table,
    "json": read_json,
    "stix2": read_bundle,
}
MAX_BAD_SHARE = 0.5


def read_feed(data: bytes, form: str) -> FeedReading:
    """The entries of a feed in one of the policy language's formats.

    Raises `FeedError` where the whole is not to be trusted: not UTF-8, not what ``form`` says,
    or more lines that are nonsense than lines that are not (a login page, a cut download).
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise FeedError(f"not UTF-8: byte {problem.start}") from None
    reading = _READERS[form](text)
    lines = len({entry.line for entry in reading.entries}) + reading.passed_over.total
    bad = reading.bad.total
    if bad > MAX_BAD_SHARE * (lines + bad):
        first = reading.bad.first[0]
        raise FeedError(
            f"{bad} of {lines + bad} entries cannot be read (number {first.line}: {first.reason}); "
            f"is it {form}?"
        )
    return reading
