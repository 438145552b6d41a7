"""Prefix arithmetic on plain integers, for both address families at once.

An address is one number: IPv4 as it is, IPv6 above bit 128. A span is the
range of such numbers that a prefix covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from policies.model import Address, Network

SIX = 1 << 128
NOBODY: frozenset[str] = frozenset()
# Regions by ``start`` and ``wide`` of their span: new segments, or None for a region that is gone.
Changes = dict[tuple[int, int], frozenset[str] | None]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The ``size`` (a power of two) addresses from ``start``; the larger of two at one start
    sorts first, as ``wide`` is the negative size."""

    start: int
    wide: int

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.start - self.wide


def number_of(address: Address) -> int:
    return int(address) if address.version == 4 else int(address) | SIX


def number_at(text: str) -> int:
    """`number_of` an address in canonical text, as records carry it."""
    if ":" not in text:
        first, second, third, fourth = text.split(".")
        return int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)
    head, gap, tail = text.partition("::")
    number = 0
    words = head.split(":") if head else []
    for word in words:
        number = number << 16 | int(word, 16)
    if gap:
        rest = tail.split(":") if tail else []
        number <<= 16 * (8 - len(words))
        for index, word in enumerate(reversed(rest)):
            number |= int(word, 16) << 16 * index
    return number | SIX


def address_at(number: int) -> Address:
    return IPv6Address(number ^ SIX) if number & SIX else IPv4Address(number)


def span_of(place: Address | Network) -> Span:
    if isinstance(place, IPv4Address | IPv6Address):
        return Span(number_of(place), -1)
    return Span(number_of(place.network_address), -place.num_addresses)


def network_of(span: Span) -> Network:
    bits = (-span.wide).bit_length() - 1
    if span.start & SIX:
        return IPv6Network((span.start ^ SIX, 128 - bits))
    return IPv4Network((span.start, 32 - bits))


class SegmentPrefixes:
    """Segments by longest prefix: single addresses in one dict, prefixes by their size."""

    def __init__(self, by_span: dict[tuple[int, int], frozenset[str]]) -> None:
        self._by_span = by_span
        self._points = {start: names for (start, wide), names in by_span.items() if wide == -1}
        sizes: dict[tuple[bool, int], dict[int, frozenset[str]]] = {}
        for (start, wide), names in by_span.items():
            if wide != -1:
                sizes.setdefault((start >= SIX, -wide), {})[start] = names
        ordered = sorted(sizes.items(), key=lambda item: item[0][1])
        # An IPv6 number has bit 128 set, so that masking keeps the families apart.
        self._four = [(~(size - 1), names) for (six, size), names in ordered if not six]
        self._six = [(~(size - 1), names) for (six, size), names in ordered if six]

    def with_points(self, changes: Mapping[int, Set[str]]) -> tuple[SegmentPrefixes, Changes]:
        """A copy with other segments for single addresses, and the regions that this changes.

        ``changes`` gives, for each address, all its segments: those of prefixes too.
        """
        by_span, points = dict(self._by_span), dict(self._points)
        changed: Changes = {}
        for number, segments in changes.items():
            key = (number, -1)
            names = frozenset(segments)
            if names != self._around(number):
                if by_span.get(key) != names:
                    by_span[key] = points[number] = changed[key] = names
            elif key in by_span:
                del by_span[key], points[number]
                changed[key] = None
        new = SegmentPrefixes.__new__(SegmentPrefixes)
        new._by_span, new._points, new._four, new._six = by_span, points, self._four, self._six
        return new, changed

    def find(self, number: int) -> frozenset[str]:
        names = self._points.get(number)
        if names is not None:
            return names
        return self._around(number)

    def _around(self, number: int) -> frozenset[str]:
        """The segments that prefixes give an address without a region of its own."""
        for mask, starts in self._six if number & SIX else self._four:
            names = starts.get(number & mask)
            if names is not None:
                return names
        return NOBODY

    @property
    def by_span(self) -> Mapping[tuple[int, int], frozenset[str]]:
        """The regions by ``start`` and ``wide`` of their span."""
        return self._by_span

    def regions(self) -> Iterator[tuple[Span, frozenset[str]]]:
        return ((Span(*key), names) for key, names in self._by_span.items())


def lay_out(
    points: Mapping[int, Set[str]], spans: Iterable[tuple[Span, tuple[Span, ...], str]]
) -> SegmentPrefixes:
    """The fewest regions whose longest match gives every address its segments.

    ``points`` are single addresses with their segments; each of ``spans`` a prefix, the gaps in it,
    and its segment. All prefixes and gaps nest or are disjoint, so one walk in address order with a
    stack of the enclosing ones is enough: a prefix opens at its own span, and closes inside a gap.
    """
    opens: dict[tuple[int, int], list[int]] = {}
    closes: dict[tuple[int, int], list[int]] = {}
    owner: list[str] = []
    for index, (span, gaps, segment) in enumerate(spans):
        owner.append(segment)
        opens.setdefault((span.start, span.wide), []).append(index)
        for gap in gaps:
            closes.setdefault((gap.start, gap.wide), []).append(index)
    places = sorted({*opens, *closes, *((number, -1) for number in points)})
    by_span: dict[tuple[int, int], frozenset[str]] = {}
    interned: dict[frozenset[str], frozenset[str]] = {NOBODY: NOBODY}
    # Enclosing places: their end, the prefixes open there, the segments that hold there.
    stack: list[tuple[int, frozenset[int], frozenset[str]]] = []
    everywhere: tuple[int, frozenset[int], frozenset[str]] = (1 << 130, frozenset(), NOBODY)
    for place in places:
        start, wide = place
        while stack and stack[-1][0] <= start:
            stack.pop()
        _, active, above = stack[-1] if stack else everywhere
        if place in opens or place in closes:
            active = active.union(opens.get(place, ())).difference(closes.get(place, ()))
        names = frozenset(owner[index] for index in active)
        if wide == -1 and start in points:
            names |= points[start]
        names = interned.setdefault(names, names)
        if names != above:
            by_span[place] = names
        if wide != -1:
            stack.append((start - wide, active, names))
    return SegmentPrefixes(by_span)
