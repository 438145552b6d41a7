"""From rows that count one direction to connections: which rows belong together, and who began.

Exporters of flows write a row for each direction, and write it when that direction ends.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from topology.initiator import ANSWERS, looks_like_reply
from topology.records import FlowRecord

SAME_MOMENT = 0.5  # seconds between what two sensors say of one beginning
REMEMBERED = 65_536  # connections whose other direction may still come
AHEAD = 4_096  # rows that wait for their other direction
WITHIN = 600.0  # seconds between the beginnings of the two directions of a connection
_Key = tuple[str, str, str, int, int]


class RowsSeenTwice:
    """Finds rows of a direction that another row has counted: two exporters on one path, or one
    that exports at both of its ports.

    Rows of one exporter for a connection that goes on follow each other in time; rows of two cover
    the same time.
    """

    def __init__(self) -> None:
        self._newest: OrderedDict[_Key, tuple[float, float]] = OrderedDict()

    def repeats(self, record: FlowRecord) -> bool:
        """Whether a row counts what an earlier one did; it is remembered where not."""
        if not (record.src_port or record.dst_port or record.proto in ("icmp", "icmpv6")):
            return False  # counted by address only: nothing tells connections apart
        key = _key(record)
        begun, ended = record.ts, record.ts + record.duration
        known = self._newest.get(key)
        if known is not None:
            shorter = min(ended - begun, known[1] - known[0])
            together = min(ended, known[1]) - max(begun, known[0])
            if abs(begun - known[0]) <= SAME_MOMENT or together > 0.5 * shorter > 0.0:
                return True
        self._newest[key] = begun, ended
        self._newest.move_to_end(key)
        if len(self._newest) > REMEMBERED:
            self._newest.popitem(last=False)
        return False


class Lookahead:
    """Rows that wait a little for their other direction: exporters write a row when a flow ends,
    so that the row of the answer may come first. Rows keep their order."""

    def __init__(self) -> None:
        self._rows: deque[_Waiting] = deque()
        self._open: dict[_Key, _Waiting] = {}

    def take(self, record: FlowRecord, number: int) -> Iterator[tuple[FlowRecord, int, bool]]:
        """A row with its number; the rows whose time is up, each with its number and whether it
        is the answer of a connection that another row began."""
        row = _Waiting(record, number)
        self._rows.append(row)
        if record.proto in ("tcp", "udp") and not record.packets_in:
            key = _key(record)
            first = self._open.pop((key[1], key[0], key[2], key[4], key[3]), None)
            if first is None:
                self._open[key] = row
            elif abs(record.ts - first.record.ts) <= WITHIN:
                first.reply = record.ts < first.record.ts and not _told_by_ports(record)
        if len(self._rows) > AHEAD:
            yield self._next()

    def release(self, count: int) -> Iterator[tuple[FlowRecord, int, bool]]:
        """The oldest rows, whether or not their other direction has come."""
        for _ in range(min(count, len(self._rows))):
            yield self._next()

    def rest(self) -> Iterator[tuple[FlowRecord, int, bool]]:
        yield from self.release(len(self._rows))

    def _next(self) -> tuple[FlowRecord, int, bool]:
        row = self._rows.popleft()
        key = _key(row.record)
        if self._open.get(key) is row:
            del self._open[key]
        return row.record, row.number, row.reply


@dataclass(slots=True)
class _Waiting:
    record: FlowRecord
    number: int
    reply: bool = False


def _told_by_ports(record: FlowRecord) -> bool:
    """Whether the ports alone say which end began."""
    ends = record.src_port, record.dst_port
    return looks_like_reply(*ends) or looks_like_reply(*ends[::-1])


class OneWayPairs:
    """Keeps the newest connections until their other direction arrives."""

    def __init__(self) -> None:
        self._begun: OrderedDict[_Key, FlowRecord] = OrderedDict()

    def oriented(self, record: FlowRecord, reply: bool = False) -> FlowRecord:
        """The row as a record of the connection it belongs to; ``reply`` where a later row is
        known to have begun it."""
        if record.packets_in:  # both directions are in the row (nfdump -b)
            return record
        ported = record.proto in ("tcp", "udp")
        if ported and not (record.src_port or record.dst_port):
            return record  # counted by address only: nothing tells connections apart
        back = _turned(record)
        if back is None:
            return self._remember(record)
        first = self._begun.get(_key(back))
        if first is not None and abs(record.ts - first.ts) <= WITHIN:
            return replace(
                back, ts=first.ts, phase="end", duration=max(first.duration, back.duration)
            )
        if record.proto in ANSWERS:
            return self._remember(back)  # its type says that it answers
        if ported and record.state != "unanswered":
            if reply or looks_like_reply(record.src_port, record.dst_port):
                return self._remember(back)
            if record.state == "rejected":
                record = replace(record, state=None)
        return self._remember(record)

    def _remember(self, record: FlowRecord) -> FlowRecord:
        key = _key(record)
        first = self._begun.get(key)
        self._begun[key] = record
        self._begun.move_to_end(key)
        if len(self._begun) > REMEMBERED:
            self._begun.popitem(last=False)
        if first is None or first.packets_out is not None or record.packets_out is None:
            return record
        if abs(record.ts - first.ts) > WITHIN:
            return record
        # The way back came first.
        state = first.state if record.state == "unanswered" else record.state or first.state
        return replace(record, ts=first.ts, phase="end", state=state)


def _key(record: FlowRecord) -> _Key:
    return record.src_ip, record.dst_ip, record.proto, record.src_port, record.dst_port


def _turned(record: FlowRecord) -> FlowRecord | None:
    """The connection whose way back this row counts, if it can be one."""
    src_port, dst_port = record.dst_port, record.src_port
    if record.proto in ANSWERS:
        asked = ANSWERS[record.proto].get(record.src_port)
        if asked is None:
            return None
        src_port, dst_port = asked, record.dst_port
    return replace(
        record,
        src_ip=record.dst_ip,
        dst_ip=record.src_ip,
        src_port=src_port,
        dst_port=dst_port,
        packets_out=None,
        bytes_out=None,
        packets_in=record.packets_out,
        bytes_in=record.bytes_out,
        state=record.state if record.state in ("rejected", "denied") else "established",
    )
