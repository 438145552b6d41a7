"""A field's values, grouped so that neither rules nor policy tell those of one group apart.

An atom is such a group, with one value to stand for it. A set of atoms is the
bits of an integer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from policies.verify.ranges import Undecided

HOLES = 6  # masked bits below the first unmasked one that are written out
LOOSE = 10  # bits that masks without a beginning may look at
Condition = tuple[int, int | None]  # value and mask; a mask of None is every bit


class Atoms:
    """The atoms of one field of ``width`` bits.

    ``conditions`` are what rules match in it, ``ranges`` what else must be told
    apart (first and last value). Raises Undecided for masks that would need
    too many atoms.
    """

    def __init__(
        self, width: int, conditions: Iterable[Condition], ranges: Iterable[tuple[int, int]]
    ) -> None:
        self._top = (1 << width) - 1
        self._width = width
        self._runs: dict[Condition, tuple[tuple[int, int], ...]] = {}
        self._loose: set[Condition] = set()
        cuts = {0}
        for condition in conditions:
            runs = self._runs_of(*condition)
            if runs is None:
                self._loose.add(condition)
            else:
                self._runs[condition] = runs
                for first, last in runs:
                    cuts |= {first, last + 1}
        for first, last in ranges:
            cuts |= {first, last + 1}
        cuts.discard(self._top + 1)
        self._starts = sorted(cuts)
        self.values: list[int] = []
        self._index = [0]
        self._fill()
        self.all = (1 << len(self.values)) - 1
        self._bits: dict[Condition, int] = {}

    def _fill(self) -> None:
        seen = 0
        for _, mask in self._loose:
            seen |= mask or 0
        if seen.bit_count() > LOOSE:
            raise Undecided("rules mask more bits of one field than this proof follows")
        patterns = list(_patterns(seen))
        ends = [start - 1 for start in self._starts[1:]] + [self._top]
        for first, last in zip(self._starts, ends, strict=True):
            for pattern in patterns:
                value = _least(first, seen, pattern, self._width)
                if value is not None and value <= last:
                    self.values.append(value)
            self._index.append(len(self.values))

    def _runs_of(self, value: int, mask: int | None) -> tuple[tuple[int, int], ...] | None:
        """The runs of values that a condition covers; None when they are too many."""
        mask = self._top if mask is None else mask & self._top
        below = (mask & -mask) - 1 if mask else self._top
        holes = [bit for bit in range(self._width) if not (mask | below) >> bit & 1]
        if len(holes) > HOLES:
            return None
        runs = []
        for pattern in _patterns(sum(1 << bit for bit in holes)):
            first = value & mask | pattern
            runs.append((first, first | below))
        return tuple(sorted(runs))

    def matching(self, value: int, mask: int | None) -> int:
        """The atoms that a condition covers."""
        key = (value, mask)
        bits = self._bits.get(key)
        if bits is None:
            bits = self._bits[key] = self._matching(key)
        return bits

    def _matching(self, key: Condition) -> int:
        if key in self._loose:
            value, mask = key
            found = (n for n, each in enumerate(self.values) if each & (mask or 0) == value)
            return sum(1 << number for number in found)
        bits = 0
        for first, last in self._runs.get(key) or self._runs_of(*key) or ():
            bits |= self.between(first, last)
        return bits

    def between(self, first: int, last: int) -> int:
        """The atoms of a range that was told apart from the rest."""
        low = self._index[bisect_left(self._starts, first)]
        high = self._index[bisect_left(self._starts, last + 1)]
        return (1 << high) - (1 << low)

    def one(self, value: int) -> int:
        """The atoms of a value that was told apart from the rest."""
        return self.between(value, value)

    def example(self, bits: int) -> int:
        """A value in some atoms."""
        return self.values[(bits & -bits).bit_length() - 1]


def numbers(bits: int) -> Iterator[int]:
    """The numbers of the atoms in a set."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def _patterns(mask: int) -> Iterator[int]:
    """Every value of the bits of a mask."""
    value = 0
    while True:
        yield value
        value = value - mask & mask
        if not value:
            return


def _least(first: int, mask: int, pattern: int, width: int) -> int | None:
    """The least value from ``first`` on whose bits under ``mask`` are ``pattern``."""
    if first & mask == pattern:
        return first
    for bit in range(width):
        one = 1 << bit
        above = ~((one << 1) - 1)
        if first & one or (mask & one and not pattern & one):
            continue
        if first & mask & above == pattern & above:
            return first & above | one | pattern & (one - 1)
    return None
