"""Which address belongs on which port: declared bindings, and hosts found by their packets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from topology.addresses import is_bindable, mac_of_link_local
from topology.ports import is_port
from topology.records import Binding

MAX_PER_PORT = 64  # discovered addresses: a flooder must not fill the tables
MAX_PER_SWITCH = 16_384
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ExpectedHost:
    """A declared host whose location, MAC or addresses are to be discovered. Parts that are None
    (or empty) match anything.
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
class SourceCheck:
    """The result of checking a packet's source addresses: a new binding, or a spoof with its
    reason. Neither is set when the binding is already known. ``outdated`` accompanies a spoof: a
    discovered binding that may be outdated, since its host could have moved.
    """

    learned: Binding | None = None
    spoof: str | None = None
    outdated: Binding | None = None


@dataclass(slots=True)
class HostTable:
    """All current bindings. ``down`` are ports without a link: their hosts may move.

    Looking up a packet's source takes constant time.
    """

    declared: tuple[Binding, ...] = ()
    expected: tuple[ExpectedHost, ...] = ()
    discovered: dict[tuple[str, str], Binding] = field(default_factory=dict)
    down: set[Place] = field(default_factory=set)
    left: set[Place] = field(default_factory=set)  # whose port was down since they were seen
    _by_ip: dict[str, Binding] = field(default_factory=dict)
    _by_mac: dict[str, Binding] = field(default_factory=dict)
    _owners: dict[Place, str] = field(default_factory=dict)
    _on_port: Counter[Place] = field(default_factory=Counter)
    _on_switch: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._index()

    def bindings(self) -> tuple[Binding, ...]:
        found = sorted(
            self.discovered.values(),
            key=lambda each: (each.switch, each.port, each.mac, each.ip),
        )
        return (*self.declared, *found)

    def declare(self, declared: Iterable[Binding], expected: Iterable[ExpectedHost]) -> None:
        """Take over a new policy's hosts; discovered ones that contradict it are forgotten."""
        before = tuple(self.discovered.values())
        self.declared, self.expected = tuple(declared), tuple(expected)
        self.discovered = {}
        self._index()
        self.restore(before)

    def port_down(self, place: Place) -> None:
        """Note that a port lost its link: hosts discovered there may move."""
        self.down.add(place)
        self.left.add(place)

    def links_of(self, switch: int, ports: Iterable[int], down: Collection[int]) -> None:
        """Note which ports of a switch that connects have a link, and which are ``down``."""
        for port in ports:
            if port in down:
                self.port_down((switch, port))
            else:
                self.port_up((switch, port))

    def port_up(self, place: Place) -> None:
        self.down.discard(place)

    def switch_disconnected(self, switch: int) -> None:
        """Forget which ports of a switch are down, but for those that hosts were found on."""
        for places in (self.down, self.left):
            places -= {each for each in places if each[0] == switch and not self._on_port[each]}

    def occupant(self, place: Place) -> str | None:
        """The host known on a port, by its name or MAC, or None; not one whose port was down since
        it was seen."""
        name = self._owners.get(place)
        if name is None and self._on_port[place] and place not in self.left:
            here = (b for b in self.discovered.values() if (b.switch, b.port) == place)
            name = next((binding.mac for binding in here), None)
        return name

    def owner_of(self, place: Place) -> str | None:
        """The declared host that a port belongs to, or None."""
        return self._owners.get(place)

    def holder(self, ip: str) -> Binding | None:
        """The binding of an address."""
        return self._by_ip.get(ip)

    def on(self, mac: str, place: Place) -> Binding | None:
        """The first binding of a MAC, if that is on a port."""
        known = self._by_mac.get(mac)
        return known if known is not None and (known.switch, known.port) == place else None

    def movable(self, known: Binding) -> bool:
        """Whether a binding was discovered: declared ones do not move."""
        return (known.mac, known.ip) in self.discovered

    def found_on(self, place: Place) -> tuple[Binding, ...]:
        """What was discovered on a port, one binding for each MAC."""
        if not self._on_port[place]:
            return ()
        here = (b for b in self.discovered.values() if (b.switch, b.port) == place)
        return tuple({binding.mac: binding for binding in here}.values())

    def leave(self, known: Binding) -> None:
        """Forget a discovered host, with all its addresses, that is no longer on its port."""
        self.discovered = {k: b for k, b in self.discovered.items() if b.mac != known.mac}
        self._index()

    def vacate(self, place: Place) -> bool:
        """Forget the hosts discovered on a port; whether there were any."""
        kept = {k: b for k, b in self.discovered.items() if (b.switch, b.port) != place}
        gone = len(kept) < len(self.discovered)
        if gone:
            self.discovered = kept
            self._index()
        return gone

    def forget(self, wanted: str) -> tuple[Binding, ...]:
        """Forget the discovered bindings of a MAC, an address or a name; those that were there."""
        gone = tuple(b for b in self.discovered.values() if wanted in (b.mac, b.ip, b.host))
        for binding in gone:
            del self.discovered[binding.mac, binding.ip]
        self._index()
        return gone

    def restore(self, bindings: Iterable[Binding]) -> None:
        """Restore an earlier run's discovered bindings, as far as they are still consistent."""
        for binding in bindings:
            seen = self.check_source(binding.mac, binding.ip, binding.switch, binding.port)
            if seen.spoof is not None and binding.host is not None:
                known = self._by_mac.get(binding.mac)
                if known is not None and (known.switch, known.port) == (
                    binding.switch,
                    binding.port,
                ):
                    self.assign(binding.mac, binding.ip)

    def assign(self, mac: str, ip: str) -> SourceCheck:
        """Bind an address that a declared DHCP server assigned to the host with this MAC, at its
        current port. A discovered binding of the address is removed; a declared one stays.
        """
        known, owner = self._by_mac.get(mac), self._by_ip.get(ip)
        if known is None or not is_bindable(ip):
            return SourceCheck()
        if owner is not None:
            if (owner.mac, owner.switch, owner.port) == (mac, known.switch, known.port):
                return SourceCheck()
            if (owner.mac, owner.ip) not in self.discovered:
                return SourceCheck(spoof=f"{ip} was assigned to {mac}, but belongs to {owner.host}")
            del self.discovered[owner.mac, owner.ip]
            self._index()
        if (full := self._full((known.switch, known.port))) is not None:
            return SourceCheck(spoof=full)
        binding = Binding(mac, ip, known.switch, known.port, known.host)
        self._add(binding)
        return SourceCheck(learned=binding)

    def check_source(self, mac: str, ip: str, switch: int, port: int) -> SourceCheck:
        """Check the source addresses of a packet from an edge port."""
        here = (switch, port)
        if not is_port(port):
            return SourceCheck(spoof=f"{port} is no port that a host can be on")
        self.left.discard(here)
        owner = self._by_ip.get(ip)
        if owner is not None and owner.mac == mac and (owner.switch, owner.port) == here:
            return SourceCheck()
        if (maker := mac_of_link_local(ip)) is not None and maker != mac:
            # Every MAC has its own such address (RFC 4291): a host that has not been seen yet too.
            return SourceCheck(spoof=f"{ip} is the link-local address of {maker}")
        clash, outdated = self._clashes((owner, self._by_mac.get(mac)), mac, ip, here)
        host = next((each.host for each in self.expected if each.fits(mac, ip, *here)), None)
        if clash is not None and (outdated is None or host is None and here in self._owners):
            return SourceCheck(spoof=clash)
        if host is None and here in self._owners:
            return SourceCheck(spoof=self._undeclared(mac, ip, here))
        if clash is not None:
            return SourceCheck(spoof=clash, outdated=outdated)
        if (full := self._full(here)) is not None:
            return SourceCheck(spoof=full)
        self._forget_elsewhere(mac, here)
        binding = Binding(mac, ip, switch, port, host)
        self._add(binding)
        return SourceCheck(learned=binding)

    def _full(self, place: Place) -> str | None:
        """Why no more can be discovered on a port; None where there is room."""
        if self._on_port[place] >= MAX_PER_PORT:
            return f"more than {MAX_PER_PORT} addresses on one port"
        if self._on_switch[place[0]] >= MAX_PER_SWITCH:
            return f"more than {MAX_PER_SWITCH:,} addresses on one switch"
        return None

    def _clashes(
        self, known: Iterable[Binding | None], mac: str, ip: str, here: Place
    ) -> tuple[str | None, Binding | None]:
        """The first contradiction to known bindings, and the binding that would have moved."""
        found: list[tuple[str, Binding]] = []
        for each in known:
            if each is not None and (clash := self._clash(each, mac, ip, here)) is not None:
                found.append((clash, each))
        if not found:
            return None, None
        movable = all((each.mac, each.ip) in self.discovered for _, each in found)
        return found[0][0], found[0][1] if movable else None

    def addresses_of(self, mac: str, place: Place) -> tuple[str, ...]:
        """What a MAC is known by on a port."""
        return tuple(
            each.ip
            for each in self.bindings()
            if each.mac == mac and (each.switch, each.port) == place
        )

    def gone(self, known: Binding, newcomer: Binding) -> None:
        """Remove ``known``, whose port no longer answers: a host that moved leaves with all its
        addresses, one whose address another host has now loses that address."""
        moved = known.mac == newcomer.mac
        self.discovered = {
            key: each
            for key, each in self.discovered.items()
            if each.mac != known.mac or not (moved or each.ip == known.ip)
        }
        self._index()

    def _clash(self, known: Binding, mac: str, ip: str, here: Place) -> str | None:
        """Why these addresses contradict a known binding; None when they do not."""
        there = (known.switch, known.port)
        left = there in self.down and (known.mac, known.ip) in self.discovered
        if there == here and known.mac == mac or known.mac == mac and left:
            return None
        if there == here and known.host is not None:
            return f"{known.host}'s declared MAC is {known.mac}, seen {mac}"
        what = ip if known.ip == ip else mac
        return (
            f"{what} belongs to {known.host or known.mac} on switch {known.switch} "
            f"port {known.port}"
        )

    def _forget_elsewhere(self, mac: str, here: Place) -> None:
        """Remove a discovered host that moved, with all its addresses, from its old port."""
        known = self._by_mac.get(mac)
        if known is None or (known.switch, known.port) == here:
            return
        self.discovered = {key: each for key, each in self.discovered.items() if each.mac != mac}
        self._index()

    def _undeclared(self, mac: str, ip: str, here: Place) -> str:
        """What differs from the declared hosts of a port."""
        owners = [each for each in self.declared if (each.switch, each.port) == here]
        own = [each for each in owners if each.mac == mac]
        if own:
            ips = ", ".join(sorted({each.ip for each in own}))
            return f"{own[0].host} is declared with {ips}, seen {ip}"
        macs = sorted({each.mac for each in owners})
        if len(macs) == 1:
            return f"{owners[0].host}'s declared MAC is {macs[0]}, seen {mac}"
        return f"port belongs to declared host {self._owners[here]}"

    def _add(self, binding: Binding) -> None:
        self.discovered[binding.mac, binding.ip] = binding
        self._by_ip[binding.ip] = binding
        self._by_mac.setdefault(binding.mac, binding)
        self._on_port[binding.switch, binding.port] += 1
        self._on_switch[binding.switch] += 1

    def _index(self) -> None:
        self._by_ip, self._by_mac, self._owners = {}, {}, {}
        self._on_port, self._on_switch = Counter(), Counter()
        for binding in self.declared:
            self._by_ip[binding.ip] = binding
            self._by_mac.setdefault(binding.mac, binding)
            if binding.host is not None:
                self._owners[binding.switch, binding.port] = binding.host
        for each in self.expected:
            if each.switch is not None and each.port is not None:
                self._owners.setdefault((each.switch, each.port), each.host)
        for binding in list(self.discovered.values()):
            self._add(binding)
