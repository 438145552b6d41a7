"""Who is there: the hosts, where they are, and the edges between them, within stated limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from detection.state.address_scope import AddressScope, Territory
from detection.state.edges import BEYOND, DAY, INWARD, KEPT, OUTWARD, WITHIN, Edge, EdgeStore
from detection.state.hosts import HostState

SILENT = 8 * DAY  # seconds: a week and a day, so that a partner that comes weekly stays


class HostRegistry:
    """``hosts`` by address, at most ``max_hosts``: when it is full the tenth that was quiet
    longest is forgotten. Before that it is only others' hosts, when silent for :data:`SILENT`: they
    come without end, ours do not. ``forgotten`` counts both. Edges are forgotten by themselves.

    ``inside`` counts hosts of ours that said something themselves; ``due`` (seconds since the
    epoch) is when it is to be looked through again for what is old.
    """

    def __init__(self, internal: tuple[str, ...], max_hosts: int, max_edges: int) -> None:
        self.territory = Territory(internal)
        self.hosts: dict[str, HostState] = {}
        self.edges = EdgeStore(max_edges)
        self.suspended: set[str] = set()
        self.inside = 0
        self.forgotten = 0
        self.due = 0.0
        self._max_hosts = max_hosts

    def restore(self, hosts: dict[str, HostState], suspended: Iterable[str]) -> None:
        """Take the place of an empty registry; its territory and edges are restored before."""
        self.hosts, self.suspended = hosts, set(suspended)
        self.inside = sum(host.inside and host.spoke for host in hosts.values())

    def meet(self, address: str, now: float) -> HostState:
        """A new host; call when :attr:`hosts` has none of that address."""
        if len(self.hosts) >= self._max_hosts:
            self._forget_idle()
        inside = self.territory.scope_of(address) is AddressScope.INSIDE
        host = HostState(address, inside, now)
        self.hosts[host.address] = host
        host.suspended = address in self.suspended
        return host

    def meet_edge(self, src: str, dst: str, now: float) -> Edge | None:
        """A new edge, None where the responder is no host."""
        if src == dst or self.territory.scope_of(dst) is AddressScope.NOBODY:
            return None
        if self.territory.learns and self.territory.notice(src, dst):
            self._classify_again()
        return self.edges.meet(src, dst, self._way(src, dst), now)

    def count_in(self, host: HostState) -> None:
        """An address counts as a host after its first packet; requests for it do not count."""
        host.spoke = True
        self.inside += host.inside

    def suspend(self, address: str) -> None:
        self.suspended.add(address)
        if address in self.hosts:
            self.hosts[address].suspended = True

    def resume(self, address: str) -> None:
        """What was held against it is dropped."""
        self.suspended.discard(address)
        host = self.hosts.get(address)
        if host is not None:
            host.suspended = False
            host.episode = None
            host.peak = 0.0
            host.forget_evidence()

    def include(self, networks: Iterable[str]) -> None:
        """Networks (CIDR) that are ours besides those of the settings."""
        self.territory.include(networks)
        self._classify_again()

    def _way(self, src: str, dst: str) -> int:
        scope_of = self.territory.scope_of
        if scope_of(src) is AddressScope.INSIDE:
            return WITHIN if scope_of(dst) is AddressScope.INSIDE else OUTWARD
        return INWARD if scope_of(dst) is AddressScope.INSIDE else BEYOND

    def _classify_again(self) -> None:
        for host in self.hosts.values():
            host.inside = self.territory.scope_of(host.address) is AddressScope.INSIDE
        self.inside = sum(h.inside and h.spoke for h in self.hosts.values())
        self.edges.classify_again(self._way)

    def age(self, now: float) -> None:
        """Forget what is old; once a day is enough."""
        self.due = now + DAY
        self.edges.forget_before(now - KEPT)
        old = [h for h in self._idle() if not h.inside and h.last <= now - SILENT]
        self._forget(old)

    def _forget_idle(self) -> None:
        idle = sorted(self._idle(), key=lambda h: (h.last, h.address))
        self._forget(idle[: max(1, len(self.hosts) // 10)])

    def _idle(self) -> Iterator[HostState]:
        """Those under suspicion stay."""
        return (h for h in self.hosts.values() if h.episode is None and not h.suspended)

    def _forget(self, hosts: Iterable[HostState]) -> None:
        for host in hosts:
            del self.hosts[host.address]
            self.inside -= host.inside and host.spoke
            self.forgotten += 1
