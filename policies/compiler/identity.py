"""Identities: which segments an address is in, as numbers that rules can match.

An address may be in several segments. Writing every *set* of segments as one
number would need a rule per pair of sets and intent; writing one bit per
segment would need more bits than a packet carries. So segments that never
share an address share a 16-bit *field*: within a field at most one of them can
apply, and its number says which. Eight fields per end are enough as long as no
address needs more than eight of the segments that intents name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from policies import layout
from policies.compiler.parts import ETH_IP, ETH_IPV6
from policies.layout import Category, Table, cookie, name_number
from policies.membership import Membership, Region
from policies.model import ANY, UNKNOWN, Mode, Policy
from policies.rules import Bits, Field, Goto, Load, Rule, match

ALL_32 = 0xFFFF_FFFF


class CompileError(Exception):
    """A policy that is valid but does not fit the rule tables; the text says what to change."""


@dataclass(frozen=True, slots=True)
class SegmentCode:
    """``number`` in 16-bit ``field`` (0 to 7) stands for one segment."""

    field: int
    number: int


@dataclass(frozen=True, slots=True)
class End:
    """Where one end of a connection keeps its address, identity, mode and whether it is known."""

    table: Table
    following: Table
    registers: tuple[str, ...]
    wide: str
    mode: Bits
    known: Bits


SOURCE = End(
    Table.SOURCE,
    Table.TARGET,
    layout.SOURCE_REGS,
    layout.SOURCE_WIDE,
    layout.SOURCE_MODE,
    layout.SOURCE_KNOWN,
)
TARGET = End(
    Table.TARGET,
    Table.EMERGENCY,
    layout.TARGET_REGS,
    layout.TARGET_WIDE,
    layout.TARGET_MODE,
    layout.TARGET_KNOWN,
)


def named_segments(policy: Policy) -> frozenset[str]:
    """The segments that some intent names: only these need a code."""
    ends = {name for intent in policy.intents for name in intent.sources + intent.targets}
    return frozenset(ends - {ANY, UNKNOWN})


def assign_codes(names: Iterable[str], regions: Iterable[Region]) -> Mapping[str, SegmentCode]:
    """A code per segment such that segments sharing an address never share a field.

    Numbers hash the name and fields are given greedily in name order, so a
    small change of the policy changes few codes.

    Raises CompileError when an address is in more than eight of the segments.
    """
    wanted = frozenset(names)
    together: dict[str, set[str]] = {name: set() for name in wanted}
    for shared in {region.segments & wanted for region in regions}:
        for one, other in combinations(shared, 2):
            together[one].add(other)
            together[other].add(one)
    codes: dict[str, SegmentCode] = {}
    taken: set[SegmentCode] = set()
    for name in sorted(wanted):
        number = name_number(name) & 0xFFFF or 1
        blocked = {codes[other].field for other in together[name] if other in codes}
        free = (
            code
            for code in (SegmentCode(each, number) for each in range(layout.IDENTITY_FIELDS))
            if code.field not in blocked and code not in taken
        )
        code = next(free, None)
        if code is None:
            others = ", ".join(sorted(together[name])[:9])
            raise CompileError(
                f"segment {name} overlaps too many others ({others}): an address can be in at "
                f"most {layout.IDENTITY_FIELDS} segments that intents name; merge some of them"
            )
        codes[name] = code
        taken.add(code)
    return codes


def identity_value(segments: Iterable[str], codes: Mapping[str, SegmentCode]) -> int:
    """The 128 bits that an end's registers hold for an address in ``segments``."""
    value = 0
    for name in segments:
        if (code := codes.get(name)) is not None:
            value |= code.number << code.field * layout.IDENTITY_FIELD_BITS
    return value


def end_field(end: End, name: str, codes: Mapping[str, SegmentCode]) -> Field | None:
    """What a rule matches for "this end is in segment ``name``" (or any, or unknown)."""
    if name == ANY:
        return None
    if name == UNKNOWN:
        return Field(end.known.field, 0, 1 << end.known.low)
    code = codes[name]
    register = end.registers[3 - code.field // 2]
    shift = code.field % 2 * layout.IDENTITY_FIELD_BITS
    return Field(register, code.number << shift, 0xFFFF << shift)


def address_fields(end: End, prefix_value: int, length: int, version: int) -> tuple[Field, ...]:
    """Match an address prefix in an end's registers (before identity replaces it)."""
    if version == 4:
        mask = ALL_32 << (32 - length) & ALL_32
        field = Field(end.registers[0], prefix_value, None if mask == ALL_32 else mask)
        return (Field("eth_type", ETH_IP), *((field,) if length else ()))
    fields = [Field("eth_type", ETH_IPV6)]
    for index, register in enumerate(end.registers):
        bits = max(0, min(32, length - 32 * index))
        if bits:
            mask = ALL_32 << (32 - bits) & ALL_32
            word = prefix_value >> (96 - 32 * index) & ALL_32
            fields.append(Field(register, word, None if mask == ALL_32 else mask))
    return tuple(fields)


def identity_rules(
    policy: Policy, membership: Membership, codes: Mapping[str, SegmentCode]
) -> Iterator[Rule]:
    """Per end: a rule for every region, and one for addresses in no segment."""
    for end in (SOURCE, TARGET):
        yield _identity_rule(end, (), 0, 0, known=False, mode=policy.defaults.mode, number=0)
        for region in membership.regions():
            prefix = region.prefix
            yield _identity_rule(
                end,
                address_fields(end, int(prefix.network_address), prefix.prefixlen, prefix.version),
                100 + prefix.prefixlen,
                identity_value(region.segments, codes),
                known=bool(region.segments),
                mode=membership.mode_of(region.segments),
                number=name_number(",".join(sorted(region.segments))) if region.segments else 0,
            )


def _identity_rule(
    end: End,
    fields: tuple[Field, ...],
    priority: int,
    value: int,
    *,
    known: bool,
    mode: Mode,
    number: int,
) -> Rule:
    return Rule(
        end.table,
        priority,
        match(*fields),
        (
            Load(Bits(end.wide, 64, 64), value >> 64),
            Load(Bits(end.wide, 0, 64), value & (1 << 64) - 1),
            Load(end.known, int(known)),
            Load(end.mode, int(mode)),
            Goto(end.following),
        ),
        cookie(Category.IDENTITY, number),
    )
