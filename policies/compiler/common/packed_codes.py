"""Identities in few bits: for switches that carry 64 bits of metadata and nothing else.

As in `policies.compiler.common.identity_codes`, segments that never share an address share a
field. Here a field is only as wide as its segments need, numbered by name, so
that a new segment may renumber those of its field. Lists of segments have a bit
each, those that save most rules first, for as long as there are bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from policies.compiler.common.identity_codes import Ends, codes_apart, segments_of
from policies.compiler.common.refusals import CompileError
from policies.model import ANY, UNKNOWN, Mode
from policies.rules import layout
from policies.rules.rule import Bits


@dataclass(frozen=True, slots=True)
class PackedEnd:
    """Where the metadata keeps one end of a packet."""

    segments: Bits
    known: Bits
    mode: Bits


SOURCE = PackedEnd(layout.PLAIN_SOURCE, layout.PLAIN_SOURCE_KNOWN, layout.PLAIN_SOURCE_MODE)
TARGET = PackedEnd(layout.PLAIN_TARGET, layout.PLAIN_TARGET_KNOWN, layout.PLAIN_TARGET_MODE)


class PackedCodes:
    """Where a segment or a list of segments stands in an end's bits of the metadata: segments from
    below, and from above a bit for each of the lists that there is room for.

    Raises CompileError when the segments need more bits than there are.
    """

    def __init__(self, ends: Ends, together: Mapping[str, Collection[str]]) -> None:
        room = layout.PLAIN_SOURCE.width
        for count in range(min(room, len(ends.listed)), -1, -1):
            some = ends.at_most(count)
            self._single, needed = _numbered(some.single, together)
            if needed + count <= room:
                break
        else:
            raise CompileError(
                f"a switch without registers has {room} bits for the segments of an address, and "
                f"these {len(some.single)} overlapping segments need {needed}; merge some of them"
            )
        self._listed = {names: 1 << room - 1 - place for place, names in enumerate(some.listed)}
        self._values = {name: value for name, (value, _) in self._single.items()}
        for names, bit in self._listed.items():
            for name in names:
                self._values[name] = self._values.get(name, 0) | bit

    def written(self, end: PackedEnd, segments: Iterable[str], mode: Mode) -> tuple[int, int]:
        """What is written for an address: value and mask of the metadata."""
        value, known = 0, False
        for name in segments:
            known = True
            value |= self._values.get(name, 0)
        return _joined(
            _placed(end.segments, value, (1 << end.segments.width) - 1),
            _placed(end.known, int(known), 1),
            _placed(end.mode, int(mode), 3),
        )

    def matches(
        self, sources: Collection[str], targets: Collection[str]
    ) -> Iterator[tuple[int, int]]:
        """What is matched for packets from ``sources`` to ``targets``: values and masks."""
        for source, target in product(self._end(SOURCE, sources), self._end(TARGET, targets)):
            yield _joined(source, target)

    def _end(self, end: PackedEnd, names: Collection[str]) -> Iterator[tuple[int, int]]:
        if ANY in names:
            yield 0, 0
            return
        segments = segments_of(names)
        bit = self._listed.get(segments)
        if bit is not None:
            yield _placed(end.segments, bit, bit)
        for name in names:
            if name == UNKNOWN:
                yield _placed(end.known, 0, 1)
            elif bit is None:
                yield _placed(end.segments, *self._single[name])


def _numbered(
    names: Collection[str], together: Mapping[str, Collection[str]]
) -> tuple[dict[str, tuple[int, int]], int]:
    """Value and mask of each segment, and how many bits they take."""
    fields: dict[int, list[str]] = {}
    for name, code in sorted(codes_apart(names, together).items()):
        fields.setdefault(code.field, []).append(name)
    found: dict[str, tuple[int, int]] = {}
    low = 0
    for _, members in sorted(fields.items()):
        width = len(members).bit_length()
        mask = (1 << width) - 1 << low
        for number, name in enumerate(members, 1):
            found[name] = (number << low, mask)
        low += width
    return found, low


def _placed(bits: Bits, value: int, mask: int) -> tuple[int, int]:
    return value << bits.low, mask << bits.low


def _joined(*parts: tuple[int, int]) -> tuple[int, int]:
    value = mask = 0
    for some, over in parts:
        value, mask = value | some, mask | over
    return value, mask
