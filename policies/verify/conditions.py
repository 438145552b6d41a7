"""The two conditions under which boxes of rules and of intents decide alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.verify.boxes import Box, Label, Region, ranked
from policies.verify.classes import bitset
from policies.verify.ranges import Ranges, common, joined


def meeting(sets: Iterable[int], bits: int) -> set[int]:
    """The ids of the sets that share something with one."""
    distinct = {id(each): each for each in sets}
    return {key for key, each in distinct.items() if each & bits}


def part_of(box: Box, region: Region, known: dict[int, Ranges]) -> Box | None:
    """The part of a box in a region; ``known`` keeps what services they share, by identity."""
    services = known.get(id(box.services))
    if services is None:
        services = known[id(box.services)] = common(box.services, region[2])
    if not services:
        return None
    sources, targets = box.sources & region[0], box.targets & region[1]
    return Box(sources, targets, services, box.rank, box.label, box.leaf, box.rule, box.intent)


def uncovered(rules: Iterable[Box], intents: Iterable[Box]) -> Iterator[Region]:
    """Where the first condition fails."""
    ours, theirs = _by_label(rules), _by_label(intents)
    for label in {**ours, **theirs}:
        if label == (-1, 0):
            continue
        mine, other = ours.get(label, {}), theirs.get(label, {})
        if mine != other and (mine := _whole(mine)) != (other := _whole(other)):
            for ends in {**mine, **other}:
                if mine.get(ends) != other.get(ends):
                    for part in (mine, other):
                        if ends in part:
                            yield (*ends, part[ends])


def misordered(rules: Iterable[Box], intents: Iterable[Box]) -> list[Region]:
    """Where the second condition fails."""
    order = {box.label: position for position, box in enumerate(ranked(intents))}
    boxes = ranked(box for box in rules if box.label in order)
    overlap = _Overlaps(boxes)
    before = _prefixes([order[box.label] for box in boxes])
    same: dict[Label, int] = {}
    for position, box in enumerate(boxes):
        same[box.label] = same.get(box.label, 0) | 1 << position
    found = []
    start = 0
    equal = _equal(boxes, start) if boxes else 0
    for position, box in enumerate(boxes):
        if boxes[start].rank != box.rank:
            start = position
            equal = _equal(boxes, start)
        higher = (1 << start) - 1
        first = before[order[box.label]]
        wrong = (higher ^ first) & ~equal | equal
        wrong &= overlap.of(box) & ~same[box.label]
        while wrong:
            low = wrong & -wrong
            wrong ^= low
            other = boxes[low.bit_length() - 1]
            if other.rank == box.rank and other.leaf == box.leaf and other.label == box.label:
                continue
            found.append(
                (
                    box.sources & other.sources,
                    box.targets & other.targets,
                    common(box.services, other.services),
                )
            )
            if len(found) > 1000:
                return found
    return found


def _by_label(boxes: Iterable[Box]) -> dict[Label, dict[tuple[int, int], Ranges]]:
    found: dict[Label, dict[tuple[int, int], list[Ranges]]] = {}
    for box in boxes:
        ends = (box.sources, box.targets)
        found.setdefault(box.label, {}).setdefault(ends, []).append(box.services)
    return {
        label: {
            ends: parts[0] if len(parts) == 1 else joined(each for part in parts for each in part)
            for ends, parts in each.items()
        }
        for label, each in found.items()
    }


def _whole(parts: dict[tuple[int, int], Ranges]) -> dict[tuple[int, int], Ranges]:
    """The same packets in fewer boxes: a rule may stand for a list of segments that an intent
    names one by one."""
    rows: dict[tuple[int, Ranges], int] = {}
    for (sources, targets), services in parts.items():
        rows[sources, services] = rows.get((sources, services), 0) | targets
    columns: dict[tuple[int, Ranges], int] = {}
    for (sources, services), targets in rows.items():
        columns[targets, services] = columns.get((targets, services), 0) | sources
    found: dict[tuple[int, int], Ranges] = {}
    for (targets, services), sources in columns.items():
        known = found.get((sources, targets))
        found[sources, targets] = services if known is None else joined((*known, *services))
    return found


def _prefixes(orders: Sequence[int]) -> dict[int, int]:
    """For each order, the positions whose order is smaller."""
    by_order: dict[int, int] = {}
    for position, order in enumerate(orders):
        by_order[order] = by_order.get(order, 0) | 1 << position
    found, bits = {}, 0
    for order in sorted(by_order):
        found[order] = bits
        bits |= by_order[order]
    return found


def _equal(boxes: Sequence[Box], start: int) -> int:
    end = start
    while end < len(boxes) and boxes[end].rank == boxes[start].rank:
        end += 1
    return (1 << end) - (1 << start)


class _Overlaps:
    """Which boxes share a packet, as bitsets over their positions."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._sources = _side([box.sources for box in boxes])
        self._targets = _side([box.targets for box in boxes])
        self._services = _crossing([box.services for box in boxes])

    def of(self, box: Box) -> int:
        ends = self._sources[box.sources] & self._targets[box.targets]
        return ends & self._services[box.services]


def _side(values: Sequence[int]) -> dict[int, int]:
    """Per set of classes the positions of those that share one."""
    where: dict[int, list[int]] = {}
    for position, value in enumerate(values):
        where.setdefault(value, []).append(position)
    bits = {value: bitset(each, len(values)) for value, each in where.items()}
    distinct = list(bits)
    found = dict.fromkeys(distinct, 0)
    for index, one in enumerate(distinct):
        mine, ours = 0, bits[one]
        for other in distinct[index:]:
            if one & other:
                mine |= bits[other]
                found[other] |= ours
        found[one] |= mine
    return found


def _crossing(values: Sequence[Ranges]) -> dict[Ranges, int]:
    """Per set of services the positions of those that share one, by a sweep over the numbers."""
    where: dict[Ranges, list[int]] = {}
    for position, value in enumerate(values):
        where.setdefault(value, []).append(position)
    bits = {value: bitset(each, len(values)) for value, each in where.items()}
    found = dict.fromkeys(bits, 0)
    events: list[tuple[int, int, Ranges]] = []
    for value in bits:
        for low, high in value:
            events += [(low, 0, value), (high + 1, -1, value)]
    open_now: dict[Ranges, int] = {}
    active = 0
    counts: dict[Ranges, int] = {}
    for _, end, value in sorted(events, key=lambda event: event[:2]):
        if end:
            counts[value] -= 1
            if not counts[value]:
                del open_now[value]
                active &= ~bits[value]
        else:
            counts[value] = counts.get(value, 0) + 1
            active |= bits[value]
            open_now[value] = 1
            found[value] |= active
            for other in open_now:
                found[other] |= bits[value]
    return found
