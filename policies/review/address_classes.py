"""Addresses by the segments that they are in under two policies at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.semantics.prefix_sets import SIX

_ALL = ((0, -(1 << 32)), (SIX, -(1 << 128)))


@dataclass(frozen=True, slots=True)
class AddressClass:
    """Addresses of one family that are in the same segments before, and after."""

    version: int
    before: frozenset[str]
    after: frozenset[str]


def groups_of(
    old: Mapping[tuple[int, int], frozenset[str]], new: Mapping[tuple[int, int], frozenset[str]]
) -> dict[AddressClass, int]:
    """Addresses by their segments under both policies, with the first address of each group."""
    keys = sorted({*old, *new, *_ALL})
    found: dict[AddressClass, int] = {}
    nobody = frozenset[str]()
    stack: list[tuple[int, frozenset[str], frozenset[str]]] = []
    for place, (start, wide) in enumerate(keys):
        while stack and stack[-1][0] <= start:
            stack.pop()
        _, before, after = stack[-1] if stack else (0, nobody, nobody)
        before, after = old.get((start, wide), before), new.get((start, wide), after)
        stack.append((start - wide, before, after))
        group = AddressClass(6 if start & SIX else 4, before, after)
        if group not in found:
            first = _first_uncovered(keys, place)
            if first is not None:
                found[group] = first
    return found


def _first_uncovered(keys: Sequence[tuple[int, int]], place: int) -> int | None:
    """The first address of a prefix that no longer prefix covers; ``keys`` are in order."""
    start, wide = keys[place]
    free = start
    for inner, size in keys[place + 1 :]:
        if inner > free or inner >= start - wide:
            break
        free = max(free, inner - size)
    return free if free < start - wide else None
