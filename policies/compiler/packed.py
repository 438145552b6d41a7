"""Identities in few bits: for switches that carry 64 bits of metadata and nothing else.

As in `policies.compiler.codes`, segments that never share an address share a
field. Here a field is only as wide as its segments need, numbered by name, so
that a new segment may renumber those of its field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from policies import layout
from policies.compiler.codes import CompileError, codes_apart
from policies.model import ANY, UNKNOWN, Mode
from policies.rules import Bits


@dataclass(frozen=True, slots=True)
class PackedEnd:
    """Where the metadata keeps one end of a packet."""

    segments: Bits
    known: Bits
    mode: Bits


SOURCE = PackedEnd(layout.PLAIN_SOURCE, layout.PLAIN_SOURCE_KNOWN, layout.PLAIN_SOURCE_MODE)
TARGET = PackedEnd(layout.PLAIN_TARGET, layout.PLAIN_TARGET_KNOWN, layout.PLAIN_TARGET_MODE)


class PackedCodes:
    """``value`` and ``mask`` of a segment in an end's bits of the metadata.

    Raises CompileError when the segments need more bits than there are.
    """

    def __init__(self, names: frozenset[str], together: Mapping[str, Collection[str]]) -> None:
        fields: dict[int, list[str]] = {}
        for name, code in sorted(codes_apart(names, together).items()):
            fields.setdefault(code.field, []).append(name)
        self._codes: dict[str, tuple[int, int]] = {}
        low = 0
        for _, members in sorted(fields.items()):
            width = len(members).bit_length()
            mask = (1 << width) - 1 << low
            for number, name in enumerate(members, 1):
                self._codes[name] = (number << low, mask)
            low += width
        room = layout.PLAIN_SOURCE.width
        if low > room:
            raise CompileError(
                f"a switch without registers has {room} bits for the segments of an address, and "
                f"these {len(names)} overlapping segments need {low}; merge some of them"
            )

    def written(self, end: PackedEnd, segments: Iterable[str], mode: Mode) -> tuple[int, int]:
        """What is written for an address: value and mask of the metadata."""
        value, known = 0, False
        for name in segments:
            known = True
            value |= self._codes.get(name, (0, 0))[0]
        return _joined(
            _placed(end.segments, value, (1 << end.segments.width) - 1),
            _placed(end.known, int(known), 1),
            _placed(end.mode, int(mode), 3),
        )

    def matched(self, source: str, target: str) -> tuple[int, int]:
        """What is matched for a packet from ``source`` to ``target``: value and mask."""
        return _joined(self._end(SOURCE, source), self._end(TARGET, target))

    def _end(self, end: PackedEnd, name: str) -> tuple[int, int]:
        if name == ANY:
            return 0, 0
        if name == UNKNOWN:
            return _placed(end.known, 0, 1)
        return _placed(end.segments, *self._codes[name])


def _placed(bits: Bits, value: int, mask: int) -> tuple[int, int]:
    return value << bits.low, mask << bits.low


def _joined(*parts: tuple[int, int]) -> tuple[int, int]:
    value = mask = 0
    for some, over in parts:
        value, mask = value | some, mask | over
    return value, mask
