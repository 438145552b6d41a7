"""Where hosts are, over all switches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from policies.compiler.stateful.vlan_tagging import PRESENT, tags_of
from policies.model import ADVERTISEMENTS, Host
from policies.semantics.prefix_sets import SIX, number_of, span_of
from topology.records import Binding

# Nobody forwards from these: this host, loopback, link-local, groups and broadcast (RFC 6890).
NEVER = tuple(
    span_of(ip_network(text))
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
)


@dataclass(slots=True)
class AttachmentPoints:
    """Where addresses and MACs are, over all switches."""

    macs: dict[int, tuple[int, int]] = field(default_factory=dict)
    numbers: dict[int, tuple[int, int]] = field(default_factory=dict)
    # Where else one of the two is, in the rare case that it is at several places.
    also: dict[tuple[bool, int], set[tuple[int, int]]] = field(default_factory=dict)
    # (switch, port) -> MAC -> addresses
    held: dict[tuple[int, int], dict[int, set[int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    # (switch, port, MAC) -> the routers there, and what is served from there
    routers: dict[tuple[int, int, int], list[Host]] = field(default_factory=dict)
    serves: dict[tuple[int, int, int], set[str]] = field(default_factory=dict)

    # (switch, port, MAC) -> the ``vlan_vid`` of its frames, where a port is tagged
    tags: dict[tuple[int, int, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, bindings: Sequence[Binding], hosts: Sequence[Host] = ()) -> AttachmentPoints:
        """Raises CompileError for a router or server on a tagged port."""
        places = cls()
        places.tags = vlan_tags(hosts, bindings)
        special = {host.name: host for host in hosts if host.routes or host.serves}
        for binding in bindings:
            places.add(binding)
            if binding.host in special:
                mac = int(binding.mac.replace(":", ""), 16)
                there = (binding.switch, binding.port, mac)
                places._special(special[binding.host], there)
        return places

    def _special(self, host: Host, there: tuple[int, int, int]) -> None:
        known = self.routers.setdefault(there, [])
        if host.routes and host not in known:
            known.append(host)
        serves = self.serves.setdefault(there, set())
        serves.update(host.serves)
        if any(route.version == 6 for route in host.routes):
            serves.add(ADVERTISEMENTS)

    def framed(self, switch: int, packet: dict[str, int]) -> dict[str, int]:
        """A packet with the tag that its sender's frames have."""
        tag = self.tags.get((switch, packet["in_port"], packet["eth_src"]))
        return packet if tag is None else packet | {"vlan_vid": tag}

    def tag_of(self, number: int) -> int:
        """The tag of frames to an address, 0 for none."""
        place = self.numbers.get(number)
        if place is None or not self.tags:
            return 0
        owners = (mac for mac, own in sorted(self.held[place].items()) if number in own)
        return next((self.tags.get((*place, mac), 0) for mac in owners), 0)

    def serving(self) -> dict[int, frozenset[str]]:
        """What is served by each MAC that serves anything."""
        found: dict[int, frozenset[str]] = {}
        for (_, _, mac), words in self.serves.items():
            found[mac] = found.get(mac, frozenset()) | words
        return found

    def servers(self, switch: int, word: str) -> frozenset[int]:
        """Ports of a switch from which something is served."""
        return frozenset(
            port
            for (where, port, _), words in self.serves.items()
            if where == switch and word in words
        )

    def forwards(self, switch: int, port: int, mac: int, number: int) -> bool:
        """Whether a router there may send from an address that is not its own."""
        return not any(number in span for span in NEVER) and any(
            (host.routed or number not in self.numbers)
            and any(number in span_of(route) for route in host.routes)
            for host in self.routers.get((switch, port, mac), ())
        )

    def add(self, binding: Binding) -> None:
        mac = int(binding.mac.replace(":", ""), 16)
        here = (binding.switch, binding.port)
        own = self.held[here].get(mac)
        if own is None:
            own = self.held[here][mac] = {own_address(mac)}
            self._own(self.numbers, own_address(mac), here)
            self._own(self.macs, mac, here)
        number = number_of_text(binding.ip)
        own.add(number)
        self._own(self.numbers, number, here)

    def remove(self, binding: Binding) -> None:
        """Forget an address on a port; with the last one, its MAC there."""
        mac = int(binding.mac.replace(":", ""), 16)
        here = (binding.switch, binding.port)
        own = self.held[here][mac]
        own.discard(number_of_text(binding.ip))
        self._disown(self.numbers, number_of_text(binding.ip), here)
        if own <= {own_address(mac)}:
            del self.held[here][mac]
            self._disown(self.numbers, own_address(mac), here)
            self._disown(self.macs, mac, here)

    def _own(self, owners: dict[int, tuple[int, int]], key: int, here: tuple[int, int]) -> None:
        """The first place of several is where a MAC or address is."""
        known = owners.setdefault(key, here)
        if known != here:
            others = self.also.setdefault((owners is self.macs, key), set())
            others.add(max(known, here))
            owners[key] = min(known, here)

    def _disown(self, owners: dict[int, tuple[int, int]], key: int, here: tuple[int, int]) -> None:
        """Who owns a MAC or address that is gone from one place."""
        others = self.also.get((owners is self.macs, key), set())
        if here in others:
            others.remove(here)
        elif owners.get(key) == here:
            del owners[key]
            if others:
                owners[key] = min(others)
                others.remove(owners[key])
        if not others:
            self.also.pop((owners is self.macs, key), None)


def vlan_tags(
    hosts: Sequence[Host], bindings: Sequence[Binding]
) -> dict[tuple[int, int, int], int]:
    """The ``vlan_vid`` of frames to and from each MAC on a tagged port."""
    return {where: PRESENT | vlan for where, vlan in tags_of(hosts, bindings).items()}


def number_of_text(text: str) -> int:
    return number_of(ip_address(text))


def own_address(mac: int) -> int:
    """The link-local IPv6 address of a MAC (RFC 4291, appendix A)."""
    flipped = mac ^ 0x0200_0000_0000
    upper, lower = flipped >> 24, flipped & 0xFF_FFFF
    return SIX | 0xFE80 << 112 | upper << 40 | 0xFFFE << 24 | lower
