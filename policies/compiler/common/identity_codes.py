"""Identity codes: which segments an address is in, as bits that rules can match.

An address may be in several segments. Writing every *set* of segments as one
number would need a rule per pair of sets and intent; writing one bit per
segment would need more bits than a packet carries. So segments that never
share an address share a *field*: within a field at most one of them can
apply, and its number says which.

A *list* of segments that intents name as one end has a bit of its own, from the
top of the bits that segments leave: an address in any of them has it, and one
rule stands for the whole list. There are bits for the lists that save most
rules, and none for those that save few: an end is then written segment by
segment, so that a small intent changes no address's code.

How many bits there are is the `IdentityWidth` of a kind of switch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.compiler.common.refusals import CompileError
from policies.model import Intent
from policies.rules import layout
from policies.rules.layout import name_number
from policies.semantics.intent_ends import segments_in
from policies.semantics.membership import Region

WORTH = 100  # rules that a list must save to get a bit
LISTS = 64  # lists with a bit

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class IdentityWidth:
    """The bits that an end of a packet has for its segments.

    Fields of ``field_bits`` hold hashes of names, so that a new segment leaves the others'
    numbers as they are. Where ``field_bits`` is 0 there are too few bits for that: a field is as
    wide as its segments need, which are numbered by name.
    """

    bits: int
    field_bits: int = 0

    def rooms(self, lists: int) -> Iterable[int]:
        """How many bits ``lists`` lists might take, the most first."""
        if self.field_bits:
            return range(LISTS if lists else 0, -1, -self.field_bits)
        return range(min(self.bits, lists), -1, -1)


REGISTERS = IdentityWidth(
    layout.IDENTITY_FIELDS * layout.IDENTITY_FIELD_BITS, layout.IDENTITY_FIELD_BITS
)
METADATA = IdentityWidth(layout.STATELESS_SOURCE.width)


@dataclass(frozen=True, slots=True)
class SegmentCode:
    """An address is in the segment when the bits of ``mask`` are those of ``value``."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Ends:
    """What intents name: ``listed`` are lists of segments that would save rules as one, those that
    save most first, ``single`` the segments that stand in no such list."""

    single: Names
    listed: tuple[Names, ...] = ()

    def at_most(self, count: int) -> Ends:
        """With no more than ``count`` lists."""
        if count >= len(self.listed):
            return self
        return Ends(self.single.union(*self.listed[count:]), self.listed[:count])


@dataclass(frozen=True, slots=True)
class Codes:
    """The code of each ``single`` segment and the number of each list's bit; ``values`` are the
    bits that an address in one segment has."""

    single: Mapping[str, SegmentCode]
    listed: Mapping[Names, int]
    values: Mapping[str, int]

    def value(self, segments: Iterable[str]) -> int:
        """The bits for an address in ``segments``."""
        value = 0
        for name in segments:
            value |= self.values.get(name, 0)
        return value

    def matches(self, names: Collection[str]) -> Iterator[tuple[int, int]]:
        """Value and mask that stand for "in one of ``names``", ``any`` and ``unknown`` aside."""
        segments = segments_in(names)
        bit = self.listed.get(segments)
        if bit is not None:
            yield 1 << bit, 1 << bit
            return
        for name in names:
            if name in segments:
                code = self.single[name]
                yield code.value, code.mask


def ends_of(intents: Collection[Intent]) -> Ends:
    """The ends that intents name: only these need codes."""
    saved: Counter[Names] = Counter()
    for intent in intents:
        sources, targets = intent.sources, intent.targets
        for names, others in ((sources, targets), (targets, sources)):
            if segments := segments_in(names):
                saved[segments] += (len(segments) - 1) * len(others) * len(intent.services)
    listed = [segments for segments, rules in saved.items() if rules >= WORTH]
    listed.sort(key=lambda segments: (-saved[segments], sorted(segments)))
    single = Names().union(*(segments for segments, rules in saved.items() if rules < WORTH))
    return Ends(single, tuple(listed)).at_most(LISTS)


def assign_codes(ends: Ends, regions: Iterable[Region]) -> Codes:
    """`codes_of` for segments that have the addresses of ``regions``."""
    wanted = ends.single.union(*ends.listed)
    return codes_of(ends, meetings(wanted, {region.segments for region in regions}))


