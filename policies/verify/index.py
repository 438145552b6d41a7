"""One table's rules, indexed: what a packet meets is found in microseconds, however many they are.

Rules of a table whose matches look at the same bits stand in one `MaskGroup`, keyed
by the value of those bits (tuple space search, Srinivasan et al., SIGCOMM 1999).
All registers together are one number, `REGISTERS` bits wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from policies.rules.rule import Bits, Rule

REGISTERS = 512
REMEMBERED = 4096  # values of registers, in one table and for packets of one kind
Small = tuple[str, int, int]  # field, value, mask
FULL = -1
# Fields with few values: they choose a group, the others key the rules in it.
SMALL = frozenset(
    {"eth_type", "ip_proto", "icmp_type", "icmpv6_type", "arp_op", "ct_state", "tcp_flags"}
)


@cache
def place(name: str, low: int = 0) -> int | None:
    """Where a register's bit stands in the one number; None for a packet field.

    Four registers make a wide one, the first of them on top.
    """
    if name.startswith("xxreg"):
        return 128 * int(name[5:]) + low
    if name.startswith("reg"):
        number = int(name[3:])
        return 128 * (number // 4) + 32 * (3 - number % 4) + low
    return None


_PLACES = {f"reg{number}": place(f"reg{number}") for number in range(16)}


@cache
def bits_mask(bits: Bits) -> int:
    """The mask of a run of register bits in the one number."""
    at = place(bits.field, bits.low)
    assert at is not None
    return ((1 << bits.width) - 1) << at


def register_bits(registers: int, bits: Bits) -> int:
    at = place(bits.field, bits.low)
    assert at is not None
    return registers >> at & (1 << bits.width) - 1


@dataclass(slots=True)
class MaskGroup:
    """Rules of one table that match the same bits; ``rules`` maps their values to the rule.

    ``small`` are conditions that all of them share, ``big`` the other fields with
    their masks (`FULL` for every bit), ``mask`` the register bits.
    """

    small: tuple[Small, ...]
    big: tuple[tuple[str, int], ...]
    mask: int
    rules: dict[tuple[int, ...], Rule] = field(default_factory=dict)
    others: dict[tuple[int, ...], list[Rule]] = field(default_factory=dict)
    top: int = 0

    def every(self) -> Iterator[Rule]:
        """All rules, also those that a higher one with the same values hides."""
        yield from self.rules.values()
        for more in self.others.values():
            yield from more

    def add(self, key: tuple[int, ...], rule: Rule) -> None:
        known = self.rules.get(key)
        self.top = max(self.top, rule.priority)
        if known is None:
            self.rules[key] = rule
        elif known.priority >= rule.priority:
            self.others.setdefault(key, []).append(rule)
        else:
            self.others.setdefault(key, []).append(known)
            self.rules[key] = rule

    def remove(self, key: tuple[int, ...], rule: Rule) -> None:
        rest = self.others.pop(key, [])
        if self.rules[key].priority == rule.priority:
            del self.rules[key]
        else:
            rest = [each for each in rest if each.priority != rule.priority]
        for other in rest:
            self.add(key, other)


Shape = tuple[tuple[Small, ...], tuple[tuple[str, int], ...], int]


def shape_of(rule: Rule) -> tuple[Shape, tuple[int, ...]]:
    """Which bits a rule looks at, and the values it wants there (registers last)."""
    small: list[Small] = []
    big: list[tuple[str, int]] = []
    values: list[int] = []
    registers = mask = 0
    for wanted in rule.match:
        name = wanted.name
        if (at := _PLACES.get(name)) is not None:
            mask |= (0xFFFF_FFFF if wanted.mask is None else wanted.mask) << at
            registers |= wanted.value << at
        elif name in SMALL:
            small.append((name, wanted.value, FULL if wanted.mask is None else wanted.mask))
        else:
            big.append((name, FULL if wanted.mask is None else wanted.mask))
            values.append(wanted.value)
    if mask:
        values.append(registers)
    return (tuple(small), tuple(big), mask), tuple(values)


class TableIndex:
    """One table's rules in groups."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.groups: dict[Shape, MaskGroup] = {}
        self.usual: tuple[int | None] | None = None
        self.tied = False
        # What packets can meet, by their small values under these names; none after a change.
        self._names: tuple[str, ...] | None = None
        self._near: dict[tuple[int, ...], _Near] = {}
        for rule in rules:
            self._add(rule)

    def add(self, rule: Rule) -> None:
        self._forget()
        self._add(rule)

    def _add(self, rule: Rule) -> None:
        shape, key = shape_of(rule)
        group = self.groups.get(shape)
        if group is None:
            group = self.groups[shape] = MaskGroup(*shape)
        group.add(key, rule)

    def _forget(self) -> None:
        self._names = None
        self._near.clear()

    def put(self, rule: Rule) -> Rule | None:
        """Add a rule in place of one with the same match and priority, which is returned."""
        shape, key = shape_of(rule)
        group = self.groups.get(shape)
        old = None
        if group is not None and key in group.rules:
            same = (group.rules[key], *group.others.get(key, ()))
            old = next((each for each in same if each.priority == rule.priority), None)
        if old is not None:
            self.remove(old)
        self.add(rule)
        return old

    def remove(self, rule: Rule) -> None:
        """Raises KeyError for a rule that is not there."""
        self._forget()
        shape, key = shape_of(rule)
        group = self.groups[shape]
        group.remove(key, rule)
        if not group.rules:
            del self.groups[shape]

    def rules(self) -> Iterator[Rule]:
        for group in self.groups.values():
            yield from group.every()

    def lookup(self, packet: Mapping[str, int], registers: int, last: bool = False) -> Rule | None:
        """The rule that a packet meets.

        A switch may take any of several with one priority; ``self.tied`` says
        that there were some which do different things, ``last`` takes another.
        """
        if self._names is None:
            names = {name for group in self.groups.values() for name, _, _ in group.small}
            self._names = tuple(sorted(names))
        small = tuple([packet.get(name, FULL) for name in self._names])
        near = self._near.get(small)
        if near is None:
            near = self._near[small] = _near(self.groups.values(), packet)
        if near.by_fields:
            first, other, self.tied = _best(near.groups, packet, registers)
            return other if last else first
        registers &= near.mask
        met = near.met.get(registers)
        if met is None:
            if len(near.met) >= REMEMBERED:
                near.met.clear()
            met = near.met[registers] = _best(near.groups, packet, registers)
        self.tied = met[2]
        return met[1] if last else met[0]


