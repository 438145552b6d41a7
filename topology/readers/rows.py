"""One row of recorded traffic, as text or JSON values, made into a flow record.

The columns are those of the flow record itself; others are ignored. A row is bad
when a needed column is missing or a value cannot be what it says it is.
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
VERDICTS: dict[str, VerdictWord] = {"allow": "allow", "would-deny": "would-deny", "deny": "deny"}
PHASES: dict[str, Literal["whole", "start", "end"]] = {
    "whole": "whole",
    "start": "start",
    "end": "end",
}
NUMBERED = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp"}
NEEDED = ("ts", "src_ip", "dst_ip")
T = TypeVar("T")


class BadRow(ValueError):
    """A row that cannot be read; the message says which column and why."""


def to_record(row: Mapping[str, Any]) -> FlowRecord:
    """Raises :class:`BadRow`."""
    for name in NEEDED:
        if row.get(name) in (None, ""):
            raise BadRow(f"{name} is missing")
    ts = _seconds(row, "ts")
    duration = _seconds(row, "duration") if row.get("duration") not in (None, "") else 0.0
    proto = str(row.get("proto") or "ip").strip().lower()
    return FlowRecord(
        ts=ts,
        duration=duration,
        src_ip=_address(row["src_ip"], "src_ip"),
        dst_ip=_address(row["dst_ip"], "dst_ip"),
        proto=NUMBERED.get(proto, proto),
        src_port=_port(row, "src_port"),
        dst_port=_port(row, "dst_port"),
        packets_out=_count(row, "packets_out"),
        bytes_out=_count(row, "bytes_out"),
        packets_in=_count(row, "packets_in"),
        bytes_in=_count(row, "bytes_in"),
        packets=_count(row, "packets"),
        bytes=_count(row, "bytes"),
        state=_word(row, "state", STATES),
        phase=_word(row, "phase", PHASES) or "whole",
        verdict=_word(row, "verdict", VERDICTS),
        intent=_text(row, "intent"),
        switch=_count(row, "switch"),
        in_port=_count(row, "in_port"),
        src_mac=_text(row, "src_mac"),
        dst_mac=_text(row, "dst_mac"),
    )


def _seconds(row: Mapping[str, Any], name: str) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        raise BadRow(f"{name} {row[name]!r} is not a number of seconds") from None
    if not math.isfinite(value) or value < 0:
        raise BadRow(f"{name} {row[name]!r} is not a time")
    return value


def _address(value: Any, name: str) -> str:
    text = str(value).strip()
    address = _canonical(text)
    if address is None:
        raise BadRow(f"{name} {text!r} is not an address")
    return address


@lru_cache(maxsize=65_536)
def _canonical(text: str) -> str | None:
    """Also a MAC passes: captures hold frames of protocols without IP addresses."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        parts = text.lower().split(":")
        if len(parts) == 6 and all(_is_byte(part) for part in parts):
            return ":".join(parts)
        return None


def _is_byte(part: str) -> bool:
    return len(part) == 2 and all(c in "0123456789abcdef" for c in part)


def _count(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = _whole(value, name)
    if number < 0:
        raise BadRow(f"{name} {value!r} is negative")
    return number


def _whole(value: Any, name: str) -> int:
    """Some exporters write counts as ``4.0``."""
    try:
        number = float(value)
        if number != int(number):
            raise ValueError
        return int(number)
    except (TypeError, ValueError, OverflowError):
        raise BadRow(f"{name} {value!r} is not a whole number") from None


def _port(row: Mapping[str, Any], name: str) -> int:
    port = _count(row, name) or 0
    if port > 65_535:
        raise BadRow(f"{name} {port} is above 65535")
    return port


def _word(row: Mapping[str, Any], name: str, known: Mapping[str, T]) -> T | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    word = known.get(str(value).strip().lower())
    if word is None:
        raise BadRow(f"{name} {value!r} is not one of {', '.join(known)}")
    return word


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return str(value) if value not in (None, "") else None
