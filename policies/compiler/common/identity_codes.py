"""Codes: which segments an address is in, as bits that rules can match.

An address may be in several segments. Writing every *set* of segments as one
number would need a rule per pair of sets and intent; writing one bit per
segment would need more bits than a packet carries. So segments that never
share an address share a 16-bit *field*: within a field at most one of them can
apply, and its number says which. Eight fields per end are enough as long as no
address needs more than eight of the segments that intents name.

A *list* of segments that intents name as one end has a bit of its own, from the
top of the fields that segments leave: an address in any of them has it, and one
rule stands for the whole list. There are bits for the lists that save most
rules, and none for those that save few: an end is then written segment by
segment, so that a small intent changes no address's code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.compiler.common.refusals import CompileError
from policies.model import ANY, UNKNOWN, Intent
from policies.rules import layout
from policies.rules.layout import name_number
from policies.semantics.membership import Region

WORTH = 100  # rules that a list must save to get a bit
LISTS = 64  # lists with a bit

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class SegmentCode:
    """``number`` in 16-bit ``field`` (0 to 7) stands for one segment."""

    field: int
    number: int


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
    """The number of each ``single`` segment and the bit (of 128) of each list; ``values`` are the
    128 bits that an end's registers hold for an address in one segment."""

    single: Mapping[str, SegmentCode]
    listed: Mapping[Names, int]
    values: Mapping[str, int]

    def value(self, segments: Iterable[str]) -> int:
        """The 128 bits for an address in ``segments``."""
        value = 0
        for name in segments:
            value |= self.values.get(name, 0)
        return value

    def matches(self, names: Collection[str]) -> Iterator[tuple[int, int]]:
        """Value and mask that stand for "in one of ``names``", ``any`` and ``unknown`` aside."""
        segments = segments_of(names)
        bit = self.listed.get(segments)
        if bit is not None:
            yield 1 << bit, 1 << bit
            return
        for name in names:
            if name in segments:
                code = self.single[name]
                shift = code.field * layout.IDENTITY_FIELD_BITS
                yield code.number << shift, (1 << layout.IDENTITY_FIELD_BITS) - 1 << shift


def segments_of(names: Collection[str]) -> Names:
    """The segments of an end, none where it is anybody."""
    return frozenset() if ANY in names else frozenset(names) - {UNKNOWN}


def ends_of(intents: Collection[Intent]) -> Ends:
    """The ends that intents name: only these need codes."""
    saved: Counter[Names] = Counter()
    single = set()
    for intent in intents:
        sources, targets = intent.sources, intent.targets
        for names, others in ((sources, targets), (targets, sources)):
            if len(names) == 1:
                single.add(names[0])
            elif segments := segments_of(names):
                saved[segments] += (len(segments) - 1) * len(others) * len(intent.services)
    listed = [segments for segments, rules in saved.items() if rules >= WORTH]
    listed.sort(key=lambda segments: (-saved[segments], sorted(segments)))
    single.update(*(segments for segments, rules in saved.items() if rules < WORTH))
    return Ends(frozenset(single - {ANY, UNKNOWN}), tuple(listed)).at_most(LISTS)


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


def codes_of(ends: Ends, together: Mapping[str, Collection[str]]) -> Codes:
    """A code for every end that intents name, as many lists as the segments leave room for.

    ``together`` names, for each segment, the segments that share an address with it.
    Numbers and bits hash a name, and fields are given greedily in name order, so a small change
    of the policy changes few codes.

    Raises CompileError when an address is in more than eight of the segments.
    """
    for room in range(LISTS if ends.listed else 0, -1, -layout.IDENTITY_FIELD_BITS):
        some = ends.at_most(room)
        fields = layout.IDENTITY_FIELDS - room // layout.IDENTITY_FIELD_BITS
        try:
            single = codes_apart(some.single, together, fields)
        except CompileError:
            if not room:
                raise
            continue
        return _coded(single, _bits(some.listed, room))
    raise AssertionError("without lists the segments fit or are refused")


def _coded(single: Mapping[str, SegmentCode], listed: Mapping[Names, int]) -> Codes:
    values = {
        name: code.number << code.field * layout.IDENTITY_FIELD_BITS
        for name, code in single.items()
    }
    for names, bit in listed.items():
        for name in names:
            values[name] = values.get(name, 0) | 1 << bit
    return Codes(single, listed, values)


def _bits(listed: Collection[Names], room: int) -> Mapping[Names, int]:
    """A bit for each list, of the uppermost ``room``, by its first segment: a list that grows or
    shrinks keeps its bit."""
    found: dict[Names, int] = {}
    taken: set[int] = set()
    for names in sorted(listed, key=sorted):
        place = name_number(min(names)) % LISTS
        while place in taken or place >= room:
            place = (place + 1) % LISTS
        taken.add(place)
        found[names] = layout.IDENTITY_FIELDS * layout.IDENTITY_FIELD_BITS - 1 - place
    return found


def codes_apart(
    names: Iterable[str],
    together: Mapping[str, Collection[str]],
    fields: int = layout.IDENTITY_FIELDS,
) -> Mapping[str, SegmentCode]:
    """A code per segment such that segments sharing an address never share a field."""
    codes: dict[str, SegmentCode] = {}
    taken: set[SegmentCode] = set()
    for name in sorted(names):
        number = name_number(name) & 0xFFFF or 1
        near = together.get(name, ())
        blocked = {codes[other].field for other in near if other in codes}
        free = (
            code
            for code in (SegmentCode(each, number) for each in range(fields))
            if code.field not in blocked and code not in taken
        )
        code = next(free, None)
        if code is None:
            others = ", ".join(sorted(set(near) - {name})[:9])
            raise CompileError(
                f"segment {name} overlaps too many others ({others}): an address can be in at "
                f"most {layout.IDENTITY_FIELDS} segments that intents name; merge some of them"
            )
        codes[name] = code
        taken.add(code)
    return codes
