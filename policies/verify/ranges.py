"""Sets of numbers as sorted, disjoint, inclusive ranges, and what a masked match covers."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]
MOST = 1 << 16  # ranges that one masked match may fall into


class Undecided(Exception):
    """Something the proof has no rule for; the text says what."""


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The union, with neighbours melted together."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            if high > found[-1][1]:
                found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return tuple(found)


def common(ours: Ranges, theirs: Ranges) -> Ranges:
    found = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        low = max(ours[i][0], theirs[j][0])
        high = min(ours[i][1], theirs[j][1])
        if low <= high:
            found.append((low, high))
        if ours[i][1] < theirs[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def meet(ours: Ranges, theirs: Ranges) -> bool:
    i = j = 0
    while i < len(ours) and j < len(theirs):
        if ours[i][1] < theirs[j][0]:
            i += 1
        elif theirs[j][1] < ours[i][0]:
            j += 1
        else:
            return True
    return False


def without(ours: Ranges, theirs: Ranges) -> Ranges:
    found = []
    j = 0
    for start, end in ours:
        low = start
        while j < len(theirs) and theirs[j][1] < low:
            j += 1
        k = j
        while k < len(theirs) and theirs[k][0] <= end:
            if theirs[k][0] > low:
                found.append((low, theirs[k][0] - 1))
            low = max(low, theirs[k][1] + 1)
            k += 1
        if low <= end:
            found.append((low, end))
    return tuple(found)


def masked(value: int, mask: int, width: int) -> Ranges:
    """The ranges of the numbers whose bits under ``mask`` are those of ``value``.

    Raises Undecided for a mask so ragged that there are more than `MOST`.
    """
    full = (1 << width) - 1
    mask &= full
    if value & ~mask:
        return ()
    tail = (mask & -mask).bit_length() - 1 if mask else width
    size = (1 << tail) - 1
    free = [bit for bit in range(tail, width) if not mask >> bit & 1]
    if len(free) > MOST.bit_length() - 1:
        raise Undecided(f"mask {mask:#x} falls into more than {MOST} ranges")
    starts = [value]
    for bit in free:
        starts += [start | 1 << bit for start in starts]
    return joined((start, start + size) for start in starts)
