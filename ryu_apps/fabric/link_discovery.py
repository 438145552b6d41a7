"""Links between switches, found by signed LLDP frames that are sent out of every free port.

A link ends with its ports, or when its frames time out; either way paths are led around it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from response.ipc.messages import LinkChanged, SpoofsSeen
from ryu_apps.effects import Effect, Log, Report, Send
from ryu_apps.fabric.host_mobility import HostMobility
from ryu_apps.fabric.link_state import LINK_TIMEOUT, LinkFrameResult, LinkWatch
from ryu_apps.fabric.network_state import NO_CHANGE, NetworkChange, NetworkState
from ryu_apps.openflow import messages
from ryu_apps.openflow.discovery_frames import NONCE_SIZE, DiscoveryFrame, lldp_frame, read_lldp
from ryu_apps.switch.session import Session
from topology.fabric import cable_of, reversed_link
from topology.hosts import Place
from topology.records import Link, SpoofedPacket


@dataclass(slots=True)
class LinkCounters:
    """``forged`` frames have a wrong signature or origin, ``stale`` ones come late or again, and
    ``spoofed`` ones are certainly a host's;
    ``undeclared_ports`` came up without a declared host or pinned cable."""

    forged: int = 0
    stale: int = 0
    spoofed: int = 0
    new_trunks: int = 0
    refused_links: int = 0
    undeclared_ports: int = 0


@dataclass(slots=True)
class LinkDiscovery:
    """``secret`` signs the frames; ``mobility`` and ``can_probe`` are for hosts that may have left
    their port, ``watch`` has the cables that are pinned."""

    network: NetworkState
    secret: bytes
    mobility: HostMobility
    can_probe: Callable[[int], bool]
    watch: LinkWatch = field(default_factory=LinkWatch)
    counters: LinkCounters = field(default_factory=LinkCounters)

    def possible(self, links: Iterable[Link]) -> list[Link]:
        """Those of an earlier run's links that can still be, in both directions."""
        pinned = self.watch.pinned
        kept = [link for link in links if not pinned or cable_of(link) in pinned]
        return [*kept, *map(reversed_link, kept)]

    def frame_received(self, session: Session, port: int, data: bytes, now: float) -> NetworkChange:
        """An LLDP frame arrived on a switch's port."""
        frame = read_lldp(data, self.secret)
        if frame is None:
            self.counters.forged += 1
            return NO_CHANGE
        here, network = (session.switch, port), self.network
        received = self.watch.received(network.fabric, network.hosts, frame, here, now)
        self.counters.forged += received.forged
        self.counters.stale += received.stale
        if received.ask_back:
            return NetworkChange(tuple(self._send(session, [port], now)))
        if received.fabric is None:
            return NetworkChange(
                self._refused(received, Link(frame.switch, frame.port, *here), data, now)
            )
        network.use_fabric(received.fabric)
        self.counters.new_trunks += 1
        link = Link(frame.switch, frame.port, *here)
        effects = (*self._changed(link, "found", self._speed(link), now), network.save_links())
        vacated = [network.hosts.vacate(place) for place in ((frame.switch, frame.port), here)]
        if not any(vacated):
            return NetworkChange(effects, links_changed=True)
        return NetworkChange((*effects, *network.announce_hosts()), hosts_changed=True)

    def _refused(
        self, received: LinkFrameResult, link: Link, data: bytes, now: float
    ) -> tuple[Effect, ...]:
        """What follows from a frame that makes no link."""
        effects: list[Effect] = []
        if received.problem:
            self.counters.refused_links += 1
            effects += self._changed(link, "refused", received.problem, now)
        if received.accused:
            self.counters.spoofed += 1
            spoof = SpoofedPacket(
                now, *received.culprit, data[6:12].hex(":"), None, received.accused
            )
            effects.append(Report(SpoofsSeen((spoof,))))
        for host in received.in_doubt:
            if self.can_probe(host.switch):
                effects += self.mobility.challenge(self.network.hosts, host, None, now) or ()
        return tuple(effects)

    def _speed(self, link: Link) -> str:
        found = (self.watch.latency.get(each) for each in (link, reversed_link(link)))
        return "frames take " + " and ".join(f"{(at or 0) * 1000:.1f} ms" for at in found)

    def _changed(self, link: Link, what: str, detail: str, now: float) -> list[Effect]:
        ends = f"switch {link.switch} port {link.port} to switch {link.peer_switch} "
        text = f"link {what}: {ends}port {link.peer_port}: {detail}"
        level = logging.INFO if what == "found" else logging.WARNING
        return [Log(level, text), Report(LinkChanged(now, what, link, detail))]

    def port_changed(
        self, session: Session, port: int, mac: bytes | None, up: bool, now: float
    ) -> NetworkChange:
        """A port appeared, changed or (``mac`` None) went away."""
        place = (session.switch, port)
        came = port not in session.ports or place in self.network.hosts.down
        ports_changed = session.port_changed(port, mac)
        if up and mac is not None:
            self.network.port_up(place)
            self.counters.undeclared_ports += came and not self._is_declared(place)
            return NetworkChange(links_changed=ports_changed)
        lost = {cable_of(link): link for link in self.network.fabric.at(*place)}
        if self.network.port_down(place):
            why = f"port {port} of switch {session.switch} is down"
            effects = [e for link in lost.values() for e in self._changed(link, "lost", why, now)]
            return NetworkChange((*effects, self.network.save_links()), links_changed=True)
        return NetworkChange(links_changed=ports_changed)

    def _is_declared(self, place: Place) -> bool:
        """Whether a declared host or a pinned cable belongs on a port."""
        declared = self.network.hosts.owner_of(place) is not None
        return declared or place[1] in self._pinned_on(place[0])

    def _pinned_on(self, switch: int) -> set[int]:
        """The ports of a switch that the switches file has a cable for."""
        ends = (end for one in self.watch.pinned for end in (one[:2], one[2:]))
        return {port for number, port in ends if number == switch}

    def expire(self, ready: Collection[int], now: float) -> NetworkChange:
        """Remove links between ``ready`` switches whose LLDP frames have timed out."""
        silent = self.watch.overdue(self.network.fabric, ready, now)
        if not silent:
            return NO_CHANGE
        self.network.use_fabric(self.network.fabric.without(silent))
        why = f"no discovery frame for {LINK_TIMEOUT:g} s"
        lost = {cable_of(link): link for link in sorted(silent, key=cable_of)}
        effects = [each for link in lost.values() for each in self._changed(link, "lost", why, now)]
        return NetworkChange((*effects, self.network.save_links()), links_changed=True)

    def announce(self, session: Session, now: float) -> list[Effect]:
        """Send a discovery frame out of every port where no host is known."""
        hosts, switch = self.network.hosts, session.switch
        free = [p for p in sorted(session.ports) if hosts.occupant((switch, p)) is None]
        pinned = (p for p in self._pinned_on(switch) if p in session.ports and p not in free)
        free += [port for port in pinned if hosts.owner_of((switch, port)) is None]
        return self._send(session, free, now)

    def _send(self, session: Session, ports: Iterable[int], now: float) -> list[Effect]:
        data = b""
        for port in ports:
            frame = DiscoveryFrame(session.switch, port, secrets.token_bytes(NONCE_SIZE), now)
            self.watch.leaves(frame, now)
            whole = lldp_frame(frame, session.ports[port], self.secret)
            data += messages.packet_out(whole, (port,))
        return [Send(session.switch, data)] if data else []
