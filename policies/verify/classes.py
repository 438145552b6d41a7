"""Classes of addresses, and sets of them as bits of one number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.semantics.intent_ends import names_of


@dataclass(slots=True)
class Classes:
    """The classes of one end. ``own[i]`` are its register bits, ``segments[i]`` its segments and
    bit ``i`` of a bitset is class i."""

    own: list[int] = field(default_factory=list)
    segments: list[frozenset[str]] = field(default_factory=list)
    four: int = 0
    six: int = 0
    _index: dict[tuple[int, frozenset[str], int], int] = field(default_factory=dict)
    _by_mask: dict[int, dict[int, int]] = field(default_factory=dict)
    _by_name: dict[str, int] = field(default_factory=dict)

    def add(self, own: int, segments: frozenset[str], alone: int = 0) -> int:
        """The class of some bits and segments; with ``alone`` one of its own."""
        key = (own, segments, alone)
        known = self._index.get(key)
        if known is None:
            known = self._index[key] = len(self.own)
            self.own.append(own)
            self.segments.append(segments)
            bit = 1 << known
            for mask, found in self._by_mask.items():
                found[own & mask] = found.get(own & mask, 0) | bit
            for name in names_of(segments):
                self._by_name[name] = self._by_name.get(name, 0) | bit
        return known

    def extend(self, classes: Iterable[int], six: bool) -> None:
        """Say that these classes have addresses of a family."""
        bits = bitset(classes, len(self.own))
        if six:
            self.six |= bits
        else:
            self.four |= bits

    @property
    def every(self) -> int:
        return self.four | self.six

    def where(self, mask: int, value: int) -> int:
        """The classes whose register bits under ``mask`` are ``value``."""
        found = self._by_mask.get(mask)
        if found is None:
            groups: dict[int, list[int]] = {}
            for index, own in enumerate(self.own):
                groups.setdefault(own & mask, []).append(index)
            found = {have: bitset(each, len(self.own)) for have, each in groups.items()}
            self._by_mask[mask] = found
        return found.get(value, 0)

    def named(self, name: str) -> int:
        """The classes that an intent's end includes by one of its names."""
        return self._by_name.get(name, 0)


def bitset(indices: Iterable[int], size: int) -> int:
    """Bits as one number, without a big number per step."""
    found = bytearray(size // 8 + 1)
    for index in indices:
        found[index >> 3] |= 1 << (index & 7)
    return int.from_bytes(found, "little")


def indices(bits: int) -> list[int]:
    """Which bits are set, lowest first."""
    text = bin(bits)[:1:-1]
    found, at = [], text.find("1")
    while at >= 0:
        found.append(at)
        at = text.find("1", at + 1)
    return found
