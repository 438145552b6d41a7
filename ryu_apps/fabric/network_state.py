"""Hosts with their ports and links between switches, as declared and as discovered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.compiler import SwitchView
from response.ipc.messages import HostsChanged
from ryu_apps.effects import Effect, Report, Save
from topology.fabric import Fabric
from topology.hosts import HostTable, Place
from topology.ports import is_port
from topology.records import Link


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """What an event changed in the network, beside its ``effects``.

    ``hosts_changed``: rules must follow other hosts. ``links_changed``: paths must follow other
    links. ``afterwards`` are effects for the time when every switch has the rules that follow.
    """

    effects: tuple[Effect, ...] = ()
    hosts_changed: bool = False
    links_changed: bool = False
    afterwards: tuple[Effect, ...] = ()


NO_CHANGE = NetworkChange()


@dataclass(slots=True)
class NetworkState:
    """``detoured`` are the switches that paths go around where they can."""

    hosts: HostTable = field(default_factory=HostTable)
    fabric: Fabric = field(default_factory=Fabric)
    detoured: frozenset[int] = frozenset()
    _disconnected: set[int] = field(default_factory=set)

    def view(self, switch: int, ports: Iterable[int]) -> SwitchView:
        """One switch's place in the network, for the compiler."""
        return SwitchView(
            switch,
            tuple(sorted(ports)),
            self.fabric.trunks(switch),
            self.fabric.next_ports(switch, self.detoured),
            self.fabric.tree_ports(switch),
        )

    def restore_links(self, links: Iterable[Link]) -> None:
        """Replace all links by those that an earlier run found, on ports that can be."""
        self.fabric = Fabric.of(
            link for link in links if is_port(link.port) and is_port(link.peer_port)
        )

    def use_fabric(self, fabric: Fabric) -> bool:
        """Replace the links; whether that changed any."""
        changed = fabric != self.fabric
        self.fabric = fabric
        return changed

    def port_up(self, place: Place) -> None:
        self.hosts.port_up(place)

    def port_down(self, place: Place) -> bool:
        """Remove the links of a port that is down; whether there were any."""
        self.hosts.port_down(place)
        return self.use_fabric(self.fabric.without_port(*place))

    def switch_disconnected(self, switch: int) -> None:
        """A switch without its controller may be forwarding or dead: paths avoid it. Nothing is
        kept of one that has no links, and of ports only those that hosts were found on."""
        self._disconnected = (self._disconnected | {switch}) & self._linked()
        self.hosts.switch_disconnected(switch)

    def _linked(self) -> set[int]:
        links = self.fabric.links
        return {switch for link in links for switch in (link.switch, link.peer_switch)}

    def switch_connected(self, switch: int) -> None:
        self._disconnected.discard(switch)

    def update_detours(self) -> None:
        """Work out again which switches paths go around."""
        self.detoured = frozenset(self._disconnected & self._linked())

    def save_links(self) -> Save:
        return Save(links=tuple(self.fabric.links))

    def announce_hosts(self) -> tuple[Effect, ...]:
        """Save the discovered hosts, and send all of them to the analysis."""
        return (
            Save(bindings=tuple(self.hosts.discovered.values())),
            Report(HostsChanged(self.hosts.bindings())),
        )
