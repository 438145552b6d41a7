"""Telemetry that a switch lost: copies its meters dropped, connections it could not count.

The switch keeps these numbers; they are requested every few seconds, so that
whatever is lost under a flood is shown and not only missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from policies.rules.layout import COUNT_LIMIT, RuleTable, is_connection_meter
from ryu_apps.openflow.decode import MULTIPART_SIZE, multipart_more
from ryu_apps.openflow.messages import ANY, MULTIPART_REQUEST, message
from ryu_apps.switch.transactions import Transactions

MULTIPART_TABLE, MULTIPART_METER = 3, 9
MOST_METERS = 200_000  # of one switch: two for each port, and some
_TABLE = struct.Struct("!BxxxIQQ")
_METER = struct.Struct("!IHxxxxxxIQQII")
_BAND = struct.Struct("!QQ")


@dataclass(slots=True)
class TelemetryLoss:
    """``held_back`` are packets per meter since the meter was made; ``earlier`` those of meters
    that are gone. ``counting`` is how many connections the switch counts now, of at most
    `COUNT_LIMIT`."""

    transactions: Transactions
    held_back: dict[int, int] = field(default_factory=dict)
    counting: int = 0
    earlier: int = 0
    earlier_connections: int = 0
    _growing: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Copies held back, and packets of hosts under a rate limit."""
        held = self.held_back.items()
        return self.earlier + sum(n for meter, n in held if not is_connection_meter(meter))

    @property
    def connections(self) -> int:
        """New connections held back since they were too many for their port."""
        held = self.held_back.items()
        return self.earlier_connections + sum(n for meter, n in held if is_connection_meter(meter))

    @property
    def full(self) -> bool:
        return self.counting >= COUNT_LIMIT

    def ask(self) -> bytes:
        """The two requests. Replies to earlier ones are not waited for any more."""
        self.transactions.withdraw(self)
        self._growing = {}
        tables, meters = self.transactions.begin(self), self.transactions.begin(self)
        every_meter = struct.pack("!Ixxxx", ANY)
        return message(
            MULTIPART_REQUEST, tables, struct.pack("!HHxxxx", MULTIPART_TABLE, 0)
        ) + message(
            MULTIPART_REQUEST, meters, struct.pack("!HHxxxx", MULTIPART_METER, 0) + every_meter
        )

    def take(self, xid: int, buf: bytes) -> None:
        """Take one part of a reply in."""
        if int.from_bytes(buf[8:10], "big") == MULTIPART_TABLE:
            self.counting = dict(_active(buf)).get(RuleTable.COUNT, self.counting)
        else:
            self._growing.update(islice(_dropped(buf), MOST_METERS - len(self._growing)))
            if not multipart_more(buf):
                self._settle()
        if not multipart_more(buf):
            self.transactions.end(xid)

    def _settle(self) -> None:
        """All meters are known: what those held back that are gone, or were made anew, is kept."""
        for number, count in self.held_back.items():
            if self._growing.get(number, -1) >= count:
                continue
            if is_connection_meter(number):
                self.earlier_connections += count
            else:
                self.earlier += count
        self.held_back, self._growing = self._growing, {}


def _active(buf: bytes) -> Iterator[tuple[int, int]]:
    """Table and number of its rules."""
    for at in range(MULTIPART_SIZE, len(buf) - _TABLE.size + 1, _TABLE.size):
        table, active, _, _ = _TABLE.unpack_from(buf, at)
        yield table, active


def _dropped(buf: bytes) -> Iterator[tuple[int, int]]:
    """Meter and number of packets that its one band dropped."""
    at = MULTIPART_SIZE
    while at + _METER.size + _BAND.size <= len(buf):
        number, length, *_ = _METER.unpack_from(buf, at)
        yield number, _BAND.unpack_from(buf, at + _METER.size)[0]
        at += max(length, _METER.size)
