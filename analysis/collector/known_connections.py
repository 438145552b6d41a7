"""Connections that our own switches have reported, so that no flow export counts them again."""

from __future__ import annotations

from collections import OrderedDict

from response.ipc.messages import FlowsCollected
from topology.records import FlowRecord

REMEMBERED = 100_000  # connections
FOR = 3_600.0  # seconds

_Key = tuple[str, str, str, int, int]


class KnownConnections:
    """Remembers from the first call of `counted` on: nothing is kept where nothing is collected."""

    def __init__(self) -> None:
        self._seen: OrderedDict[_Key, float] | None = None

    def note(self, record: FlowRecord) -> None:
        """A connection that a switch reported."""
        if self._seen is None:
            return
        key = _key(record)
        self._seen[key] = record.ts
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def new_ones(self, collected: FlowsCollected) -> tuple[FlowRecord, ...]:
        """The collected connections that no switch has reported."""
        return tuple(record for record in collected.records if not self.counted(record))

    def counted(self, record: FlowRecord) -> bool:
        """Whether an exporter's connection, whichever end it says began, was reported lately."""
        if self._seen is None:
            self._seen = OrderedDict()
        one = _key(record)
        other = (one[1], one[0], one[2], one[4], one[3])
        return any(
            abs(record.ts - self._seen[key]) <= FOR for key in (one, other) if key in self._seen
        )


def _key(record: FlowRecord) -> _Key:
    return record.src_ip, record.dst_ip, record.proto, record.src_port, record.dst_port
