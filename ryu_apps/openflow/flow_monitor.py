"""Open vSwitch's flow monitor: the switch reports at once what others change in its tables.

ONF extension 187 for OpenFlow 1.3, in the form of Nicira's: a multipart request names tables, and
updates come in multipart replies that nobody asked for. What the connection itself changes is
reported as an abbreviation. Where updates come faster than they are read the switch pauses them,
and reports the rest when it resumes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ryu_apps.openflow.decode import MULTIPART_SIZE, Malformed
from ryu_apps.openflow.messages import ANY, ONF, multipart

EXPERIMENTER_PART = 0xFFFF  # kind of a multipart message
MONITOR, PAUSED, RESUMED = 1870, 1871, 1872
ADDED, DELETED, MODIFIED, ABBREVIATED = 0, 1, 2, 3
IDLE_TIMEOUT, HARD_TIMEOUT = 0, 1  # reasons of a deletion
_WATCH_CHANGES = 2 | 4 | 8  # rules added, deleted and modified; not those that are there
_REQUEST = struct.Struct("!IHHIBxxx")
_EVERY_MATCH = struct.pack("!HHxxxx", 1, 4)
_KIND = struct.Struct("!II")
_HEAD = struct.Struct("!HH")
_FULL = struct.Struct("!HHHHHHHBxQ")


@dataclass(frozen=True, slots=True)
class FlowUpdate:
    """A rule that somebody else added, modified or deleted, or that timed out."""

    event: int
    reason: int
    table: int
    priority: int
    cookie: int

    @property
    def timed_out(self) -> bool:
        return self.event == DELETED and self.reason in (IDLE_TIMEOUT, HARD_TIMEOUT)


def watch_tables(xid: int, tables: Iterable[int]) -> bytes:
    """Ask for a report of every change in some tables. The reply that comes first is empty."""
    watches = (
        _REQUEST.pack(number, _WATCH_CHANGES, len(_HEAD.pack(1, 4)), ANY, table) + _EVERY_MATCH
        for number, table in enumerate(tables, 1)
    )
    return multipart(xid, EXPERIMENTER_PART, _KIND.pack(ONF, MONITOR) + b"".join(watches))


def is_update(buf: bytes) -> bool:
    """Whether a multipart reply is the flow monitor's."""
    kind = buf[MULTIPART_SIZE : MULTIPART_SIZE + _KIND.size]
    return buf[8:10] == b"\xff\xff" and kind == _KIND.pack(ONF, MONITOR)


def resumed(buf: bytes) -> bool:
    """Whether an experimenter message ends a pause of the updates."""
    return buf[8 : 8 + _KIND.size] == _KIND.pack(ONF, RESUMED)


def updates(buf: bytes) -> Iterator[FlowUpdate]:
    """What others changed, by one reply of the flow monitor. Raises Malformed."""
    at = MULTIPART_SIZE + _KIND.size
    while at < len(buf):
        try:
            length, event = _HEAD.unpack_from(buf, at)
            if length < 8 or length % 8 or at + length > len(buf):
                raise Malformed(f"flow update at byte {at}: length {length}")
            if event != ABBREVIATED:
                _, _, reason, priority, _, _, _, table, cookie = _FULL.unpack_from(buf, at)
                yield FlowUpdate(event, reason, table, priority, cookie)
        except struct.error as error:
            raise Malformed(f"flow update at byte {at}: {error}") from error
        at += length
