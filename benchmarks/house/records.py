"""What one flow record costs on its way from the controller to the analysis.

The yardstick is the arithmetic of commit f845f5a: a frozen dataclass that is filled in as an
ordinary object, written as a list of its fields, and read back with a check of the type of each. It
is reduced to what records need, and its lists are packed by msgspec, which is quicker than the
library of that time. Both sides make, write, read and check the same records in the same blocks.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from operator import attrgetter
from typing import Any, cast

import msgspec

from benchmarks.runner import Benchmark, Figure, Target, ratio
from response.ipc.framing import Decoder, encode
from response.ipc.messages import RecordsSeen
from topology.records import FlowRecord

PAIRS = 15
BLOCKS = 40  # in one measurement
CONNECTIONS = 50  # in one block: a frame when traffic is lively


def _connections(make: Callable[..., Any], changed: Callable[..., Any], ts: float) -> list[Any]:
    """Two records of each connection, made as `ryu_apps.telemetry` makes them."""
    seen = []
    for port in range(32_768, 32_768 + CONNECTIONS):
        begun = make(
            ts=ts, src_ip="10.0.1.17", dst_ip="10.0.2.5", proto="tcp", src_port=port,
            dst_port=443, state=None, phase="start", verdict="allow", intent="web", switch=1,
            in_port=7, src_mac="02:00:00:00:01:11", dst_mac="02:00:00:00:02:05",
        )  # fmt: skip
        seen.append(begun)
        seen.append(
            changed(
                begun, phase="end", duration=1.25, bytes_out=5_120, bytes_in=70_400,
                state="established",
            )
        )  # fmt: skip
    return seen


def _travel_now(ts: float) -> Sequence[FlowRecord]:
    seen = _connections(FlowRecord, msgspec.structs.replace, ts)
    (message,) = Decoder().feed(encode(RecordsSeen(tuple(seen))))
    assert isinstance(message, RecordsSeen)
    return message.records


def _travel_formerly(ts: float) -> Sequence[_FormerRecord]:
    seen = _connections(_former_record, _former_changed, ts)
    return _former_read(_former_frame(seen))


# -- the yardstick ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _FormerRecord:
    ts: float
    src_ip: str
    dst_ip: str
    proto: str
    src_port: int = 0
    dst_port: int = 0
    duration: float = 0.0
    packets_out: int | None = None
    bytes_out: int | None = None
    packets_in: int | None = None
    bytes_in: int | None = None
    packets: int | None = None
    bytes: int | None = None
    state: str | None = None
    phase: str = "whole"
    verdict: str | None = None
    intent: str | None = None
    switch: int | None = None
    in_port: int | None = None
    src_mac: str | None = None
    dst_mac: str | None = None


_values = attrgetter(*(each.name for each in fields(_FormerRecord)))
_FormerDraft: Any = make_dataclass(
    "_FormerDraft",
    [
        (each.name, object)
        if each.default is MISSING
        else (each.name, object, field(default=each.default))
        for each in fields(_FormerRecord)
    ],
    slots=True,
)


def _former_record(*values: Any, **named: Any) -> _FormerRecord:
    draft = _FormerDraft(*values, **named)
    draft.__class__ = _FormerRecord
    return cast("_FormerRecord", draft)


def _former_changed(record: _FormerRecord, **others: Any) -> _FormerRecord:
    draft = _FormerDraft(*_values(record))
    for name, value in others.items():
        setattr(draft, name, value)
    draft.__class__ = _FormerRecord
    return cast("_FormerRecord", draft)


@dataclass(frozen=True, slots=True)
class _FormerShape:
    checks: tuple[frozenset[type], ...]
    passed: set[tuple[type, ...]] = field(default_factory=set)

    def dump(self, value: _FormerRecord) -> list[Any]:
        return list(_values(value))

    def load(self, row: Any) -> _FormerRecord:
        if type(row) is not list or len(row) != len(self.checks):
            raise ValueError(f"a record needs {len(self.checks)} fields")
        kinds = tuple(map(type, row))
        if kinds not in self.passed:
            if not all(map(frozenset.__contains__, self.checks, kinds)):
                raise ValueError("a record has a field of the wrong type")
            self.passed.add(kinds)
        return _former_record(*row)


_ALLOWED: dict[str, set[type]] = {
    "float": {float, int},
    "str": {str},
    "int": {int},
    "str | None": {str, type(None)},
    "int | None": {int, type(None)},
}
_FORMER = _FormerShape(tuple(frozenset(_ALLOWED[str(f.type)]) for f in fields(_FormerRecord)))
_LENGTH = struct.Struct(">I")


def _former_frame(records: Iterable[_FormerRecord]) -> bytes:
    body = msgspec.msgpack.encode(["RecordsSeen", [_FORMER.dump(each) for each in records], 0])
    return _LENGTH.pack(len(body)) + body


def _former_read(frame: bytes) -> tuple[_FormerRecord, ...]:
    (length,) = _LENGTH.unpack_from(frame)
    _, rows, _ = msgspec.msgpack.decode(frame[_LENGTH.size : _LENGTH.size + length])
    return tuple([_FORMER.load(row) for row in rows])


# -- measured -----------------------------------------------------------------


def _seconds(travel: Callable[[float], object]) -> float:
    begun = time.process_time()
    for block in range(BLOCKS):
        travel(1.7e9 + block)
    return time.process_time() - begun


def record_speed() -> Figure:
    """How many times as fast a record is made, written, read and checked as in f845f5a."""
    assert [_values(each) for each in _travel_formerly(1.5)] == [
        _values(each)
        for each in _travel_now(1.5)  # which may have more
    ]
    pairs = [(_seconds(_travel_formerly), _seconds(_travel_now)) for _ in range(PAIRS)]
    now = min(seconds for _, seconds in pairs) / (BLOCKS * CONNECTIONS * 2)
    found = ratio(pairs)
    return Figure(found.value, f"{found.note}; now {now * 1e6:.2f} µs a record")


BENCHMARKS = (Benchmark("house.record_speed", Target(">=", 3, "x"), record_speed),)
