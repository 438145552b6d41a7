"""One switch's rules, indexed: a packet is run in microseconds, whatever the number of rules.

Rules of a table whose matches look at the same bits stand in one `Group`, keyed
by the value of those bits (tuple space search, Srinivasan et al., SIGCOMM 1999).
All registers together are one number, `REGISTERS` bits wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from policies.rules import (
    Bits,
    Commit,
    CopyToController,
    Goto,
    Learn,
    Load,
    Move,
    Output,
    OutputRegister,
    PopVlan,
    PushVlan,
    Resubmit,
    Rule,
    RuleAction,
    Track,
)

REGISTERS = 512
MAX_STEPS = 64
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
class Group:
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
        self.groups: dict[Shape, Group] = {}
        self.usual: tuple[int | None] | None = None
        self.tied = False
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        shape, key = shape_of(rule)
        group = self.groups.get(shape)
        if group is None:
            group = self.groups[shape] = Group(*shape)
        group.add(key, rule)

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
        shape, key = shape_of(rule)
        group = self.groups[shape]
        group.remove(key, rule)
        if not group.rules:
            del self.groups[shape]

    def rules(self) -> Iterator[Rule]:
        for group in self.groups.values():
            yield from group.rules.values()
            for more in group.others.values():
                yield from more

    def lookup(self, packet: Mapping[str, int], registers: int, last: bool = False) -> Rule | None:
        """The rule that a packet meets.

        A switch may take any of several with one priority; ``self.tied`` says
        that there were some which do different things, ``last`` takes another.
        """
        best: Rule | None = None
        above = -1
        self.tied = False
        for group in self.groups.values():
            if group.top < above:
                continue
            for name, value, mask in group.small:
                if packet.get(name, FULL) & mask != value:
                    break
            else:
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
                    if rule.priority == above and best is not None:
                        if rule.actions != best.actions or rule.cookie != best.cookie:
                            self.tied = True
                            best = rule if last else best
                    else:
                        best, above, self.tied = rule, rule.priority, False
        return best


@dataclass(slots=True)
class Run:
    """What a packet met and what became of it.

    ``copies`` are (meter, registers at that moment), ``commits`` (zone, mark),
    ``entries`` the registers on entering each table.
    """

    rules: list[Rule] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    commits: list[tuple[int, int]] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    learned: list[Learn] = field(default_factory=list)
    entries: dict[int, int] = field(default_factory=dict)
    packet: Mapping[str, int] = field(default_factory=dict)
    registers: int = 0
    lost: bool = False  # went round in circles
    tied: bool = False  # a switch could have taken another rule of the same priority


@dataclass(frozen=True, slots=True)
class Flood:
    """Outputs one after the other, as one step: a switch has a thousand ports."""

    ports: list[int]
    known: frozenset[int]


MANY = 16  # actions, above which it pays to gather outputs


class Machine:
    """A switch in software over indexed tables."""

    def __init__(self, tables: Mapping[int, TableIndex], last: bool = False) -> None:
        self.tables, self._last = tables, last
        self._learned: dict[int, Learn | None] = {}
        self._floods: dict[int, tuple[tuple[RuleAction, ...], tuple[RuleAction | Flood, ...]]] = {}

    def run(self, packet: Mapping[str, int], ct_state: int, counted: bool = False) -> Run:
        """Send a packet in; ``counted`` says whether its connection has a learned rule already."""
        return self.run_from(0, packet, 0, 0, ct_state, counted)

    def run_from(
        self,
        table: int | None,
        packet: Mapping[str, int],
        registers: int,
        now_state: int,
        ct_state: int,
        counted: bool = False,
    ) -> Run:
        """The rest of a passage: from a table on, with these registers, ``now_state`` so far."""
        run = Run(registers=registers, packet=packet)
        fields = dict(packet)
        fields["ct_state"] = now_state
        steps = 0
        while table is not None:
            steps += 1
            if steps > MAX_STEPS:
                run.lost = True
                break
            table = self._step(table, fields, ct_state, counted, run)
        return run

    def _step(
        self, table: int, fields: dict[str, int], ct_state: int, counted: bool, run: Run
    ) -> int | None:
        run.entries.setdefault(table, run.registers)
        index = self.tables.get(table)
        rule = None
        if index is not None:
            rule = index.lookup(fields, run.registers, self._last)
            run.tied = run.tied or index.tied
        if rule is None:
            return None
        run.rules.append(rule)
        actions: Iterable[RuleAction | Flood] = rule.actions
        if len(rule.actions) > MANY:
            actions = self._gathered(rule.actions)
        return self._act(actions, fields, ct_state, counted, run)

    def _gathered(self, actions: tuple[RuleAction, ...]) -> tuple[RuleAction | Flood, ...]:
        """Actions with neighbouring outputs as one, worked out once."""
        known = self._floods.get(id(actions))
        if known is None:
            found: list[RuleAction | Flood] = []
            for is_output, part in groupby(actions, lambda each: type(each) is Output):
                if is_output:
                    ports = [each.port for each in part if isinstance(each, Output) and each.port]
                    found.append(Flood(ports, frozenset(ports)))
                else:
                    found += part
            # The actions are kept, so that no others get their id.
            known = self._floods[id(actions)] = (actions, tuple(found))
        return known[1]

    def _act(
        self,
        actions: Iterable[RuleAction | Flood],
        fields: dict[str, int],
        ct_state: int,
        counted: bool,
        run: Run,
    ) -> int | None:
        following: int | None = None
        for action in actions:
            kind = type(action)
            if kind is Goto:
                following = action.table  # type: ignore[union-attr]
            elif kind is Load:
                write(run, fields, action.target, action.value)  # type: ignore[union-attr]
            elif kind is Move:
                write(run, fields, action.target, read(run, fields, action.source))  # type: ignore[union-attr]
            elif isinstance(action, Flood):
                came = fields.get("in_port")
                back = came in action.known
                run.outputs += [p for p in action.ports if p != came] if back else action.ports
            else:
                other = self._effect(action, fields, ct_state, counted, run)
                following = following if other is None else other
        return following

    def _effect(
        self,
        action: RuleAction,
        fields: dict[str, int],
        ct_state: int,
        counted: bool,
        run: Run,
    ) -> int | None:
        match action:
            case Output(port):
                _leave(run, fields, port)
            case OutputRegister(source):
                _leave(run, fields, read(run, fields, source))
            case CopyToController(meter):
                run.copies.append((meter, run.registers))
            case Resubmit(table):
                if len(run.rules) >= MAX_STEPS:
                    run.lost = True
                elif counted and (learn := self._learns(table)) is not None:
                    write(run, fields, learn.load.target, learn.load.value)
                else:
                    self._step(table, fields, ct_state, counted, run)
            case Track(zone, table):
                fields["ct_state"] = ct_state
                run.tracks.append(zone)
                return table
            case PushVlan():
                fields["vlan_vid"] = 0x1000
            case PopVlan():
                fields.pop("vlan_vid", None)
            case Commit(zone, mark):
                run.commits.append((zone, read(run, fields, mark)))
            case Learn():
                run.learned.append(action)
        return None

    def _learns(self, table: int) -> Learn | None:
        """What rules that the switch adds itself do in a table."""
        if table not in self._learned:
            self._learned[table] = self._find_learn(table)
        return self._learned[table]

    def _find_learn(self, table: int) -> Learn | None:
        for index in self.tables.values():
            for group in index.groups.values():
                if len(group.rules) > MAX_STEPS:
                    continue
                for rule in group.rules.values():
                    for action in rule.actions:
                        if isinstance(action, Learn) and action.table == table:
                            return action
        return None


def _leave(run: Run, fields: Mapping[str, int], port: int) -> None:
    if port not in (0, fields.get("in_port")):
        run.outputs.append(port)


def read(run: Run, fields: Mapping[str, int], bits: Bits) -> int:
    at = place(bits.field, bits.low)
    whole = fields.get(bits.field, 0) >> bits.low if at is None else run.registers >> at
    return whole & (1 << bits.width) - 1


def write(run: Run, fields: dict[str, int], bits: Bits, value: int) -> None:
    mask = (1 << bits.width) - 1
    at = place(bits.field, bits.low)
    if at is None:
        whole = fields.get(bits.field, 0)
        fields[bits.field] = whole & ~(mask << bits.low) | (value & mask) << bits.low
    else:
        run.registers = run.registers & ~(mask << at) | (value & mask) << at
