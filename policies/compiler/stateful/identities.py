"""Identities: rules that write an address's segments into registers, and the matches on them. The
codes are those of `policies.compiler.common.identity_codes`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from policies.compiler.common.aggregate import Aggregate, Key
from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.identity_codes import Codes, Ends, codes_of
from policies.compiler.common.overlaps import SegmentOverlaps
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6
from policies.model import Mode
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, cookie, name_number
from policies.rules.rule import Bits, Field, Goto, Load, Rule, RuleAction, match
from policies.semantics.intent_ends import includes, includes_all
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX

ALL_32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class EndLayout:
    """Where one end of a connection keeps its address, identity, mode and whether it is known."""

    table: RuleTable
    following: RuleTable
    registers: tuple[str, ...]
    wide: str
    mode: Bits
    known: Bits


SOURCE = EndLayout(
    RuleTable.SOURCE,
    RuleTable.TARGET,
    layout.SOURCE_REGS,
    layout.SOURCE_WIDE,
    layout.SOURCE_MODE,
    layout.SOURCE_KNOWN,
)
TARGET = EndLayout(
    RuleTable.TARGET,
    RuleTable.EMERGENCY,
    layout.TARGET_REGS,
    layout.TARGET_WIDE,
    layout.TARGET_MODE,
    layout.TARGET_KNOWN,
)


def end_fields(end: EndLayout, names: Collection[str], codes: Codes) -> tuple[Field | None, ...]:
    """What rules match for "this end is one of ``names``", one after the other; None for any."""
    if includes_all(names):
        return (None,)
    found = []
    for value, mask in codes.matches(names):
        register = (mask.bit_length() - 1) // 32
        shift = 32 * register
        found.append(Field(end.registers[3 - register], value >> shift, mask >> shift))
    if includes(names, ()):
        found.append(Field(end.known.field, 0, 1 << end.known.low))
    return tuple(found)


def address_fields(
    end: EndLayout, prefix_value: int, length: int, version: int
) -> tuple[Field, ...]:
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

    def __init__(self, codes: Codes, mode_of: Callable[[frozenset[str]], Mode]) -> None:
        self._codes, self._mode_of = codes, mode_of
        self._shared: dict[frozenset[str], tuple[tuple[RuleAction, ...], ...]] = {}
        self._causes: dict[frozenset[str], int] = {}
        self._words: dict[tuple[str, int], Field] = {}
        self._loads: dict[tuple[Bits, int], Load] = {}

    def default(self) -> tuple[Rule, Rule]:
        """For addresses that no prefix covers: they are in no segment."""
        return self._rules((), (), 0, frozenset())

    def prefix(self, key: tuple[int, int], segments: frozenset[str]) -> tuple[Rule, Rule]:
        """The rules of both ends for a prefix as in `policies.compiler.common.aggregate`."""
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
            Rule(RuleTable.SOURCE, priority, source, actions[0], cause),
            Rule(RuleTable.TARGET, priority, target, actions[1], cause),
        )

    def _actions(self, segments: frozenset[str]) -> tuple[tuple[RuleAction, ...], ...]:
        value = self._codes.value(segments)
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


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """``recoded`` are segments with another code, ``met`` those that overlap others than before."""

    rules: RuleChange = RuleChange()
    recoded: frozenset[str] = frozenset()
    met: frozenset[str] = frozenset()


class Identities:
    """``codes`` are those of the ends that intents name, ``together`` says for each segment
    which others share an address with it."""

    def __init__(self, ends: Ends, membership: Membership) -> None:
        self._ends, self._membership = ends, membership
        self._overlaps = SegmentOverlaps(membership.spans.values())
        self.together = self._overlaps.together
        self.codes: Codes = codes_of(ends, self.together)
        self._prefixes = Aggregate(membership.spans.items())
        self._maker = IdentityRules(self.codes, membership.mode_of)
        self._rules = {
            prefix: self._maker.prefix(prefix, segments)
            for prefix, segments in self._prefixes.kept()
        }

    def rules(self) -> Iterator[Rule]:
        yield from self._maker.default()
        yield from chain.from_iterable(self._rules[prefix] for prefix in sorted(self._rules))

    def change(self, ends: Ends, membership: Membership) -> IdentityChange:
        """Follow a membership under the same segments, and the ends that intents name.

        Raises CompileError when an address is in too many segments.
        """
        spans, before = membership.changes_since(self._membership), self._membership.spans
        met = self._overlaps.change(
            (before[key] for key in spans if key in before),
            (segments for segments in spans.values() if segments is not None),
        )
        recoded = frozenset[str]()
        if ends != self._ends or met:
            codes = codes_of(ends, self.together)
            new, old = codes.values, self.codes.values
            recoded = frozenset(name for name in {*new, *old} if new.get(name) != old.get(name))
            self.codes = codes
        self._ends, self._membership = ends, membership
        changed: dict[Key, frozenset[str] | None] = self._prefixes.change(spans.items())
        if recoded:
            self._maker = IdentityRules(self.codes, membership.mode_of)
            for prefix, kept in self._prefixes.kept():
                if not recoded.isdisjoint(kept):
                    changed[prefix] = kept
        old_rules = [rule for prefix in changed for rule in self._rules.pop(prefix, ())]
        for prefix, segments in changed.items():
            if segments is not None:
                self._rules[prefix] = self._maker.prefix(prefix, segments)
        new_rules = (rule for prefix in changed for rule in self._rules.get(prefix, ()))
        return IdentityChange(change_between(old_rules, new_rules), recoded, frozenset(met))
