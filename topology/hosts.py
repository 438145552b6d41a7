"""Which address belongs on which port: declared bindings, and hosts found by their packets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from topology.records import Binding

MAX_PER_PORT = 64  # discovered addresses: a flooder must not fill the tables


@dataclass(frozen=True, slots=True)
class Expected:
    """A declared host whose place, MAC or addresses are left to discovery.

    A part that is None (or empty) may be anything; the others must match.
    """

    host: str
    mac: str | None = None
    ips: tuple[str, ...] = ()
    switch: int | None = None
    port: int | None = None

    def fits(self, mac: str, ip: str, switch: int, port: int) -> bool:
        return (
            self.mac in (None, mac)
            and (not self.ips or ip in self.ips)
            and self.switch in (None, switch)
            and self.port in (None, port)
            and (self.mac is not None or bool(self.ips) or self.port is not None)
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a packet's source addresses mean: a new binding, or a spoof with its reason.

    Neither is set when the binding is known already.
    """

    learned: Binding | None = None
    spoof: str | None = None
    moved_from: Binding | None = None


@dataclass(slots=True)
class HostTable:
    """All bindings that hold now. ``down`` are ports without a link: their hosts may move."""

    declared: tuple[Binding, ...] = ()
    expected: tuple[Expected, ...] = ()
    discovered: dict[tuple[str, str], Binding] = field(default_factory=dict)
    down: set[tuple[int, int]] = field(default_factory=set)

    def bindings(self) -> tuple[Binding, ...]:
        taken = {binding.ip for binding in self.declared}
        rest = sorted(
            (each for each in self.discovered.values() if each.ip not in taken),
            key=lambda each: (each.switch, each.port, each.mac, each.ip),
        )
        return (*self.declared, *rest)

    def declare(self, declared: Iterable[Binding], expected: Iterable[Expected]) -> None:
        """Take over a new policy's hosts; discovered ones that contradict it are forgotten."""
        self.declared, self.expected = tuple(declared), tuple(expected)
        for key, binding in list(self.discovered.items()):
            del self.discovered[key]
            seen = self.sighting(binding.mac, binding.ip, binding.switch, binding.port)
            if seen.learned is not None:
                self.discovered[key] = seen.learned

    def restore(self, bindings: Iterable[Binding]) -> None:
        """Take back what an earlier run discovered, as far as it still fits."""
        for binding in bindings:
            self.sighting(binding.mac, binding.ip, binding.switch, binding.port)

    def sighting(self, mac: str, ip: str, switch: int, port: int) -> Sighting:
        """Judge the source addresses of a packet that came in on an edge port."""
        here = (switch, port)
        for known in self.bindings():
            if known.ip == ip and known.mac == mac and (known.switch, known.port) == here:
                return Sighting()
            clash = self._clash(known, mac, ip, here)
            if clash is not None:
                return Sighting(spoof=clash)
        host = next((each.host for each in self.expected if each.fits(mac, ip, *here)), None)
        if host is None and (owner := self._owner(here)) is not None:
            return Sighting(spoof=f"port belongs to declared host {owner}")
        on_port = [each for each in self.discovered.values() if (each.switch, each.port) == here]
        if len(on_port) >= MAX_PER_PORT:
            return Sighting(spoof=f"more than {MAX_PER_PORT} addresses on one port")
        before = self.discovered.get((mac, ip))
        for key, other in list(self.discovered.items()):
            if other.mac == mac and (other.switch, other.port) != here:
                del self.discovered[key]
        binding = Binding(mac, ip, switch, port, host)
        self.discovered[mac, ip] = binding
        return Sighting(learned=binding, moved_from=before)

    def _clash(self, known: Binding, mac: str, ip: str, here: tuple[int, int]) -> str | None:
        """Why this sighting contradicts a known binding; None when it does not."""
        there = (known.switch, known.port)
        owner = known.host or known.mac
        place = f"switch {known.switch} port {known.port}"
        gone = there in self.down and (known.mac, known.ip) in self.discovered
        if known.ip == ip and (known.mac != mac or there != here):
            if gone and known.mac == mac:
                return None
            return f"{ip} belongs to {owner} on {place}"
        if known.mac == mac and there != here and not gone:
            return f"{mac} belongs to {owner} on {place}"
        return None

    def _owner(self, here: tuple[int, int]) -> str | None:
        names = [each.host for each in self.declared if (each.switch, each.port) == here]
        names += [each.host for each in self.expected if (each.switch, each.port) == here]
        return names[0] if names else None


def is_bindable(ip: str | None) -> bool:
    """Whether an address can belong to a host: not multicast, unspecified or loopback."""
    if ip is None:
        return False
    address = ip_address(ip)
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or ip == "255.255.255.255"
    )