@dataclass(slots=True)
class _Near:
    """The groups that packets with some small values can meet, the highest first.

    ``met`` is what they meet by their registers, where no group looks at other fields.
    """

    groups: list[MaskGroup]
    mask: int
    by_fields: bool
    met: dict[int, tuple[Rule | None, Rule | None, bool]] = field(default_factory=dict)


def _near(groups: Iterable[MaskGroup], packet: Mapping[str, int]) -> _Near:
    found = [
        group
        for group in groups
        if all(packet.get(name, FULL) & mask == value for name, value, mask in group.small)
    ]
    found.sort(key=lambda group: -group.top)
    mask = 0
    for group in found:
        mask |= group.mask
    return _Near(found, mask, any(group.big for group in found))


def _best(
    groups: Iterable[MaskGroup], packet: Mapping[str, int], registers: int
) -> tuple[Rule | None, Rule | None, bool]:
    """The first and the last of the highest rules, and whether they do different things."""
    first: Rule | None = None
    other: Rule | None = None
    above = -1
    tied = False
    for group in groups:
        if group.top < above:
            break
        key = []
        for name, mask in group.big:
            have = packet.get(name)
            if have is None:
                break
            key.append(have & mask)
        else:
            if group.mask:
                key.append(registers & group.mask)
            rule = group.rules.get(tuple(key))
            if rule is None or rule.priority < above:
                continue
            if first is None or rule.priority > above:
                first = other = rule
                above, tied = rule.priority, False
            elif rule.actions != first.actions or rule.cookie != first.cookie:
                other, tied = rule, True
    return first, other, tied
