"""Parsing of cells and JSON values of recorded traffic.

The columns are those of the flow record itself; others are ignored. A row is bad when a required
column is missing or a value is invalid.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar

from topology.records import FlowRecord, State, VerdictWord

STATES: dict[str, State] = {
    "established": "established",
    "rejected": "rejected",
    "unanswered": "unanswered",
    "denied": "denied",
}
VERDICTS: dict[str, VerdictWord] = {
    "allow": "allow",
    "observed": "observed",
    "would-deny": "would-deny",
    "deny": "deny",
}
PHASES: dict[str, Literal["whole", "start", "end"]] = {
    "whole": "whole",
    "start": "start",
    "end": "end",
}
NUMBERED = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp"}
SPELLED = {"ipv6-icmp": "icmpv6", "icmp6": "icmpv6"}
NEEDED = ("ts", "src_ip", "dst_ip")
LATEST = 253_402_300_800.0  # the year 10000: beyond it a time is no time in seconds
MOST = 2**63 - 1  # what a counter can hold
T = TypeVar("T")


class BadRow(ValueError):
    """A row that cannot be read; the message names the column and the reason."""


def to_record(row: Mapping[str, Any]) -> FlowRecord:
    """A record of values by column name, as text or as JSON has them. Raises :class:`BadRow`."""
    get = row.get
    for name in NEEDED:
        if get(name) in (None, ""):
            raise BadRow(f"{name} is missing")
    return FlowRecord(
        ts=moment(row["ts"], "ts"),
        src_ip=address(row["src_ip"], "src_ip"),
        dst_ip=address(row["dst_ip"], "dst_ip"),
        proto=protocol(get("proto"), "proto"),
        src_port=port(get("src_port"), "src_port"),
        dst_port=port(get("dst_port"), "dst_port"),
        duration=span(get("duration"), "duration"),
        packets_out=count(get("packets_out"), "packets_out"),
        bytes_out=count(get("bytes_out"), "bytes_out"),
        packets_in=count(get("packets_in"), "packets_in"),
        bytes_in=count(get("bytes_in"), "bytes_in"),
        packets=count(get("packets"), "packets"),
        bytes=count(get("bytes"), "bytes"),
        state=state(get("state"), "state"),
        phase=phase(get("phase"), "phase"),
        verdict=verdict(get("verdict"), "verdict"),
        intent=text(get("intent"), "intent"),
        switch=count(get("switch"), "switch"),
        in_port=count(get("in_port"), "in_port"),
        src_mac=text(get("src_mac"), "src_mac"),
        dst_mac=text(get("dst_mac"), "dst_mac"),
    )


def moment(value: Any, name: str) -> float:
    """Seconds since the epoch."""
    seconds = _number(value, name)
    if not 0 <= seconds < LATEST:
        raise BadRow(f"{name} {_shown(value)} is not a time in seconds since 1970")
    return seconds


def span(value: Any, name: str) -> float:
    """Seconds; 0 where empty."""
    if value is None or value == "":
        return 0.0
    seconds = _number(value, name)
    if not 0 <= seconds < LATEST:
        raise BadRow(f"{name} {_shown(value)} is not a number of seconds")
    return seconds


def _number(value: Any, name: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRow(f"{name} {_shown(value)} is not a number of seconds") from None
    if not math.isfinite(number):
        raise BadRow(f"{name} {_shown(value)} is not a time")
    return number


def address(value: Any, name: str) -> str:
    """An IP address in its canonical form, IPv4 written as IPv6 as IPv4; also a MAC, as some
    frames have nothing else."""
    word = str(value).strip()
    if not word:
        raise BadRow(f"{name} is missing")
    found = _canonical(word)
    if found is None:
        raise BadRow(f"{name} {_shown(word)} is not an address")
    return found


@lru_cache(maxsize=65_536)
def _canonical(word: str) -> str | None:
    try:
        found = ipaddress.ip_address(word)
        mapped = found.ipv4_mapped if found.version == 6 else None
        return str(mapped or found)
    except ValueError:
        parts = word.lower().split(":")
        if len(parts) == 6 and all(_is_byte(part) for part in parts):
            return ":".join(parts)
        return None


def _is_byte(part: str) -> bool:
    return len(part) == 2 and all(c in "0123456789abcdef" for c in part)


def protocol(value: Any, name: str) -> str:
    word = str(value or "ip").strip().lower()
    return NUMBERED.get(word) or SPELLED.get(word, word)


def count(value: Any, name: str) -> int | None:
    """A whole number from 0; None where empty."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        number = _whole(value) if isinstance(value, float) else int(value)
    except (TypeError, ValueError, OverflowError):
        try:
            number = _whole(value)  # some exporters write counts as ``4.0``
        except (TypeError, ValueError, OverflowError):
            raise BadRow(f"{name} {_shown(value)} is not a whole number") from None
    if number < 0:
        raise BadRow(f"{name} {_shown(value)} is negative")
    if number > MOST:
        raise BadRow(f"{name} {_shown(value)} is too large")
    return number


def _whole(value: Any) -> int:
    number = math.nan if isinstance(value, bool) else float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def port(value: Any, name: str) -> int:
    number = count(value, name) or 0
    if number > 65_535:
        raise BadRow(f"{name} {_shown(value)} is above 65535")
    return number


def state(value: Any, name: str) -> State | None:
    return _word(value, name, STATES)


def phase(value: Any, name: str) -> Literal["whole", "start", "end"]:
    return _word(value, name, PHASES) or "whole"


def verdict(value: Any, name: str) -> VerdictWord | None:
    return _word(value, name, VERDICTS)


def _word(value: Any, name: str, known: Mapping[str, T]) -> T | None:
    if value is None or value == "":
        return None
    word = known.get(str(value).strip().lower())
    if word is None:
        raise BadRow(f"{name} {_shown(value)} is not one of {', '.join(known)}")
    return word


def text(value: Any, name: str) -> str | None:
    return str(value) if value not in (None, "") else None


def _shown(value: Any) -> str:
    """A value shortened for a message of one line."""
    try:
        shown = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "(a very long number)"
    return shown if len(shown) <= 60 else shown[:57] + "..."
