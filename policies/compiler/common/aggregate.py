"""Aggregation of neighbouring prefixes of one identity, for fewer rules.

Two halves of a prefix that have the same value become the prefix. Whatever the
prefix itself said before is hidden behind its halves and may go; longer prefixes
inside keep their own values. Changing one prefix changes what is kept for it and
for those around it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from policies.semantics.prefix_sets import SIX

Value = TypeVar("Value")
Key = tuple[int, int]  # start and negative size, as in `policies.semantics.prefix_sets.Span`
_LARGEST = {False: 1 << 32, True: 1 << 128}


class Aggregate(Generic[Value]):
    """Prefixes with values, longest match first, in merged form.

    ``values`` must not hold None, which stands for "no such prefix".
    """

    def __init__(self, values: Iterable[tuple[Key, Value]]) -> None:
        self._own: dict[Key, Value] = dict(values)
        self._all: dict[Key, Value] = dict(self._own)
        self._merged: set[Key] = set()  # made of their two halves
        by_size: dict[int, list[int]] = {}
        for start, wide in self._own:
            by_size.setdefault(wide, []).append(start)
        wide = -1
        while by_size:
            starts = by_size.pop(wide, ())
            above = []
            for start in starts:
                if start & -wide:
                    continue  # an upper half: looked at with its lower one
                value = self._all[start, wide]
                if self._all.get((start - wide, wide)) == value and _may_grow(start, wide):
                    parent = (start, 2 * wide)
                    if parent not in self._all:
                        above.append(start)
                    self._all[parent] = value
                    self._merged.add(parent)
            if above:
                by_size.setdefault(2 * wide, []).extend(above)
            wide *= 2

    def kept(self) -> Iterator[tuple[Key, Value]]:
        """The prefixes that are needed: all but the halves of merged ones."""
        merged = self._merged
        for key, value in self._all.items():
            start, wide = key
            if (start & (2 * wide), 2 * wide) not in merged:
                yield key, value

    def change(self, changes: Iterable[tuple[Key, Value | None]]) -> dict[Key, Value | None]:
        """Give prefixes another value, or None for no prefix; what changed in `kept`, with None
        for what is kept no longer."""
        before: dict[Key, Value | None] = {}
        for key, value in changes:
            if value is None:
                self._own.pop(key, None)
            else:
                self._own[key] = value
            self._settle(key, before)
        after = {key: self._kept(key) for key in before}
        return {key: value for key, value in after.items() if value != before[key]}

    def _settle(self, key: Key, before: dict[Key, Value | None]) -> None:
        """Recompute a prefix, and the enclosing ones for as long as something changes."""
        while True:
            start, wide = key
            half = wide >> 1
            low = high = None
            if wide < -1:
                low, high = self._all.get((start, half)), self._all.get((start - half, half))
            merged = low is not None and low == high
            value = low if merged else self._own.get(key)
            if value == self._all.get(key) and merged == (key in self._merged):
                return
            for near in (key, (start, half), (start - half, half)) if wide < -1 else (key,):
                before.setdefault(near, self._kept(near))
            if value is None:
                self._all.pop(key, None)
            else:
                self._all[key] = value
            (self._merged.add if merged else self._merged.discard)(key)
            if not _may_grow(start, wide):
                return
            key = (start & (2 * wide), 2 * wide)

    def _kept(self, key: Key) -> Value | None:
        start, wide = key
        return None if (start & (2 * wide), 2 * wide) in self._merged else self._all.get(key)


def _may_grow(start: int, wide: int) -> bool:
    return -wide < _LARGEST[start >= SIX]
