"""Which addresses the rules and the policy cannot tell apart.

The rules before the tiers replace an end's address by an identity. Two
addresses are in one *class* when that leaves the same bits in the registers and
when they are in the same segments: then no later rule and no intent can treat
them differently. Only the addresses that some rule or segment names, and one of
every stretch between them, have to be looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Bits, Goto, Load, Rule
from policies.semantics.prefix_sets import SIX
from policies.verify.classes import Classes, bitset
from policies.verify.index import FULL, TableIndex, bits_mask, place, shape_of
from policies.verify.packets import IP, IPV6
from policies.verify.ranges import Undecided, masked

CHAIN = (RuleTable.MARK_SOURCE, RuleTable.MARK_TARGET, RuleTable.SOURCE, RuleTable.TARGET)


MOST_SKIPPED = 100_000


@dataclass(frozen=True, slots=True)
class EndRegisters:
    """One end of a connection: its registers in the one number of `policies.verify.index`."""

    wide: str
    first: str
    identity: int  # where the address and then its identity stand
    own: int  # these, whether it is known, and its mode

    @classmethod
    def of(cls, wide: str, first: str, known: Bits, mode: Bits) -> EndRegisters:
        identity = bits_mask(Bits(wide, 0, 128))
        return cls(wide, first, identity, identity | bits_mask(known) | bits_mask(mode))

    def put(self, number: int) -> int:
        """The registers with an address in them."""
        if number & SIX:
            return (number ^ SIX) << (place(self.wide) or 0)
        return number << (place(self.first) or 0)

    def space(self, six: bool) -> int:
        """The register bits that hold an address."""
        return self.identity if six else bits_mask(Bits(self.first, 0, 32))


SOURCE = EndRegisters.of(
    layout.SOURCE_WIDE, layout.SOURCE_REGS[0], layout.SOURCE_KNOWN, layout.SOURCE_MODE
)
TARGET = EndRegisters.of(
    layout.TARGET_WIDE, layout.TARGET_REGS[0], layout.TARGET_KNOWN, layout.TARGET_MODE
)
ENDS = (SOURCE, TARGET)


class AddressClasses:
    """One end's classes, from the tables before the tiers and the policy's segments.

    ``strange`` are addresses whose way through the tables is not the usual one.
    """

    def __init__(
        self,
        end: EndRegisters,
        tables: Mapping[int, TableIndex],
        spans: Mapping[tuple[int, int], frozenset[str]],
        find: Callable[[int], frozenset[str]],
        read: int,
    ) -> None:
        self.end, self._read = end, read
        self._ragged: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
        self._find = find
        self.classes = Classes()
        self.points: dict[int, int] = {}
        self.strange: list[int] = []
        self.samples: dict[tuple[int, bool], int] = {}  # an address per class and family
        self._effects: dict[tuple[int, ...], tuple[int, int, bool]] = {}
        self._kept: list[list[Rule | None]] = []  # so that no other rule gets their numbers
        self._tables = [
            tables[table] for table in CHAIN if table in tables and self._looks(tables[table])
        ]
        self._cells: dict[bool, tuple[list[int], list[int]]] = {}
        for six in (False, True):
            self._family(six, spans)

    def _looks(self, index: TableIndex) -> bool:
        """Whether a table can treat addresses of this end differently."""
        other = ENDS[self.end is SOURCE].own
        masks = [group.mask for group in index.groups.values()]
        for group in index.groups.values():
            if group.big or any(name != "eth_type" for name, _, _ in group.small):
                raise Undecided("an identity rule looks at more than an address")
        if any(mask & other for mask in masks):
            if any(mask & self.end.own for mask in masks):
                raise Undecided("an identity rule looks at both ends")
            return False
        return True

    def _family(self, six: bool, spans: Mapping[tuple[int, int], frozenset[str]]) -> None:
        space = self.end.space(six)
        shift = (space & -space).bit_length() - 1
        family, base = (IPV6, SIX) if six else (IP, 0)
        exact: set[int] = {
            start for start, wide in spans if wide == -1 and bool(start & SIX) == six
        }
        edges = {base, base + (1 << (128 if six else 32))}
        for start, wide in spans:
            if wide != -1 and bool(start & SIX) == six:
                edges |= {start, start - wide}
        for index in self._tables:
            for group in index.groups.values():
                if any(value != family & mask for _, value, mask in group.small):
                    continue
                keys = [key[0] for key in group.rules] if group.mask else []
                if group.mask & ~space:
                    if six:
                        raise Undecided("an identity rule looks at other registers")
                    # For this family the other words are zero.
                    keys = [key for key in keys if not key & ~space]
                if group.mask & space == space:
                    exact |= {base | key >> shift for key in keys}
                elif group.mask & space:
                    for key in keys:
                        edges |= self._edges(key >> shift, (group.mask & space) >> shift, six)
        found = []
        packet = {"eth_type": family}
        for number in exact:
            found.append(self._class(number, packet, single=True))
            self.points[number] = found[-1]
        starts, cells = sorted(edges), []
        for low, high in zip(starts, starts[1:], strict=False):
            of_cell = self._cell(low, high, exact, packet)
            cells.append(of_cell[0])
            found += [each for each in of_cell if each >= 0]
        self._cells[six] = (starts, cells)
        self.classes.extend(found, six)

    def _cell(
        self, low: int, high: int, exact: Container[int], packet: dict[str, int]
    ) -> list[int]:
        """The class of a stretch's addresses that nothing names, -1 if there are none; then those
        of the ones inside that ragged matches cover."""
        free = low
        while free < high and (free in exact or self._is_ragged(free)):
            free += 1
            if free - low > MOST_SKIPPED:
                raise Undecided("identity rules match addresses in too ragged a way")
        found = [-1 if free == high else self._class(free, packet, single=high - low == 1)]
        for value, mask in self._ragged[low >= SIX]:
            inside = next_match(low, value, mask)
            while inside is not None and inside < high and inside in exact:
                inside = next_match(inside + 1, value, mask)
            if inside is not None and inside < high:
                found.append(self._class(inside, packet, single=False))
        return found

    def change(
        self,
        rules: Iterable[Rule],
        spans: Iterable[tuple[int, int]],
        find: Callable[[int], frozenset[str]],
    ) -> int:
        """Look again at the addresses that these rules or segments' prefixes cover; the classes
        that are new, as a bitset. Raises Undecided where everything has to be looked at."""
        self._find = find
        before = len(self.classes.own)
        ranges = [(start, start - wide - 1) for start, wide in spans]
        for rule in rules:
            if self._concerns(rule):
                ranges += self._covered(rule)
        numbers = {low for low, high in ranges if low == high}
        wide = [each for each in ranges if each[0] != each[1]]
        if wide:
            numbers |= {
                number for number in self.points if any(low <= number <= high for low, high in wide)
            }
        for six in (False, True):
            packet = {"eth_type": IPV6 if six else IP}
            found = []
            for number in numbers:
                if (number >= SIX) is six:
                    self.points[number] = self._class(number, packet, single=True)
                    found.append(self.points[number])
            for low, high in wide:
                if (low >= SIX) is six:
                    found += self._refresh(low, high, six, packet)
            self.classes.extend(found, six)
        return (1 << len(self.classes.own)) - (1 << before)

    def _concerns(self, rule: Rule) -> bool:
        return any(
            place(field.name) is not None and bits_mask(Bits(field.name, 0, 32)) & self.end.own
            for field in rule.match
        )

    def _covered(self, rule: Rule) -> list[tuple[int, int]]:
        """The addresses that an identity rule of one family and this end matches."""
        (small, big, mask), key = shape_of(rule)
        family = next((value for name, value, _ in small if name == "eth_type"), None)
        if family not in (IP, IPV6) or len(small) != 1 or big:
            raise Undecided("an identity rule of no one family")
        six = family == IPV6
        space, base, width = self.end.space(six), SIX if six else 0, 128 if six else 32
        shift = (space & -space).bit_length() - 1
        if mask & ~space:
            raise Undecided("an identity rule looks at other registers")
        pieces = masked(key[-1] >> shift, mask >> shift, width)
        return [(base | low, base | high) for low, high in pieces]

    def _refresh(self, low: int, high: int, six: bool, packet: dict[str, int]) -> list[int]:
        """Cut the stretches at the ends of a range and look at those in it again."""
        starts, cells = self._cells[six]
        for edge in (low, high + 1):
            at = bisect_right(starts, edge) - 1
            if starts[at] != edge:
                starts.insert(at + 1, edge)
                cells.insert(at + 1, cells[at])
        first = bisect_right(starts, low) - 1
        found = []
        for at in range(first, bisect_right(starts, high)):
            of_cell = self._cell(starts[at], starts[at + 1], self.points, packet)
            cells[at] = of_cell[0]
            found += [each for each in of_cell if each >= 0]
        return found

    def _edges(self, value: int, mask: int, six: bool) -> set[int]:
        """Where a masked match begins and ends; one in too many pieces is kept as it is."""
        base, width = (SIX, 128) if six else (0, 32)
        try:
            ranges = masked(value, mask, width)
        except Undecided:
            self._ragged[six].append((base | value, base | mask))
            if len(self._ragged[six]) > 1:
                raise
            return set()
        return {each for low, high in ranges for each in (base | low, (base | high) + 1)}

    def _is_ragged(self, number: int) -> bool:
        return any(number & mask == value for value, mask in self._ragged[number >= SIX])

    def _class(self, number: int, packet: dict[str, int], *, single: bool) -> int:
        registers = self.end.put(number)
        met = []
        tied = False
        for index in self._tables:
            rule = index.lookup(packet, registers)
            met.append(rule)
            tied = tied or index.tied
            if rule is None:
                break
        key = tuple([0 if rule is None else id(rule.actions) for rule in met])
        effect = self._effects.get(key)
        if effect is None:
            effect = self._effects[key] = self._effect(met)
            self._kept.append(met)
        mask, value, strange = effect
        left = self.end.space(number >= SIX) & ~mask
        strange = strange or tied or bool(left) and not single
        if strange:
            self.strange.append(number)
        own = (registers & ~mask | value) & self.end.own
        found = self.classes.add(own, self._find(number), number if strange else 0)
        self.samples.setdefault((found, number >= SIX), number)
        return found

    def _effect(self, met: list[Rule | None]) -> tuple[int, int, bool]:
        """Register bits written, their values, and whether anything else happens."""
        mask = value = 0
        strange = False
        for rule, index in zip(met, self._tables, strict=False):
            if rule is None:
                return mask, value, True
            following = None
            for action in rule.actions:
                if isinstance(action, Load) and place(action.target.field) is not None:
                    bits = bits_mask(action.target)
                    at = place(action.target.field, action.target.low) or 0
                    mask |= bits
                    value = value & ~bits | action.value << at & bits
                    strange = strange or bool(bits & ~self.end.own & self._read)
                elif isinstance(action, Goto):
                    following = action.table
                else:
                    strange = True
            strange = strange or following != usual(index)
        return mask, value, strange

    def members(self, six: bool) -> Iterator[tuple[int, int]]:
        """Addresses with their class: all that something names, and the first of each stretch."""
        for number, found in self.points.items():
            if (number >= SIX) is six:
                yield number, found
        for start, found in zip(*self._cells[six], strict=False):
            while start in self.points:
                start += 1
            if found >= 0:
                yield start, found

    def class_of(self, number: int) -> int:
        known = self.points.get(number)
        if known is not None:
            return known
        if self._is_ragged(number):
            family = IPV6 if number >= SIX else IP
            return self._class(number, {"eth_type": family}, single=False)
        starts, cells = self._cells[number >= SIX]
        return cells[bisect_right(starts, number) - 1]


def next_match(start: int, value: int, mask: int) -> int | None:
    """The smallest number from ``start`` on whose bits under ``mask`` are those of ``value``."""
    if start & mask == value:
        return start
    for bit in range(130):  # the lowest bit to raise so that what lies below may be chosen
        step = 1 << bit
        if start & step:
            continue
        raised = (start | step) & ~(step - 1)
        if raised & mask & ~(step - 1) == value & ~(step - 1):
            return raised | value & (step - 1)
    return None


def usual(index: TableIndex) -> int | None:
    """Where most rules of a table lead."""
    counts: dict[int | None, int] = {}
    cached = getattr(index, "usual", None)
    if cached is not None:
        return int(cached[0]) if cached[0] is not None else None
    for rule in index.rules():
        last = rule.actions[-1] if rule.actions else None
        key = last.table if isinstance(last, Goto) else None
        counts[key] = counts.get(key, 0) + 1
    best = max(counts, key=lambda each: counts[each], default=None)
    index.usual = (best,)
    return best


__all__ = ["CHAIN", "ENDS", "FULL", "SOURCE", "TARGET", "AddressClasses", "Classes", "bitset"]
