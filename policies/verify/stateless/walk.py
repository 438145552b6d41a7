"""All packets of one shape through the rules at once, held against the policy.

A table cuts a region by the fields of the rules that may match in it, never into
single packets; regions that go on alike are followed once. This is the decision
diagram of Gouda and Liu ("Structured firewall design", Computer Networks 51, 2007),
table after table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from policies.rules.layout import Category, StatelessTable, category_of
from policies.rules.rule import Goto, Output, Rule, ToController, UseMeter, WriteMetadata
from policies.verify.ranges import Undecided
from policies.verify.stateless.atoms import numbers
from policies.verify.stateless.meaning import FLOOD, Fate
from policies.verify.stateless.parts import Parts
from policies.verify.stateless.senders import Sender
from policies.verify.stateless.shapes import Region, Shape
from policies.verify.stateless.verdicts import Judged

ANY = -1  # a field that nothing looks at any more
SENDING = frozenset({"in_port", "eth_src", "ip_src", "ipv6_src", "arp_sha", "arp_spa"})
FIRST = (StatelessTable.EMERGENCY, StatelessTable.POLICY)
REPLY = (StatelessTable.EMERGENCY_REPLY, StatelessTable.REPLY)
DECIDING = (Category.INTENT, Category.DEFAULT)
METADATA = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Line:
    """A rule as one shape sees it: the atoms that it matches in each field, None for all."""

    conditions: tuple[int | None, ...]
    value: int
    mask: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class State:
    """Where a region is, and what is known of it. ``word`` is the policy's, in a tuple."""

    table: int = 0
    metadata: int = 0
    sender: Sender | None = None
    word: tuple[Judged | None] | None = None
    outputs: tuple[int, ...] = ()
    reported: bool = False
    first: int | None = None
    reply: int | None = None
    tied: Rule | None = None


# region, the same with the fields that nothing looks at any more, what was done, what had to be
Suspect = Callable[[Region, Region, State], None]


