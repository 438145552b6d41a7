"""Where hosts are, over all switches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from policies.regions import SIX, number_of
from topology.records import Binding


@dataclass(slots=True)
class Places:
    """Where addresses and MACs are, over all switches."""

    macs: dict[int, tuple[int, int]] = field(default_factory=dict)
    numbers: dict[int, tuple[int, int]] = field(default_factory=dict)
    # (switch, port) -> MAC -> addresses
    held: dict[tuple[int, int], dict[int, set[int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    @classmethod
    def of(cls, bindings: Iterable[Binding]) -> Places:
        places = cls()
        for binding in bindings:
            places.add(binding)
        return places

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

    def _disown(self, owners: dict[int, tuple[int, int]], key: int, here: tuple[int, int]) -> None:
        """Who owns a MAC or address that is gone from one port."""
        if owners.get(key) != here:
            return
        del owners[key]
        for place in sorted(self.held):
            for mac, numbers in self.held[place].items():
                if place != here and (mac == key if owners is self.macs else key in numbers):
                    owners[key] = place
                    return

    @staticmethod
    def _own(owners: dict[int, tuple[int, int]], key: int, here: tuple[int, int]) -> None:
        known = owners.get(key)
        if known is None or here < known:
            owners[key] = here


def number_of_text(text: str) -> int:
    return number_of(ip_address(text))


def own_address(mac: int) -> int:
    """The link-local IPv6 address of a MAC (RFC 4291, appendix A)."""
    flipped = mac ^ 0x0200_0000_0000
    upper, lower = flipped >> 24, flipped & 0xFF_FFFF
    return SIX | 0xFE80 << 112 | upper << 40 | 0xFFFE << 24 | lower
