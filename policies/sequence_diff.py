"""Difference of two long sequences that share nearly all their items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import compress, count
from operator import is_not
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def differences(old: Sequence[Item], new: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items that are only in ``old``, and those only in ``new``, regardless of order.

    Identical objects at the same position from either end are skipped without comparing them.
    """
    if old is new:
        return [], []
    shorter = min(len(old), len(new))
    start = _same(old, new, shorter)
    same = _same(reversed(old), reversed(new), shorter - start)
    gone, come = Counter(old[start : len(old) - same]), Counter(new[start : len(new) - same])
    return list((gone - come).elements()), list((come - gone).elements())


def _same(old: Iterable[Item], new: Iterable[Item], most: int) -> int:
    """How many items are the same objects, of the first ``most``."""
    differs = map(is_not, old, new)
    return min(most, next(compress(count(), differs), most))
