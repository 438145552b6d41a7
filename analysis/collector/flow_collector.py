"""Flow exports over UDP, as records for the analysis: who sent them, what was lost, what is new.

Nothing authenticates such a datagram. What it says is evidence of a lower kind: each record names
its exporter, and a decision that rests on nothing else is proposed to a person. Pure:
`analysis.collector.process` has the sockets.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

from msgspec.structs import replace

from response.ipc.messages import ExporterCounts
from topology.flow_exports.exporter import BadExport, Exporter
from topology.readers.one_way_rows import Lookahead, OneWayPairs, RowsSeenTwice
from topology.records import FlowRecord

MAX_EXPORTERS = 256  # the one that is longest silent makes room
HOLD = 3.0  # seconds that a row waits for its other direction
MAX_WAITING = 20_000  # records for an analysis that does not take them


class FlowCollector:
    """``permitted`` are the exporters' addresses that are listened to; empty for all.

    ``dropped`` counts records that an analysis did not take in time, ``unlisted`` datagrams of
    other addresses, ``repeated`` rows of what another exporter had counted.
    """

    def __init__(self, permitted: Iterable[str] = ()) -> None:
        self._permitted = frozenset(permitted)
        self._exporters: OrderedDict[str, Exporter] = OrderedDict()
        self._heard: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._seen, self._lookahead, self._pairs = RowsSeenTwice(), Lookahead(), OneWayPairs()
        self._arrived: deque[float] = deque()
        self._waiting: deque[FlowRecord] = deque()
        self.dropped = self.unlisted = self.repeated = 0

    def take(self, data: bytes, address: str, now: float) -> None:
        """One datagram from ``address``."""
        if self._permitted and address not in self._permitted:
            self.unlisted += 1
            return
        exporter = self._exporter(address)
        self._heard[address] = now
        try:
            rows = exporter.read(data)
        except BadExport as problem:
            self._problems[address] = str(problem)
            return
        for row in rows:
            if self._seen.repeats(row):
                self.repeated += 1
                continue
            self._arrived.append(now)
            self._add(self._lookahead.take(replace(row, exporter=address), 0))

    def due(self, now: float) -> None:
        """Stop waiting for the other directions of old rows; call about every second."""
        late = sum(1 for arrived in self._arrived if arrived <= now - HOLD)
        self._add(self._lookahead.release(late))

    def next(self, most: int) -> tuple[FlowRecord, ...]:
        """The oldest records for the analysis; they stay until `taken`."""
        return tuple(self._waiting[at] for at in range(min(most, len(self._waiting))))

    def taken(self, count: int) -> None:
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft()

    def counts(self) -> tuple[ExporterCounts, ...]:
        """What each exporter has sent since the start."""
        return tuple(
            ExporterCounts(
                address, self._heard[address], found.datagrams, found.rows, found.bad, found.lost,
                found.untemplated, found.without_addresses, found.sampling,
                self._problems.get(address, ""),
            )
            for address, found in ((a, e.counts) for a, e in self._exporters.items())
        )  # fmt: skip

    def _exporter(self, address: str) -> Exporter:
        exporter = self._exporters.get(address)
        if exporter is None:
            exporter = self._exporters[address] = Exporter(address)
        self._exporters.move_to_end(address)
        if len(self._exporters) > MAX_EXPORTERS:
            gone, _ = self._exporters.popitem(last=False)
            del self._heard[gone]
            self._problems.pop(gone, None)
        return exporter

    def _add(self, rows: Iterable[tuple[FlowRecord, int, bool]]) -> None:
        for record, _, reply in rows:
            self._arrived.popleft()
            self._waiting.append(self._pairs.oriented(record, reply))
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
