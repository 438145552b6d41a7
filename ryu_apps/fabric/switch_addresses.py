"""The addresses from which our switches connect: what no feed may list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

KEPT = 3_600.0  # seconds: a switch that is away comes back from where it was
MOST = 10_000  # addresses of switches that are away


@dataclass(slots=True)
class SwitchAddresses:
    """Addresses of the switches that we drive and that have been admitted: a connection that only
    shakes hands adds none. Times are of a monotonic clock, in seconds."""

    _connected: dict[int, str] = field(default_factory=dict)
    _admitted: set[int] = field(default_factory=set)
    _until: dict[str, float] = field(default_factory=dict)  # of switches that are away

    def connected(self, switch: int, address: str) -> None:
        """A connection of a switch is driven from now on, in place of any before."""
        self._connected[switch] = address
        self._admitted.discard(switch)

    def left(self, switch: int, now: float) -> None:
        """The connection is gone; its address is kept for a while if it was an admitted one's."""
        address = self._connected.pop(switch, None)
        if switch in self._admitted and address is not None:
            self._admitted.discard(switch)
            self._until.pop(address, None)
            self._until[address] = now + KEPT
            if len(self._until) > MOST:
                del self._until[next(iter(self._until))]

    def current(self, admitted: Collection[int], now: float) -> tuple[str, ...]:
        """The addresses that hold at ``now``, sorted; ``admitted`` are the switches that have
        shown to be what they say and got their rules."""
        self._admitted |= self._connected.keys() & set(admitted)
        self._until = {address: end for address, end in self._until.items() if end > now}
        return tuple(sorted({*(self._connected[each] for each in self._admitted), *self._until}))
