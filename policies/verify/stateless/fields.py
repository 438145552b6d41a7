"""The fields of a universe by what their values mean: whose they are, and where they lead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from policies.semantics.prefix_sets import SIX
from policies.verify.stateless.atoms import Atoms
from policies.verify.stateless.meaning import Meaning
from policies.verify.stateless.shapes import Region, Universe

Segments = frozenset[str]


class Fields:
    """Sets of atoms, as bits of one number, by what the policy and the hosts' places say."""

    def __init__(self, meaning: Meaning, universe: Universe) -> None:
        self._meaning, self._universe = meaning, universe
        self._groups: dict[str, dict[int, Segments]] = {}

    def atoms(self, name: str) -> Atoms:
        return self._universe.atoms(name)

    @cached_property
    def ways(self) -> dict[int | None, int]:
        """Target MACs by the port that leads to them."""
        found: dict[int | None, int] = {}
        atoms, rest = self.atoms("eth_dst"), self.atoms("eth_dst").all
        for mac, place in self._meaning.places.macs.items():
            way = self._meaning.way(place)
            found[way] = found.get(way, 0) | atoms.one(mac)
            rest &= ~atoms.one(mac)
        found[None] = found.get(None, 0) | rest
        return found

    @cached_property
    def local(self) -> int:
        here = self._meaning.view.switch
        macs = (mac for mac, place in self._meaning.places.macs.items() if place[0] == here)
        return union(self.atoms("eth_dst").one(mac) for mac in macs)

    def owned(self, name: str, numbers_of: Iterable[int]) -> int:
        six = SIX if name in ("ipv6_src", "ipv6_dst", "nd_target") else 0
        own = (number & ~SIX for number in numbers_of if number & SIX == six)
        return union(self.atoms(name).one(number) for number in own)

    def by_segments(self, name: str, bits: int) -> Iterator[tuple[int, Segments]]:
        """Some addresses, apart by their segments."""
        groups = self._groups.get(name)
        if groups is None:
            found: dict[Segments, int] = {}
            six = SIX if name.startswith("ipv6") else 0
            for number, value in enumerate(self.atoms(name).values):
                segments = self._meaning.membership.segments_of_number(value | six)
                found[segments] = found.get(segments, 0) | 1 << number
            groups = self._groups[name] = {group: segments for segments, group in found.items()}
        for group, segments in groups.items():
            if group & bits:
                yield group & bits, segments

    def owners(self, name: str) -> dict[int | None, int]:
        """Addresses by the port that leads to who has them."""
        found: dict[int | None, set[int]] = {}
        for number, place in self._meaning.places.numbers.items():
            found.setdefault(self._meaning.way(place), set()).add(number)
        return {way: self.owned(name, own) for way, own in found.items()}


def narrowed(region: Region, at: int, bits: int) -> Region:
    """A region with other atoms in one field; only where they lie inside."""
    kept = region[at] & bits
    return (*region[:at], kept, *region[at + 1 :])


def union(sets: Iterable[int]) -> int:
    """All atoms of some sets."""
    found = 0
    for bits in sets:
        found |= bits
    return found
