"""Transaction ids of one switch connection: who waits for which replies, and until when.

Every request gets its id here, and every reply is routed by it, so that two requesters can never
take each other's replies. The register ends with its connection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

FIRST, LAST = 0x5000_0000, 0x5FFF_FFFF  # apart from most of the OpenFlow library's own
FOREVER = math.inf


@dataclass(slots=True)
class _Transaction:
    requester: object
    until: float


@dataclass(slots=True)
class Transactions:
    """A requester is any object; it is recognised by its identity. ``until`` and ``now`` are
    seconds since the epoch. ``late`` counts replies that nobody waited for any more."""

    late: int = 0
    _next: int = FIRST
    _open: dict[int, _Transaction] = field(default_factory=dict)

    def begin(self, requester: object, until: float = FOREVER) -> int:
        """An id for a request; it is not given to another before this transaction has ended."""
        while self._next in self._open:
            self._advance()
        xid = self._next
        self._advance()
        self._open[xid] = _Transaction(requester, until)
        return xid

    def _advance(self) -> None:
        self._next = FIRST if self._next >= LAST else self._next + 1

    def route(self, xid: int) -> object | None:
        """Who waits for a reply; None for nobody."""
        transaction = self._open.get(xid)
        if transaction is not None:
            return transaction.requester
        if FIRST <= xid <= LAST:
            self.late += 1
        return None

    def end(self, xid: int) -> None:
        """The last reply has come."""
        self._open.pop(xid, None)

    def withdraw(self, requester: object) -> None:
        """Stop waiting for any reply to a requester."""
        for xid in self._of(requester):
            del self._open[xid]

    def extend(self, requester: object, until: float) -> None:
        """Wait longer for all replies to a requester."""
        for xid in self._of(requester):
            self._open[xid].until = until

    def expire(self, now: float) -> list[object]:
        """End the transactions whose time is over; their requesters, each once."""
        expired = [xid for xid, each in self._open.items() if now > each.until]
        requesters: list[object] = []
        for xid in expired:
            requester = self._open.pop(xid).requester
            if not any(requester is each for each in requesters):
                requesters.append(requester)
        return requesters

    def _of(self, requester: object) -> list[int]:
        return [xid for xid, each in self._open.items() if each.requester is requester]
