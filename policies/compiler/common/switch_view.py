"""One switch as the fabric sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SwitchView:
    """One switch as the fabric sees it.

    ``trunks`` are ports to other switches, ``next_ports`` the port towards each
    of them; every other port in ``ports`` is an edge port, where hosts are. ``tree`` are the
    trunks that multicast and broadcast take, None for all.
    """

    switch: int
    ports: tuple[int, ...] = ()
    trunks: frozenset[int] = frozenset()
    next_ports: Mapping[int, int] = field(default_factory=dict)
    tree: frozenset[int] | None = None

    def way(self, switch: int, port: int) -> int | None:
        """The port that leads to a port of a switch, None where no link does."""
        return port if switch == self.switch else self.next_ports.get(switch)
