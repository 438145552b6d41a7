"""Links between switches, found by signed LLDP frames that are sent out of every free port.

A link ends with its ports, or when its frames time out; either way paths are led around it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from ryu_apps.effects import Effect, Log, Send
from ryu_apps.fabric.host_probes import announcement
from ryu_apps.fabric.link_state import LINK_TIMEOUT, LinkWatch
from ryu_apps.fabric.network_state import NO_CHANGE, NetworkChange, NetworkState
from ryu_apps.openflow import ethernet
from ryu_apps.switch.session import Session
from topology.fabric import cable_of


@dataclass(slots=True)
class LinkDiscovery:
    """``secret`` signs the frames; ``forged`` counts those with a wrong signature or origin."""

    network: NetworkState
    secret: bytes
    forged: int = 0
    _watch: LinkWatch = field(default_factory=LinkWatch)

    def frame_received(self, switch: int, port: int, frame: bytes, now: float) -> NetworkChange:
        """An LLDP frame arrived on a switch's port."""
        sender = ethernet.read_lldp(frame, self.secret)
        if sender is None:
            self.forged += 1
            return NO_CHANGE
        here, network = (switch, port), self.network
        received = self._watch.received(network.fabric, network.hosts, sender, here, now)
        self.forged += received.forged
        if received.problem:
            return NetworkChange((Log(logging.WARNING, received.problem),))
        if received.fabric is None:
            return NO_CHANGE
        network.use_fabric(received.fabric)
        text = f"link: switch {sender[0]} port {sender[1]} to switch {switch} port {port}"
        effects: tuple[Effect, ...] = (Log(logging.INFO, text), network.save_links())
        vacated = [network.hosts.vacate(place) for place in (sender, here)]
        if not any(vacated):
            return NetworkChange(effects, links_changed=True)
        return NetworkChange((*effects, *network.announce_hosts()), hosts_changed=True)

    def port_changed(
        self, session: Session, port: int, mac: bytes | None, up: bool
    ) -> NetworkChange:
        """A port appeared, changed or (``mac`` None) went away."""
        ports_changed = session.port_changed(port, mac)
        if not (ports_changed or port in session.ports):
            return NO_CHANGE  # a port that is left out
        place = (session.switch, port)
        if up and mac is not None:
            self.network.port_up(place)
            return NetworkChange(links_changed=ports_changed)
        if self.network.port_down(place):
            return NetworkChange((self.network.save_links(),), links_changed=True)
        return NetworkChange(links_changed=ports_changed)

    def expire(self, ready: Collection[int], now: float) -> NetworkChange:
        """Remove links between ``ready`` switches whose LLDP frames have timed out."""
        silent = self._watch.overdue(self.network.fabric, ready, now)
        if not silent:
            return NO_CHANGE
        self.network.use_fabric(self.network.fabric.without(silent))
        lost = (
            Log(
                logging.WARNING,
                f"link lost: switch {link.switch} port {link.port} to switch {link.peer_switch} "
                f"port {link.peer_port}: no discovery frame for {LINK_TIMEOUT:g} s",
            )
            for link in sorted(silent, key=cable_of)
        )
        return NetworkChange((*lost, self.network.save_links()), links_changed=True)

    def announce(self, session: Session) -> list[Effect]:
        """Send a discovery frame out of every port where no host is known."""
        hosts = self.network.hosts
        data = b"".join(
            announcement(session.switch, port, mac, self.secret)
            for port, mac in sorted(session.ports.items())
            if hosts.occupant((session.switch, port)) is None
        )
        return [Send(session.switch, data)] if data else []
