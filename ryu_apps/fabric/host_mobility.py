"""Whether a host moved or is being impersonated: its old port is probed.

A discovered host that appears elsewhere has moved when its old port has no link, or no longer
answers. An answer from the old port makes the claimant a spoof. Declared hosts do not move, so they
are never probed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from policies.rules.layout import PROBE_MAC
from ryu_apps.effects import Send
from ryu_apps.openflow import messages
from ryu_apps.openflow.ethernet import ETH_ARP, ETH_IPV6
from topology.addresses import link_local_number
from topology.hosts import HostTable
from topology.records import Binding

PROBE_EVERY = 0.3  # seconds
PATIENCE = 1.0  # seconds that the old port has to answer
QUIET = 5.0  # seconds after an answer in which claimants are spoofs without another probe
MAX_CHALLENGES = 1_000  # at a time

_MAC = PROBE_MAC.to_bytes(6, "big")
_OWN_SIX = IPv6Address(link_local_number(PROBE_MAC))


@dataclass(slots=True)
class Challenge:
    """Whether ``known`` is still where it was; ``claimant`` claims to be it elsewhere, None where
    its port is taken for a cable's end. Times in seconds since the epoch."""

    known: Binding
    claimant: Binding | None
    addresses: tuple[str, ...]
    probed: float
    until: float
    answered: float | None = None


@dataclass(slots=True)
class HostMobility:
    """The challenges that are open, by the switch, port and MAC that they probe."""

    open: dict[tuple[int, int, str], Challenge] = field(default_factory=dict)

    def challenge(
        self, hosts: HostTable, known: Binding, claimant: Binding | None, now: float
    ) -> list[Send] | None:
        """Probe the old port; None when it answered a moment ago, or too many are being probed."""
        key = (known.switch, known.port, known.mac)
        challenge = self.open.get(key)
        if challenge is not None:
            if challenge.claimant is None:
                challenge.claimant = claimant
            return None if challenge.answered is not None else []
        if len(self.open) >= MAX_CHALLENGES:
            return None
        addresses = hosts.addresses_of(known.mac, (known.switch, known.port))
        self.open[key] = Challenge(known, claimant, addresses, now, now + PATIENCE)
        return [_probes(self.open[key])]

    def answered(self, switch: int, port: int, mac: str, now: float) -> Challenge | None:
        """A probe was answered; the challenge that this decides, the first time."""
        challenge = self.open.get((switch, port, mac))
        if challenge is None or challenge.answered is not None:
            return None
        challenge.answered = now
        return challenge

    def due(self, now: float) -> tuple[list[Send], list[Challenge]]:
        """Probes to repeat, and the challenges whose time ran out without an answer."""
        probes, unanswered = [], []
        for key, challenge in list(self.open.items()):
            if challenge.answered is not None:
                if now - challenge.answered > QUIET:
                    del self.open[key]
            elif now >= challenge.until:
                del self.open[key]
                unanswered.append(challenge)
            elif now - challenge.probed >= PROBE_EVERY:
                challenge.probed = now
                probes.append(_probes(challenge))
        return probes, unanswered


def _probes(challenge: Challenge) -> Send:
    known = challenge.known
    frames = (probe(known.mac, address) for address in challenge.addresses)
    data = b"".join(messages.packet_out(frame, (known.port,)) for frame in frames)
    return Send(known.switch, data)


def probe(mac: str, ip: str) -> bytes:
    """An Ethernet frame for one host alone whose answer comes to the controller: an ARP probe
    (RFC 5227), or a neighbour solicitation."""
    target, address = bytes.fromhex(mac.replace(":", "")), ip_address(ip)
    if isinstance(address, IPv4Address):
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + _MAC + bytes(4) + bytes(6)
        frame = target + _MAC + struct.pack("!H", ETH_ARP) + body + address.packed
        return frame.ljust(60, b"\0")
    icmp = struct.pack("!BBHI", 135, 0, 0, 0) + address.packed + b"\1\1" + _MAC
    ends = _OWN_SIX.packed + address.packed
    checksum = _checksum(ends + struct.pack("!II", len(icmp), 58) + icmp)
    icmp = icmp[:2] + struct.pack("!H", checksum) + icmp[4:]
    head = struct.pack("!IHBB", 6 << 28, len(icmp), 58, 255)
    return target + _MAC + struct.pack("!H", ETH_IPV6) + head + ends + icmp


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