class Walk:
    """The packets of one shape. ``suspect`` is told of every region that goes wrong."""

    def __init__(
        self,
        shape: Shape,
        tables: dict[int, list[Rule]],
        parts: Parts,
        suspect: Suspect,
        named: bool,
    ) -> None:
        self._shape, self._parts, self._suspect = shape, parts, suspect
        self._named = named  # rules of the tiers carry their intents' cookies
        self._tables = {number: self._lines(rules) for number, rules in tables.items()}
        self._later: dict[int, tuple[frozenset[int], int]] = {}
        fields: frozenset[int] = frozenset()
        mask = 0
        for number in sorted(self._tables, reverse=True):
            for line in self._tables[number]:
                fields |= {at for at, bits in enumerate(line.conditions) if bits is not None}
                mask |= line.mask
            self._later[number] = (fields, mask)
        # One small table knows that nobody sends to himself, so it never forgets the port.
        sending = SENDING if named else SENDING - {"in_port"}
        self._sending = frozenset(at for at, name in enumerate(shape.fields) if name in sending)
        self._judged = frozenset(
            at
            for at, name in enumerate(shape.fields)
            if name not in SENDING and name not in ("eth_dst", "arp_op", "arp_tpa", "nd_target")
        )
        self._seen: set[tuple[Region, State]] = set()
        self.regions = 0

    def run(self) -> None:
        self._follow(self._shape.start, self._shape.start, State())

    def _lines(self, rules: Sequence[Rule]) -> list[Line]:
        found = []
        for rule in rules:
            line = self._line(rule)
            if line is not None:
                found.append(line)
        return sorted(found, key=lambda line: -line.rule.priority)

    def _line(self, rule: Rule) -> Line | None:
        """None for a rule that no packet of the shape matches."""
        fixed = dict(self._shape.fixed)
        conditions: list[int | None] = [None] * len(self._shape.fields)
        value = mask = 0
        for field in rule.match:
            if field.name == "metadata":
                value, mask = field.value, METADATA if field.mask is None else field.mask
            elif field.name in fixed:
                given = fixed[field.name]
                if (given if field.mask is None else given & field.mask) != field.value:
                    return None
            elif field.name in self._shape.fields:
                at = self._shape.fields.index(field.name)
                bits = self._parts.atoms(field.name).matching(field.value, field.mask)
                if not bits & self._shape.start[at]:
                    return None
                conditions[at] = bits
            else:
                return None
        return Line(tuple(conditions), value, mask, rule)

    def _follow(self, region: Region, actual: Region, state: State) -> None:
        """``actual`` still has the fields that ``region`` has forgotten."""
        fields, mask = self._later.get(state.table, (frozenset(), 0))
        if state.sender is None and not self._sending & fields:
            for part, sender in self._parts.senders(self._shape, region):
                forgotten = _forget(part, self._sending)
                self._follow(forgotten, part, replace(state, sender=sender))
            return
        if self._may_judge(state, fields):
            assert state.sender is not None
            for part, word in self._parts.judged(self._shape, region, state.sender):
                forgotten = _forget(part, self._judged)
                known = replace(state, word=(word,), sender=replace(state.sender, segments=None))
                self._follow(forgotten, _seen_in(part, actual), known)
            return
        state = replace(state, metadata=state.metadata & mask)
        if (region, state) in self._seen:
            return
        self._seen.add((region, state))
        self.regions += 1
        lines = [
            line
            for line in self._tables.get(state.table, ())
            if state.metadata & line.mask == line.value and _meets(line, region)
        ]
        for part, matched, tied in self._merged(_winners(lines, region)):
            own = replace(state, tied=matched) if tied else state
            self._apply(part, _seen_in(part, actual), own, matched)

    def _merged(
        self, found: Iterable[tuple[Region, Rule | None, bool]]
    ) -> Iterator[tuple[Region, Rule | None, bool]]:
        """Parts that only the target MAC tells apart, and to which the same happens, as one."""
        alike: dict[tuple[object, ...], tuple[int, Region, Rule | None, bool]] = {}
        at = self._shape.fields.index("eth_dst")
        for part, rule, tied in found:
            rest = (*part[:at], *part[at + 1 :])
            done = None if rule is None else (rule.actions, _label(rule))
            key = (rest, done, rule if tied else None)
            bits = alike[key][0] if key in alike else 0
            alike[key] = (bits | part[at], part, rule, tied)
        for bits, part, rule, tied in alike.values():
            yield (*part[:at], bits, *part[at + 1 :]), rule, tied

    def _may_judge(self, state: State, fields: frozenset[int]) -> bool:
        return (
            self._named
            and state.word is None
            and state.sender is not None
            and state.sender.segments is not None
            and state.sender.known
            and not self._judged & fields
        )

    def _apply(self, region: Region, actual: Region, state: State, rule: Rule | None) -> None:
        """What the rule that matched does; the end of the way where it names no table."""
        following: int | None = None
        table, metadata = state.table, state.metadata
        outputs, reported = state.outputs, state.reported
        first, reply = state.first, state.reply
        if rule is not None and self._named and category_of(rule.cookie) in DECIDING:
            first = rule.cookie if table in FIRST else first
            reply = rule.cookie if table in REPLY else reply
        for action in () if rule is None else rule.actions:
            match action:
                case Output(port):
                    outputs = (*outputs, port)
                case ToController():
                    reported = True
                case WriteMetadata(value, mask):
                    metadata = metadata & ~mask | value & mask
                case Goto(other):
                    following = other
                case UseMeter():
                    pass
                case _:
                    raise Undecided(f"a rule does what plain OpenFlow does not: {action}")
        done = replace(
            state,
            table=table if following is None else int(following),
            metadata=metadata,
            outputs=outputs,
            reported=reported,
            first=first,
            reply=reply,
        )
        if following is None:
            self._end(region, actual, done)
        elif following > table:
            self._follow(region, actual, done)
        else:
            raise Undecided(f"a rule of table {table} sends packets back to table {following}")

    def _end(self, region: Region, actual: Region, done: State) -> None:
        """Hold what was done against what had to be."""
        shape, parts = self._shape, self._parts
        senders = [(region, done.sender)] if done.sender else parts.senders(shape, region)
        for part, sender in senders:
            assert sender is not None
            for each, fate in parts.fates(shape, part, sender, done.word):
                if not self._agree(each, sender, fate, done):
                    self._suspect(each, _seen_in(each, actual), done)

    def _agree(self, region: Region, sender: Sender, fate: Fate, done: State) -> bool:
        view = self._parts.meaning.view
        outputs, wanted = set(done.outputs), {fate.output} - {None}
        if fate.output == FLOOD:
            wanted = {*view.ports, *view.trunks}
        if outputs != wanted:
            # No packet leaves where it came in; that only excuses where it is one port for all.
            ports = self._parts.atoms("in_port")
            bits = region[self._shape.fields.index("in_port")]
            entered = {ports.values[each] for each in numbers(bits)} if bits != ANY else set()
            if bits == ANY:
                entered = set(view.ports) - view.trunks if sender.edge else set(view.trunks)
            if len(entered) != 1 or outputs - entered != wanted - entered:
                return False
        if fate.report is not None and fate.report != done.reported:
            return False
        return not self._named or labelled(fate, done.first, done.reply)


