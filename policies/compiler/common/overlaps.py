"""Overlaps: which segments share an address, updated incrementally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping


class SegmentOverlaps:
    """``together`` names, for each segment, the segments that share an address with it.

    It holds the segment itself, lacks segments without addresses, and is always current: those
    who keep it see it change.
    """

    def __init__(self, groups: Iterable[frozenset[str]]) -> None:
        self._groups = Counter(groups)
        self._shared: dict[str, dict[str, int]] = {}
        for group in self._groups:
            self._count(group, 1)

    @property
    def together(self) -> Mapping[str, Mapping[str, int]]:
        return self._shared

    def change(self, gone: Iterable[frozenset[str]], new: Iterable[frozenset[str]]) -> set[str]:
        """Take one address's set of segments out for each of ``gone``, and in for each of ``new``;
        the segments that share an address with others than before."""
        changed: set[str] = set()
        for group in new:
            self._groups[group] += 1
            if self._groups[group] == 1:
                changed |= self._count(group, 1)
        for group in gone:
            self._groups[group] -= 1
            if not self._groups[group]:
                del self._groups[group]
                changed |= self._count(group, -1)
        return changed

    def _count(self, group: frozenset[str], step: int) -> set[str]:
        changed = set()
        for one in group:
            near = self._shared.setdefault(one, {})
            for other in group:
                count = near.get(other, 0) + step
                if count:
                    near[other] = count
                else:
                    del near[other]
                if count == (step > 0):
                    changed.add(one)
            if not near:
                del self._shared[one]
        return changed
