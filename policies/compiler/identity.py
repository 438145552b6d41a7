"""Identities: which segments an address is in, as numbers that rules can match.

An address may be in several segments. Writing every *set* of segments as one
number would need a rule per pair of sets and intent; writing one bit per
segment would need more bits than a packet carries. So segments that never
share an address share a 16-bit *field*: within a field at most one of them can
apply, and its number says which. Eight fields per end are enough as long as no
address needs more than eight of the segments that intents name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from policies import layout
from policies.compiler.parts import ETH_IP, ETH_IPV6
from policies.layout import Category, Table, cookie, name_number
from policies.membership import Region
from policies.model import ANY, UNKNOWN, Mode, Policy
from policies.regions import SIX
from policies.rules import Bits, Field, Goto, Load, Rule, RuleAction, match

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
    return codes_apart(wanted, meetings(wanted, {region.segments for region in regions}))


def meetings(
    names: frozenset[str], groups: Iterable[frozenset[str]]
) -> Mapping[str, frozenset[str]]:
    """For each segment those that share an address with it, itself among them.

    ``groups`` are the sets of segments that addresses have.
    """
    together: dict[str, set[str]] = {name: {name} for name in names}
    for shared in {group & names for group in groups}:
        for name in shared:
            together[name] |= shared
    return {name: frozenset(others) for name, others in together.items()}


def codes_apart(
    names: Iterable[str], together: Mapping[str, Collection[str]]
) -> Mapping[str, SegmentCode]:
    """`assign_codes` for segments of which it is known which share an address."""
    codes: dict[str, SegmentCode] = {}
    taken: set[SegmentCode] = set()
    for name in sorted(names):
        number = name_number(name) & 0xFFFF or 1
        near = together.get(name, ())
        blocked = {codes[other].field for other in near if other in codes}
        free = (
            code
            for code in (SegmentCode(each, number) for each in range(layout.IDENTITY_FIELDS))
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


class IdentityRules:
    """Per end: a rule for a prefix whose addresses are in the same segments.

    ``mode_of`` gives the mode of a set of segments. What rules share (actions,
    fields of common leading words) is made once: there are tens of thousands.
    """

    def __init__(
        self, codes: Mapping[str, SegmentCode], mode_of: Callable[[frozenset[str]], Mode]
    ) -> None:
        self._codes, self._mode_of = codes, mode_of
        self._shared: dict[frozenset[str], tuple[tuple[RuleAction, ...], ...]] = {}
        self._causes: dict[frozenset[str], int] = {}
        self._words: dict[tuple[str, int], Field] = {}
        self._loads: dict[tuple[Bits, int], Load] = {}

    def default(self) -> tuple[Rule, Rule]:
        """For addresses that no prefix covers: they are in no segment."""
        return self._rules((), (), 0, frozenset())

    def prefix(self, key: tuple[int, int], segments: frozenset[str]) -> tuple[Rule, Rule]:
        """The rules of both ends for a prefix as in `policies.compiler.aggregate`."""
        start, wide = key
        size = (-wide).bit_length()
        if start < SIX:
            if size > 32:
                return self._rules((_IP,), (_IP,), 100, segments)
            mask = None if wide == -1 else wide & ALL_32
            four = (_IP, Field("reg8", start, mask)), (_IP, Field("reg12", start, mask))
            return self._rules(*four, 133 - size, segments)
        address, length = start & ~SIX, 129 - size
        if length > 96:
            source, target = self._six(address, wide)
        else:
            source, target = (
                match(*address_fields(end, address, length, 6)) for end in (SOURCE, TARGET)
            )
        return self._rules(source, target, 100 + length, segments)

    def _six(self, address: int, wide: int) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        """Match an IPv6 prefix longer than 96 bits."""
        first, second = address >> 96, address >> 64 & ALL_32
        third, last = address >> 32 & ALL_32, address & ALL_32
        mask = None if wide == -1 else wide & ALL_32
        # In the order of the registers' names, as in every match.
        return (
            (
                _IPV6,
                self._word("reg10", third),
                Field("reg11", last, mask),
                self._word("reg8", first),
                self._word("reg9", second),
            ),
            (
                _IPV6,
                self._word("reg12", first),
                self._word("reg13", second),
                self._word("reg14", third),
                Field("reg15", last, mask),
            ),
        )

    def _word(self, register: str, value: int) -> Field:
        field = self._words.get((register, value))
        if field is None:
            field = self._words[register, value] = Field(register, value)
        return field

    def _rules(
        self,
        source: tuple[Field, ...],
        target: tuple[Field, ...],
        priority: int,
        segments: frozenset[str],
    ) -> tuple[Rule, Rule]:
        actions = self._shared.get(segments)
        if actions is None:
            actions = self._shared[segments] = self._actions(segments)
            number = name_number(",".join(sorted(segments))) if segments else 0
            self._causes[segments] = cookie(Category.IDENTITY, number)
        cause = self._causes[segments]
        return (
            Rule(Table.SOURCE, priority, source, actions[0], cause),
            Rule(Table.TARGET, priority, target, actions[1], cause),
        )

    def _actions(self, segments: frozenset[str]) -> tuple[tuple[RuleAction, ...], ...]:
        value = identity_value(segments, self._codes)
        mode = int(self._mode_of(segments))
        return tuple(
            (
                self._load(high, value >> 64),
                self._load(low, value & (1 << 64) - 1),
                self._load(end.known, int(bool(segments))),
                self._load(end.mode, mode),
                Goto(end.following),
            )
            for end, high, low in _WIDE
        )

    def _load(self, target: Bits, value: int) -> Load:
        load = self._loads.get((target, value))
        if load is None:
            load = self._loads[target, value] = Load(target, value)
        return load


_IP, _IPV6 = Field("eth_type", ETH_IP), Field("eth_type", ETH_IPV6)
_WIDE = tuple((end, Bits(end.wide, 64, 64), Bits(end.wide, 0, 64)) for end in (SOURCE, TARGET))