def _label(rule: Rule) -> int | None:
    return rule.cookie if category_of(rule.cookie) in DECIDING else None


def labelled(fate: Fate, first: int | None, reply: int | None) -> bool:
    """Whether the rules that decided name what decides, and only where something does."""
    if not fate.judged:
        return first is None and reply is None
    return (
        first in (None, fate.first)
        and reply in (None, fate.reply)
        and not (first is None and reply is None)
    )


def _forget(region: Region, fields: frozenset[int]) -> Region:
    return tuple(ANY if at in fields else bits for at, bits in enumerate(region))


def _seen_in(region: Region, actual: Region) -> Region:
    """A region with what it has forgotten."""
    return tuple(was if bits == ANY else bits for bits, was in zip(region, actual, strict=True))


def _meets(line: Line, region: Region) -> bool:
    return all(
        bits is None or bits & own for bits, own in zip(line.conditions, region, strict=True)
    )


def _winners(lines: Sequence[Line], region: Region) -> Iterator[tuple[Region, Rule | None, bool]]:
    """A region apart by the rule that it matches; ``lines`` meet it, highest priority first.

    Where two rules of one priority match, a switch may take either: both are
    given, the second marked as tied.
    """
    if not lines:
        yield region, None, False
        return
    top = lines[0]
    for at, bits in enumerate(top.conditions):
        if bits is not None and region[at] & ~bits:
            for group, some in _cut(lines, at, region[at]):
                yield from _winners(some, (*region[:at], group, *region[at + 1 :]))
            return
    yield region, top.rule, False
    for other in lines[1:]:
        if other.rule.priority != top.rule.priority:
            break
        if (other.rule.actions, other.rule.cookie) != (top.rule.actions, top.rule.cookie):
            pairs = zip(other.conditions, region, strict=True)
            shared = tuple(own if bits is None else own & bits for bits, own in pairs)
            yield shared, other.rule, True


def _cut(lines: Sequence[Line], at: int, own: int) -> Iterator[tuple[int, list[Line]]]:
    """One field's atoms apart by the rules that match them."""
    named: dict[int, None] = {}
    for line in lines:
        bits = line.conditions[at]
        if bits is not None:
            named[bits & own] = None
    groups = [own]
    taken = 0
    apart = True
    for bits in named:
        apart = apart and not bits & taken
        taken |= bits
    if apart:
        groups = [*named, own & ~taken]
    else:
        for bits in named:
            groups = [part for group in groups for part in (group & bits, group & ~bits) if part]
    loose = [n for n, line in enumerate(lines) if line.conditions[at] is None]
    exact: dict[int, list[int]] = {}
    for number, line in enumerate(lines):
        bits = line.conditions[at]
        if bits is not None:
            exact.setdefault(bits & own, []).append(number)
    for group in groups:
        if not group:
            continue
        if apart:
            mine = sorted(loose + exact.get(group, []))
        else:
            mine = sorted(loose + [n for bits, some in exact.items() if bits & group for n in some])
        yield group, [lines[number] for number in mine]
