"""Hosts found by their packets: bindings to learn, moves to verify and spoofs to report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from policies.compiler import SwitchView
from response.ipc.messages import HostPlaced, SpoofsSeen, SwitchChanged
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.fabric import host_probes
from ryu_apps.fabric.dropped_sources import DroppedSources
from ryu_apps.fabric.host_mobility import HostMobility
from ryu_apps.fabric.network_state import NO_CHANGE, NetworkChange, NetworkState
from ryu_apps.openflow.dhcp import read_assignment
from ryu_apps.openflow.ethernet import Frame
from topology.addresses import is_bindable
from topology.hosts import Place
from topology.records import Binding, SpoofedPacket


@dataclass(slots=True)
class HostDiscovery:
    """``can_probe`` tells whether a switch passes probes on and their answers back; ``views``
    gives the connected switches."""

    network: NetworkState
    can_probe: Callable[[int], bool]
    views: Callable[[], Mapping[int, SwitchView]]
    mobility: HostMobility = field(default_factory=HostMobility)
    dropped: DroppedSources = field(default_factory=DroppedSources)
    spoofed: int = 0  # packets

    def unbound_source(self, place: Place, frame: Frame, data: bytes, now: float) -> NetworkChange:
        """A packet whose source no binding admits: a host to learn, or a spoof to report.

        ``place`` is the switch and port that it came in on, ``data`` the copied bytes.
        """
        switch, port = place
        ip = host_probes.claimed_address(frame)
        if port in self.network.fabric.trunks(switch):
            return NO_CHANGE
        if (pretence := host_probes.pretence(frame)) is not None:
            return self.spoof(now, place, frame.src_mac, frame.src_ip, pretence)
        if ip is None:
            return NO_CHANGE
        hosts = self.network.hosts
        check = hosts.check_source(frame.src_mac, ip, switch, port)
        if check.spoof is None and check.learned is None and frame.src_ip != ip:
            # The announced address is the sender's own; its source address may not be.
            if is_bindable(frame.src_ip) and frame.src_ip is not None:
                ip = frame.src_ip
                check = hosts.check_source(frame.src_mac, ip, switch, port)
        if check.outdated is not None:
            claimant = Binding(frame.src_mac, ip, switch, port)
            if (probes := self.ask_whether_gone(check.outdated, claimant, now)) is not None:
                return NetworkChange(tuple(probes))
        if check.spoof is not None:
            return self.spoof(now, place, frame.src_mac, ip, check.spoof)
        if check.learned is None:
            return NO_CHANGE
        return self._learned(check.learned, now, tuple(host_probes.replay(switch, port, data)))

    def ask_whether_gone(
        self, known: Binding, claimant: Binding, now: float
    ) -> Sequence[Effect] | None:
        """Probe a discovered host that another claims to be; None where its port cannot be asked,
        or has answered a moment ago."""
        hosts = self.network.hosts
        if not (hosts.movable(known) and self.can_probe(known.switch)):
            return None
        return self.mobility.challenge(hosts, known, claimant, now)

    def address_assigned(self, place: Place, data: bytes, now: float) -> NetworkChange:
        """A declared DHCP server's answer: bind the address before its host uses it."""
        assigned = read_assignment(data)
        if assigned is None:
            return NO_CHANGE
        check = self.network.hosts.assign(assigned.mac, assigned.ip)
        if check.spoof is not None:
            return self.spoof(now, place, assigned.mac, assigned.ip, check.spoof)
        return NO_CHANGE if check.learned is None else self._learned(check.learned, now)

    def probe_answered(self, place: Place, frame: Frame, now: float) -> NetworkChange:
        """A host answers from its known port: the claimant elsewhere is a spoof."""
        challenge = self.mobility.answered(*place, frame.src_mac, now)
        if challenge is None:
            return NO_CHANGE
        known, claimant = challenge.known, challenge.claimant
        if claimant is None:
            return NO_CHANGE  # the link discovery that asked is refused while it answers
        why = f"{known.mac} still answers on switch {known.switch} port {known.port}"
        return self.spoof(now, (claimant.switch, claimant.port), claimant.mac, claimant.ip, why)

    def search(self, asker: Place, data: bytes) -> NetworkChange:
        """Look for the owner of an address that nobody is known to have."""
        sends = host_probes.search(self.views(), self.network.hosts, asker, data)
        return NetworkChange(tuple(sends))

    def forget(self, wanted: str, by: str, now: float) -> NetworkChange:
        """Forget a discovered host, by MAC, address or name. Raises ValueError."""
        gone = self.network.hosts.forget(wanted)
        if not gone:
            declared = {word for b in self.network.hosts.declared for word in (b.mac, b.ip, b.host)}
            why = "it is declared: change the policy" if wanted in declared else "no such host"
            raise ValueError(f"{wanted} cannot be forgotten: {why}")
        effects: list[Effect] = []
        for each in gone:
            text = f"host {each.mac} with {each.ip} on port {each.port}, by {by}"
            effects.append(Log(logging.INFO, f"switch {each.switch}: forgotten is {text}"))
            effects.append(Report(SwitchChanged(now, each.switch, "forgotten", text)))
            effects.append(Report(HostPlaced(now, "gone", each)))
        return NetworkChange((*effects, *self.network.announce_hosts()), hosts_changed=True)

    def settle_moves(self, now: float) -> NetworkChange:
        """Repeat probes; hosts that did not answer in time have moved. Call often."""
        probes, unanswered = self.mobility.due(now)
        effects: list[Effect] = list(probes)
        moved = False
        hosts = self.network.hosts
        for challenge in unanswered:
            known, new = challenge.known, challenge.claimant
            if not self.can_probe(known.switch):
                continue  # it could not answer: its switch has gone meanwhile
            moved = True
            text = f"host {known.mac} does not answer on switch {known.switch} port {known.port}"
            if new is None:
                hosts.leave(known)
                effects.append(Report(HostPlaced(now, "gone", known)))
                effects.append(Log(logging.INFO, text + " any more: it is gone"))
                continue
            hosts.gone(known, new)
            hosts.check_source(new.mac, new.ip, new.switch, new.port)
            effects.append(Report(HostPlaced(now, "moved", new)))
            text += (
                f" any more: {new.ip} of {new.mac} is on switch {new.switch} port {new.port} now"
            )
            effects.append(Log(logging.INFO, text))
        if not moved:
            return NetworkChange(tuple(effects))
        return NetworkChange((*effects, *self.network.announce_hosts()), hosts_changed=True)

    def _learned(
        self, binding: Binding, now: float, afterwards: tuple[Effect, ...] = ()
    ) -> NetworkChange:
        text = (
            f"host {binding.mac} with {binding.ip} found on switch {binding.switch} "
            f"port {binding.port}"
        )
        placed = Report(HostPlaced(now, "found", binding))
        effects = (Log(logging.INFO, text), placed, *self.network.announce_hosts())
        return NetworkChange(effects, hosts_changed=True, afterwards=afterwards)

    def spoof(self, now: float, place: Place, mac: str, ip: str | None, why: str) -> NetworkChange:
        """Report a packet that its port may not send."""
        seen = SpoofedPacket(now, *place, mac, ip, why)
        self.dropped.add(seen)
        self.spoofed += 1
        return NetworkChange((Report(SpoofsSeen((seen,))),))