def meetings(names: Names, groups: Iterable[Names]) -> Mapping[str, Names]:
    """For each segment those that share an address with it, itself among them.

    ``groups`` are the sets of segments that addresses have.
    """
    together: dict[str, set[str]] = {name: {name} for name in names}
    for shared in {group & names for group in groups}:
        for name in shared:
            together[name] |= shared
    return {name: frozenset(others) for name, others in together.items()}


def codes_of(
    ends: Ends, together: Mapping[str, Collection[str]], width: IdentityWidth = REGISTERS
) -> Codes:
    """A code for every end that intents name, as many lists as the segments leave room for.

    ``together`` names, for each segment, the segments that share an address with it.
    List bits hash a name, and fields are given greedily in name order, so a small change
    of the policy changes few codes.

    Raises CompileError when the segments do not fit into ``width``.
    """
    for room in width.rooms(len(ends.listed)):
        some = ends.at_most(room)
        try:
            single = _numbered(some.single, together, width, width.bits - room)
        except CompileError:
            if not room:
                raise
            continue
        return _coded(single, _bits(some.listed, room, width))
    raise AssertionError("without lists the segments fit or are refused")


def _coded(single: Mapping[str, SegmentCode], listed: Mapping[Names, int]) -> Codes:
    values = {name: code.value for name, code in single.items()}
    for names, bit in listed.items():
        for name in names:
            values[name] = values.get(name, 0) | 1 << bit
    return Codes(single, listed, values)


def _bits(listed: Collection[Names], room: int, width: IdentityWidth) -> Mapping[Names, int]:
    """A bit for each list, of the uppermost ``room``, by its first segment: a list that grows or
    shrinks keeps its bit."""
    found: dict[Names, int] = {}
    taken: set[int] = set()
    for names in sorted(listed, key=sorted):
        place = name_number(min(names)) % LISTS
        while place in taken or place >= room:
            place = (place + 1) % LISTS
        taken.add(place)
        found[names] = width.bits - 1 - place
    return found


def _numbered(
    names: Names, together: Mapping[str, Collection[str]], width: IdentityWidth, bits: int
) -> Mapping[str, SegmentCode]:
    """A code for each segment in the lowest ``bits``, segments sharing an address in different
    fields."""
    hashed = width.field_bits
    fields = _fields(names, together, bits // (hashed or 1), (1 << hashed) - 1)
    if hashed:
        mask = (1 << hashed) - 1
        return {
            name: SegmentCode(_hash(name, mask) << field * hashed, mask << field * hashed)
            for name, field in fields.items()
        }
    members: dict[int, list[str]] = {}
    for name, field in fields.items():
        members.setdefault(field, []).append(name)
    found: dict[str, SegmentCode] = {}
    low = 0
    for _, inside in sorted(members.items()):
        wide = len(inside).bit_length()
        for number, name in enumerate(inside, 1):
            found[name] = SegmentCode(number << low, (1 << wide) - 1 << low)
        low += wide
    if low > bits:
        raise CompileError(
            f"a switch without registers has {width.bits} bits for the segments of an address, "
            f"and these {len(names)} overlapping segments need {low}; merge some of them"
        )
    return found


def _hash(name: str, mask: int) -> int:
    """A number for a segment, never 0, which stands for none."""
    return name_number(name) & mask or 1


def _fields(
    names: Names, together: Mapping[str, Collection[str]], most: int, mask: int
) -> Mapping[str, int]:
    """A field of ``most`` for each segment, in name order: another one than those that it shares an
    address with, and than those with the same number under ``mask``."""
    found: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()  # fields with the hashed numbers in them
    for name in sorted(names):
        number = _hash(name, mask)
        near = together.get(name, ())
        blocked = {found[other] for other in near if other in found}
        free = (f for f in range(most) if f not in blocked and (f, number) not in taken)
        field = next(free, None)
        if field is None:
            others = ", ".join(sorted(set(near) - {name})[:9])
            raise CompileError(
                f"segment {name} overlaps too many others ({others}): an address can be in at "
                f"most {most} segments that intents name; merge some of them"
            )
        found[name] = field
        if mask:
            taken.add((field, number))
    return found
