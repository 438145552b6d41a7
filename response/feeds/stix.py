"""STIX 2.0 and 2.1 bundles: the indicators in them that name addresses, networks and ports."""

from __future__ import annotations

import json
from typing import Any

from policies.semantics.prefixes import prefix_of
from response.feeds.entries import Entry, FeedError, FeedReading
from response.feeds.stix_pattern import UnusableError, terms_of
from response.feeds.table import seconds_of

_HARMFUL = frozenset(
    {"malicious-activity", "compromised", "anomalous-activity", "attribution", "anonymization"}
)


def read_bundle(text: str) -> FeedReading:
    """The entries of a bundle (or of a bare list of objects, as TAXII's envelope has it).

    Of an object that is there in several versions the one modified last counts, also when it
    is the one that revokes. Raises `FeedError` for what is no bundle.
    """
    reading = FeedReading()
    newest: dict[str, tuple[float, int, dict[str, Any]]] = {}
    for number, item in enumerate(_objects(text), 1):
        if not isinstance(item, dict):
            reading.bad.add(number, type(item).__name__, "no object")
        elif item.get("type") != "indicator":
            reading.passed_over.add(number, str(item.get("type")), "no indicator")
        else:
            identifier = str(item.get("id", f"number {number}"))
            modified = _moment(item, "modified") or 0.0
            known = newest.get(identifier)
            if known is None or modified >= known[0]:
                newest[identifier] = modified, number, item
            if known is not None:
                reading.passed_over.add(number, identifier, "another version of it")
    for identifier, (_, number, item) in newest.items():
        _take(reading, number, identifier, item)
    return reading


def _objects(text: str) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise FeedError(f"not JSON: {str(problem)[:100]}") from None
    found = data.get("objects", []) if isinstance(data, dict) else data
    if isinstance(data, dict) and data.get("type", "bundle") != "bundle":
        raise FeedError("no STIX bundle: its type is not `bundle`")
    if not isinstance(found, list) or not isinstance(data, dict | list):
        raise FeedError("no STIX bundle: no list of objects")
    return found


def _take(reading: FeedReading, number: int, identifier: str, item: dict[str, Any]) -> None:
    if item.get("revoked") is True:
        reading.passed_over.add(number, identifier, "revoked")
        return
    if _benign(item):
        reading.passed_over.add(number, identifier, "it marks what is benign")
        return
    if item.get("pattern_type", "stix") != "stix":
        reading.passed_over.add(number, identifier, "a pattern in another language")
        return
    pattern = item.get("pattern")
    try:
        if not isinstance(pattern, str):
            raise ValueError("it has no pattern")
        starts, ends = _time(item, "valid_from"), _time(item, "valid_until")
        confidence = _confidence(item.get("confidence"))
        terms = terms_of(pattern)
    except UnusableError as problem:
        reading.passed_over.add(number, f"{identifier} {pattern}", str(problem))
        return
    except ValueError as problem:
        if isinstance(problem, FeedError):
            raise
        reading.bad.add(number, identifier, str(problem))
        return
    for term in terms:
        assert term.network is not None
        prefix, end = prefix_of(term.network), term.direction
        for service in term.services():
            reading.add(Entry(number, prefix, service, end, confidence, starts, ends))


def _benign(item: dict[str, Any]) -> bool:
    """STIX 2.1 has it in ``indicator_types``, 2.0 in ``labels``, beside others or alone."""
    words: set[str] = set()
    for key in ("indicator_types", "labels"):
        found = item.get(key)
        words |= set(map(str, found)) if isinstance(found, list) else set()
    return "benign" in words and not words & _HARMFUL


def _confidence(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= 100:
        raise ValueError("a confidence is 0 to 100")
    return value


def _time(item: dict[str, Any], key: str) -> float | None:
    if item.get(key) is None:
        return None
    found = _moment(item, key)
    if found is None:
        raise ValueError(f"{key} is no time")
    return found


def _moment(item: dict[str, Any], key: str) -> float | None:
    try:
        return seconds_of(item[key])
    except (KeyError, TypeError, ValueError):
        return None
