"""Who reaches for the same service at the same time: many hosts that each do a little.

A sweep that is shared out among many hosts leaves each with a handful of new peers, about
what a helpful colleague does. What gives it away is the company: within an hour many
hosts reach for one foothold service at peers that were never seen to serve it.
"""

from __future__ import annotations

from math import exp
from typing import Annotated

from msgspec import Meta, Struct

from detection.state.stored_values import Moment, Text

MOST = 256  # hosts remembered per service, those that reached longest ago out first
MOST_SERVERS = 4096  # of each service, likewise
FADES = 3600.0  # seconds
OVER = 4.0 * FADES


class CoordinationState(Struct, frozen=True, array_like=True):
    reached: dict[Text, Annotated[dict[Text, Moment], Meta(max_length=MOST)]]
    servers: dict[Text, Annotated[list[Text], Meta(max_length=MOST_SERVERS)]]


class Coordination:
    """Per foothold service, which hosts reached for it where it was not known to be served, and
    when they last did (seconds since the epoch). There are few foothold services.
    """

    def __init__(self) -> None:
        self._reached: dict[str, dict[str, float]] = {}
        self._servers: dict[str, dict[str, None]] = {}

    def snapshot(self) -> CoordinationState:
        servers = {service: list(known) for service, known in self._servers.items()}
        return CoordinationState(self._reached, servers)

    def restore(self, state: CoordinationState, now: float) -> None:
        """Raises ValueError for hosts that reached for something later than ``now``."""
        if any(ts > now for hosts in state.reached.values() for ts in hosts.values()):
            raise ValueError("a host reached for a service later than now")
        self._reached = state.reached
        self._servers = {name: dict.fromkeys(known) for name, known in state.servers.items()}

    def let_in(self, service: str, address: str) -> None:
        """``address`` serves ``service``, whether its clients are calm or not: who comes next
        need not be one of a company."""
        servers = self._servers.setdefault(service, {})
        servers.pop(address, None)
        servers[address] = None
        if len(servers) > MOST_SERVERS:
            del servers[next(iter(servers))]

    def serves(self, service: str, address: str) -> bool:
        return address in self._servers.get(service, ())

    def reach(self, service: str, address: str, now: float) -> None:
        """``address`` tried ``service`` at a peer that is not known to serve it."""
        hosts = self._reached.setdefault(service, {})
        hosts.pop(address, None)
        hosts[address] = now
        if len(hosts) > MOST:
            del hosts[next(iter(hosts))]

    def of(self, service: str, address: str, now: float) -> float | None:
        """Other hosts that reach for ``service`` as ``address`` does, fading with the time since
        they did and since it did itself; None for one that does not.
        """
        hosts = self._reached.get(service)
        mine = None if hosts is None else hosts.get(address)
        if hosts is None or mine is None or now - mine > OVER:
            return None
        reached = 0.0
        for last in reversed(hosts.values()):
            if now - last > OVER:
                break
            reached += exp((last - now) / FADES)
        own = exp((mine - now) / FADES)
        return own * max(0.0, reached - own)
