"""Where the metadata of a switch without registers keeps what is known of a packet's ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product

from policies.compiler.common.identity_codes import Codes, IdentityWidth
from policies.model import Mode
from policies.rules import layout
from policies.rules.rule import Bits, Field, WriteMetadata
from policies.semantics.intent_ends import includes, includes_all

Masked = tuple[int, int]  # value and mask of the metadata


@dataclass(frozen=True, slots=True)
class MetadataEnd:
    """Where one end has its segments, whether it is in any, and its mode."""

    segments: Bits
    known: Bits
    mode: Bits


SOURCE = MetadataEnd(layout.STATELESS_SOURCE, layout.PLAIN_SOURCE_KNOWN, layout.PLAIN_SOURCE_MODE)
TARGET = MetadataEnd(layout.STATELESS_TARGET, layout.PLAIN_TARGET_KNOWN, layout.PLAIN_TARGET_MODE)


@dataclass(frozen=True, slots=True)
class MetadataLayout:
    """Where both ends are."""

    source: MetadataEnd
    target: MetadataEnd

    @property
    def width(self) -> IdentityWidth:
        """The bits that each end has for its segments."""
        return IdentityWidth(self.source.segments.width)


PLAIN = MetadataLayout(SOURCE, TARGET)


def written(end: MetadataEnd, codes: Codes, segments: Collection[str], mode: Mode) -> Masked:
    """What is written for an address in some segments."""
    return _joined(
        _placed(end.segments, codes.value(segments), (1 << end.segments.width) - 1),
        _placed(end.known, int(bool(segments)), 1),
        _placed(end.mode, int(mode), 3),
    )


def matches(
    codes: Codes,
    sources: Collection[str],
    targets: Collection[str],
    ends: MetadataLayout = PLAIN,
) -> Iterator[Masked]:
    """What is matched for packets from ``sources`` to ``targets``."""
    for source, target in product(
        _end(ends.source, codes, sources), _end(ends.target, codes, targets)
    ):
        yield _joined(source, target)


def set_bits(bits: Bits, value: int = 1) -> WriteMetadata:
    """Write some bits and leave the others."""
    return WriteMetadata(*_placed(bits, value, (1 << bits.width) - 1))


def has_bits(bits: Bits, value: int = 1) -> Field:
    """Match some bits, whatever the others are."""
    return Field("metadata", *_placed(bits, value, (1 << bits.width) - 1))


def _end(end: MetadataEnd, codes: Codes, names: Collection[str]) -> Iterator[Masked]:
    if includes_all(names):
        yield 0, 0
        return
    for value, mask in codes.matches(names):
        yield _placed(end.segments, value, mask)
    if includes(names, ()):
        yield _placed(end.known, 0, 1)


def _placed(bits: Bits, value: int, mask: int) -> Masked:
    return value << bits.low, mask << bits.low


def _joined(*parts: Masked) -> Masked:
    value = mask = 0
    for some, over in parts:
        value, mask = value | some, mask | over
    return value, mask
