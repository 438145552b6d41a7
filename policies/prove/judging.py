"""Whether the rules of the tiers decide every connection as the intents do.

A rule of the tiers, and an intent just as well, is a *box*: a set of source
classes, a set of target classes and a set of services. Two conditions are
enough for rules and intents to name the same decider everywhere:

1. for every intent, the boxes of its rules together are the intent's boxes;
2. of any two rules of different intents that share a packet, the one whose
   intent decides first stands first.

(Were the first rule that a packet meets of another intent than the one that
decides, then by 1 a rule of the deciding intent covers that packet too, and by
2 it stands first.) What breaks a condition is only suspected: `differ` then looks
for a packet inside that box, exactly, and finds one or shows that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies import layout
from policies.layout import Category, Table, cookie, name_number
from policies.model import (
    ANY,
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    UNKNOWN,
    Action,
    Intent,
    Policy,
    Service,
    Tier,
)
from policies.prove.addresses import SOURCE, TARGET, Classes, bitset
from policies.prove.expect import ADVERTISE, IP, IPV6, SOLICIT
from policies.prove.index import TableIndex, bits_mask, place
from policies.prove.ranges import (
    Ranges,
    Undecided,
    common,
    joined,
    masked,
    meet,
    without,
)
from policies.rules import Bits, Goto, Load, Rule, RuleAction

TIERS = (Table.EMERGENCY, Table.ADAPTIVE, Table.POLICY)
SERVICE = bits_mask(Bits(layout.PROTO.field, 0, 32))
# Bits that differ between packets on entering the tiers and are no part of an end or a service.
VARYING = 0
for _bits in (
    layout.FROM_EDGE,
    layout.TO_LOCAL,
    layout.REPLY,
    layout.RELATED,
    layout.OWNER,
    layout.OWNER_PORT,
):
    VARYING |= bits_mask(_bits)
INTENT = bits_mask(layout.INTENT)
SIX_BIT = 1 << 24  # a service is one number: family (1 bit), protocol (8), port or type (16)
EVERY_SERVICE: Ranges = ((0, 2 * SIX_BIT - 1),)
Label = tuple[int, int]  # intent number, cookie
ORDER = {Tier.EMERGENCY: 0, Tier.SECURITY: 2, Tier.APPLICATION: 3, Tier.BASELINE: 4}
DEFAULT: Label = (0, cookie(Category.DEFAULT))
BUDGET = 200_000


def reachable_services() -> Ranges:
    """What a packet can ask for: only some protocols have ports."""
    found = []
    for six in (0, SIX_BIT):
        for proto in range(256):
            typed = proto == (ICMPV6 if six else ICMP)
            size = 65536 if proto in PORT_PROTOCOLS else 256 if typed else 1
            low = six | proto << 16
            if typed and six:  # neighbour discovery is no connection
                found += [(low, low + SOLICIT - 1), (low + ADVERTISE + 1, low + size - 1)]
            else:
                found.append((low, low + size - 1))
    return joined(found)


REACHABLE = reachable_services()


@dataclass(frozen=True, slots=True)
class Leaf:
    """How a packet leaves the tiers: the next table, and register bits written but the intent's."""

    table: int | None
    mask: int
    value: int
    odd: tuple[RuleAction, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """``rank`` orders boxes of one side: the smaller one decides."""

    sources: int
    targets: int
    services: Ranges
    rank: tuple[int, ...]
    label: Label
    leaf: Leaf | None = None
    rule: Rule | None = None
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Packets where rules and intents disagree: classes and services, and who decides."""

    sources: int
    targets: int
    services: Ranges
    rule: Box
    intent: Box


@dataclass(frozen=True, slots=True)
class _Condition:
    """What a rule of the tiers matches: register masks and values per end, and services, None for
    nothing. The rule is kept so that no other gets its id."""

    rule: Rule
    sources: tuple[int, int]
    targets: tuple[int, int]
    services: Ranges | None


class Judging:
    """The boxes of rules and intents over the classes of both ends."""

    def __init__(self, sources: Classes, targets: Classes, like: Judging | None = None) -> None:
        """``like`` is an earlier one over the same classes: what it knows of rules is kept."""
        self.sources, self.targets = sources, targets
        self._conditions: dict[int, _Condition] = {} if like is None else like._conditions
        self._asked_by: dict[int, tuple[Intent, Ranges]] = {} if like is None else like._asked_by
        self._every = (sources.every, targets.every)
        self._named: dict[tuple[int, str], int] = {}
        self._cut: dict[tuple[int, tuple[int, int]], int] = {}
        self._left: dict[tuple[int, int, int], tuple[object, Leaf]] = {}
        self._labels: dict[tuple[int, int], tuple[Leaf, Label, Leaf]] = {}
        if like is not None:
            self._left, self._labels = like._left, like._labels
        self._services: dict[tuple[int, int, int], Ranges] = {}
        self.rules: list[Box] = []
        self.intents: list[Box] = []
        self.default = Action.DENY
        self._actions: dict[Label, bool] = {}

    # -- boxes --------------------------------------------------------------------------------

    def read_rules(self, tables: Mapping[int, TableIndex]) -> None:
        every = (*self._every, EVERY_SERVICE)
        self.rules = list(self._expand(tables, TIERS[0], every, (), 0, 0))
        lowest = (1 << 20,)
        self.rules.append(Box(*every, lowest, (-1, 0), Leaf(None, 0, 0)))

    def _expand(
        self,
        tables: Mapping[int, TableIndex],
        table: int,
        within: tuple[int, int, Ranges],
        rank: tuple[int, ...],
        mask: int,
        value: int,
    ) -> Iterator[Box]:
        index = tables.get(table)
        if len(rank) > 2 * len(TIERS):
            raise Undecided("the rules of the tiers lead round in circles")
        for rule in () if index is None else index.rules():
            box = self._box(rule)
            if box is None:
                continue
            sources = box[0] if within[0] is self._every[0] else box[0] & within[0]
            targets = box[1] if within[1] is self._every[1] else box[1] & within[1]
            if within[2] is EVERY_SERVICE:
                services = box[2]
            else:
                services = common(box[2], within[2])
            if not (sources and targets and services):
                continue
            below = (*rank, -rule.priority)
            leaf = self._leaf(rule, mask, value)
            if leaf.table in TIERS:
                if leaf.odd or leaf.mask & ~INTENT & (SOURCE.own | TARGET.own | SERVICE):
                    raise Undecided("a rule of the tiers changes what later tiers look at")
                part = (sources, targets, services)
                yield from self._expand(tables, leaf.table or 0, part, below, leaf.mask, leaf.value)
            else:
                label, leaf = self._label(leaf, rule)
                yield Box(sources, targets, services, below, label, leaf, rule)

    def _leaf(self, rule: Rule, mask: int, value: int) -> Leaf:
        key = (id(rule.actions), mask, value)
        known = self._left.get(key)
        if known is None:
            known = self._left[key] = (rule.actions, _leaf(rule, mask, value))
        return known[1]

    def _label(self, leaf: Leaf, rule: Rule) -> tuple[Label, Leaf]:
        """The intent that a rule names, and the way out without it."""
        key = (id(leaf), rule.cookie)
        known = self._labels.get(key)
        if known is None:
            number = leaf.value >> (place("reg1") or 0) & 0xFFFF_FFFF
            plain = Leaf(leaf.table, leaf.mask & ~INTENT, leaf.value & ~INTENT, leaf.odd)
            known = self._labels[key] = (leaf, (number, rule.cookie), plain)
        return known[1], known[2]

    def _box(self, rule: Rule) -> tuple[int, int, Ranges] | None:
        condition = self._conditions.get(id(rule))
        if condition is None:
            condition = self._conditions[id(rule)] = self._condition(rule)
        if condition.services is None:
            return None
        sources = self._bits(0, self.sources, condition.sources)
        targets = self._bits(1, self.targets, condition.targets)
        return sources, targets, condition.services

    def _bits(self, end: int, classes: Classes, condition: tuple[int, int]) -> int:
        """The classes that a condition on one end holds for, the same object every time."""
        if not condition[0]:
            return self._every[end]
        known = self._cut.get((end, condition))
        if known is None:
            known = classes.where(*condition) & self._every[end]
            self._cut[end, condition] = known
        return known

    def _condition(self, rule: Rule) -> _Condition:
        registers = mask = 0
        families = 3
        for wanted in rule.match:
            at = place(wanted.name)
            if at is not None:
                mask |= (0xFFFF_FFFF if wanted.mask is None else wanted.mask) << at
                registers |= wanted.value << at
            elif wanted.name == "eth_type" and wanted.mask is None:
                families = {IP: 1, IPV6: 2}.get(wanted.value, 0)
            else:
                raise Undecided(f"a rule of the tiers looks at {wanted.name}")
        rest = mask & ~(SOURCE.own | TARGET.own | SERVICE)
        if rest & VARYING:
            raise Undecided("a rule of the tiers looks at the packet's direction or target port")
        sources = (mask & SOURCE.own, registers & SOURCE.own)
        targets = (mask & TARGET.own, registers & TARGET.own)
        if registers & rest:  # wants a bit that nothing sets before the tiers
            return _Condition(rule, sources, targets, None)
        shift = place(layout.PROTO.field) or 0
        key = (registers >> shift & 0xFFFF_FFFF, mask >> shift & 0xFFFF_FFFF, families)
        services = self._services.get(key)
        if services is None:
            services = _asked(*key)
            services = EVERY_SERVICE if services == EVERY_SERVICE else services
            self._services[key] = services
        return _Condition(rule, sources, targets, services)

    def read_intents(self, policy: Policy, now: float) -> None:
        live = [
            intent
            for intent in policy.intents
            if intent.expires is None or intent.expires.timestamp() > now
        ]
        self.intents = [box for intent in live for box in self.boxes_of(intent)]
        every = (*self._every, EVERY_SERVICE)
        self.intents.append(Box(*every, (9,), DEFAULT))
        self.default = policy.defaults.action
        self._actions = {
            box.label: (self.default if box.intent is None else box.intent.action) is Action.ALLOW
            for box in self.intents
        }

    def boxes_of(self, intent: Intent) -> Iterator[Box]:
        number = name_number(intent.name)
        label = (number, cookie(Category.INTENT, number))
        rank = _order(intent)
        known = self._asked_by.get(id(intent))
        if known is None:
            ranges = (each for service in intent.services for each in service_ranges(service))
            known = self._asked_by[id(intent)] = (intent, joined(ranges))
        services = known[1]
        for source in intent.sources:
            starts = self._members(0, source)
            for target in intent.targets if starts else ():
                ends = self._members(1, target)
                if ends:
                    yield Box(starts, ends, services, rank, label, intent=intent)

    def _members(self, end: int, name: str) -> int:
        if name == ANY:
            return self._every[end]
        known = self._named.get((end, name))
        if known is None:
            classes = self.targets if end else self.sources
            known = classes.named("" if name == UNKNOWN else name) & self._every[end]
            self._named[end, name] = known
        return known

    # -- the two conditions -------------------------------------------------------------------

    def suspects(self) -> list[tuple[int, int, Ranges]]:
        """Boxes outside of which rules and intents agree; none when both conditions hold."""
        found = list(_uncovered(self.rules, self.intents))
        found += _misordered(self.rules, self.intents)
        return found

    def agree_within(self, regions: Sequence[tuple[int, int, Ranges]]) -> bool:
        """Whether both conditions hold for what lies in the regions."""
        every = (*self.rules, *self.intents)
        for region in regions:
            # Few different sets stand in many boxes.
            starts = _meeting((box.sources for box in every), region[0])
            ends = _meeting((box.targets for box in every), region[1])
            here = [box for box in every if id(box.sources) in starts and id(box.targets) in ends]
            known: dict[int, Ranges] = {}
            parts = [part for box in here if (part := _part(box, region, known)) is not None]
            rules = [part for part in parts if part.leaf is not None]
            intents = [part for part in parts if part.leaf is None]
            if any(_uncovered(rules, intents)) or _misordered(rules, intents):
                return False
        return True

    # -- exact search -------------------------------------------------------------------------

    def differ(self, box: tuple[int, int, Ranges]) -> Place | None:
        """Packets of a box where another intent decides than the rule says; None: none exist."""
        ours = _sorted(each for each in self.rules if _touch(each, box))
        theirs = _sorted(each for each in self.intents if _touch(each, box))
        left = [box]
        steps = 0
        for rule in ours:
            rest: list[tuple[int, int, Ranges]] = []
            for part in left:
                steps += 1
                if steps > BUDGET:
                    raise Undecided("too many boxes to compare one by one")
                inside = _inside(part, rule)
                if inside is None:
                    rest.append(part)
                    continue
                found = self._against(inside, rule, theirs)
                if found is not None:
                    return found
                rest += _outside(part, rule)
            left = rest
            if not left:
                break
        return None

    def _against(
        self, box: tuple[int, int, Ranges], rule: Box, intents: Sequence[Box]
    ) -> Place | None:
        left = [box]
        for intent in intents:
            rest: list[tuple[int, int, Ranges]] = []
            for part in left:
                inside = _inside(part, intent)
                if inside is None:
                    rest.append(part)
                elif intent.label != rule.label:
                    return Place(*inside, rule, intent)
                else:
                    rest += _outside(part, intent)
            left = rest
            if not left:
                break
        return None

    def decided(
        self, leaf: Leaf, allow: bool, sources: int, targets: int, services: Ranges
    ) -> tuple[int, int, Ranges, Box] | None:
        """A box inside the given one where a rule with this leaf decides; None: none exists."""
        ranked = _sorted(self.rules)
        for position, rule in enumerate(ranked):
            if rule.leaf != leaf or self.allows(rule.label) is not allow:
                continue
            start = _inside((sources, targets, services), rule)
            if start is None:
                continue
            above = [other for other in ranked[:position] if _touch(other, start)]
            stack = [(start, 0)]
            steps = 0
            while stack:
                part, at = stack.pop()
                steps += 1
                if steps > BUDGET:
                    raise Undecided("too many boxes to look through")
                while at < len(above) and _inside(part, above[at]) is None:
                    at += 1
                if at == len(above):
                    return (*part, rule)
                stack += [(piece, at + 1) for piece in _outside(part, above[at])]
        return None

    def allows(self, label: Label) -> bool | None:
        """What the policy says where this label decides; None for one that no intent has."""
        return self._actions.get(label)

    def leaves(self) -> set[tuple[Leaf, bool]]:
        """Every way out of the tiers, with what the policy says there."""
        found = set()
        for box in self.rules:
            allow = self.allows(box.label)
            if allow is not None and box.leaf is not None:
                found.add((box.leaf, allow))
        return found


def _meeting(sets: Iterable[int], bits: int) -> set[int]:
    """The ids of the sets that share something with one."""
    distinct = {id(each): each for each in sets}
    return {key for key, each in distinct.items() if each & bits}


def _part(box: Box, region: tuple[int, int, Ranges], known: dict[int, Ranges]) -> Box | None:
    """The part of a box in a region; ``known`` keeps what services they share, by identity."""
    services = known.get(id(box.services))
    if services is None:
        services = known[id(box.services)] = common(box.services, region[2])
    if not services:
        return None
    sources, targets = box.sources & region[0], box.targets & region[1]
    return Box(sources, targets, services, box.rank, box.label, box.leaf, box.rule, box.intent)


def _uncovered(rules: Iterable[Box], intents: Iterable[Box]) -> Iterator[tuple[int, int, Ranges]]:
    """Where the first condition fails."""
    ours, theirs = _by_label(rules), _by_label(intents)
    for label in {**ours, **theirs}:
        if label == (-1, 0):
            continue
        mine, other = ours.get(label, {}), theirs.get(label, {})
        if mine != other:
            for ends in {**mine, **other}:
                if mine.get(ends) != other.get(ends):
                    for part in (mine, other):
                        if ends in part:
                            yield (*ends, part[ends])


def _misordered(rules: Iterable[Box], intents: Iterable[Box]) -> list[tuple[int, int, Ranges]]:
    """Where the second condition fails."""
    order = {box.label: position for position, box in enumerate(_sorted(intents))}
    boxes = _sorted(box for box in rules if box.label in order)
    overlap = _Overlaps(boxes)
    before = _prefixes([order[box.label] for box in boxes])
    same: dict[Label, int] = {}
    for position, box in enumerate(boxes):
        same[box.label] = same.get(box.label, 0) | 1 << position
    found = []
    start = 0
    equal = _equal(boxes, start) if boxes else 0
    for position, box in enumerate(boxes):
        if boxes[start].rank != box.rank:
            start = position
            equal = _equal(boxes, start)
        higher = (1 << start) - 1
        first = before[order[box.label]]
        wrong = (higher ^ first) & ~equal | equal
        wrong &= overlap.of(box) & ~same[box.label]
        while wrong:
            low = wrong & -wrong
            wrong ^= low
            other = boxes[low.bit_length() - 1]
            if other.rank == box.rank and other.leaf == box.leaf and other.label == box.label:
                continue
            found.append(
                (
                    box.sources & other.sources,
                    box.targets & other.targets,
                    common(box.services, other.services),
                )
            )
            if len(found) > 1000:
                return found
    return found


def _order(intent: Intent) -> tuple[int, ...]:
    """Who decides first: the tier, deny before allow, then the name (as bytes, in one number)."""
    name = intent.name.encode("utf-32-be")
    return (ORDER[intent.tier], int(intent.action is Action.ALLOW), *name)


def _leaf(rule: Rule, mask: int, value: int) -> Leaf:
    table, odd = None, []
    for action in rule.actions:
        if isinstance(action, Goto):
            table = int(action.table)
        elif isinstance(action, Load) and (at := place(action.target.field)) is not None:
            bits = bits_mask(action.target)
            mask |= bits
            value = value & ~bits | action.value << at + action.target.low & bits
        else:
            odd.append(action)
    return Leaf(table, mask, value, tuple(odd))


def _asked(value: int, mask: int, families: int) -> Ranges:
    """The services under a match on the service register and the family."""
    if value & mask & 0xFF_0000:
        return ()
    six = {0: (), 1: (0,), 2: (SIX_BIT,), 3: (0, SIX_BIT)}[families]
    if not mask & 0xFF00_FFFF:
        return joined((each, each + SIX_BIT - 1) for each in six)
    linear = (value >> 24 & 0xFF) << 16 | value & 0xFFFF
    bits = (mask >> 24 & 0xFF) << 16 | mask & 0xFFFF
    ranges = masked(linear, bits, 24)
    return joined((each | low, each | high) for each in six for low, high in ranges)


def service_ranges(service: Service) -> Iterator[tuple[int, int]]:
    """A service of the policy as numbers."""
    proto, low, high = service.proto, service.low, service.high
    if proto is None:
        yield from EVERY_SERVICE
        return
    for six in {ICMP: (0,), ICMPV6: (SIX_BIT,)}.get(proto, (0, SIX_BIT)):
        base = six | proto << 16
        yield base | (low or 0), base | (0xFFFF if high is None else high)


def _sorted(boxes: Iterable[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: box.rank)


def _by_label(boxes: Iterable[Box]) -> dict[Label, dict[tuple[int, int], Ranges]]:
    found: dict[Label, dict[tuple[int, int], list[Ranges]]] = {}
    for box in boxes:
        ends = (box.sources, box.targets)
        found.setdefault(box.label, {}).setdefault(ends, []).append(box.services)
    return {
        label: {
            ends: parts[0] if len(parts) == 1 else joined(each for part in parts for each in part)
            for ends, parts in each.items()
        }
        for label, each in found.items()
    }


def _prefixes(orders: Sequence[int]) -> dict[int, int]:
    """For each order, the positions whose order is smaller."""
    by_order: dict[int, int] = {}
    for position, order in enumerate(orders):
        by_order[order] = by_order.get(order, 0) | 1 << position
    found, bits = {}, 0
    for order in sorted(by_order):
        found[order] = bits
        bits |= by_order[order]
    return found


def _equal(boxes: Sequence[Box], start: int) -> int:
    end = start
    while end < len(boxes) and boxes[end].rank == boxes[start].rank:
        end += 1
    return (1 << end) - (1 << start)


class _Overlaps:
    """Which boxes share a packet, as bitsets over their positions."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._sources = _side([box.sources for box in boxes])
        self._targets = _side([box.targets for box in boxes])
        self._services = _crossing([box.services for box in boxes])

    def of(self, box: Box) -> int:
        ends = self._sources[box.sources] & self._targets[box.targets]
        return ends & self._services[box.services]


def _side(values: Sequence[int]) -> dict[int, int]:
    """Per set of classes the positions of those that share one."""
    where: dict[int, list[int]] = {}
    for position, value in enumerate(values):
        where.setdefault(value, []).append(position)
    bits = {value: bitset(each, len(values)) for value, each in where.items()}
    distinct = list(bits)
    found = dict.fromkeys(distinct, 0)
    for index, one in enumerate(distinct):
        mine, ours = 0, bits[one]
        for other in distinct[index:]:
            if one & other:
                mine |= bits[other]
                found[other] |= ours
        found[one] |= mine
    return found


def _crossing(values: Sequence[Ranges]) -> dict[Ranges, int]:
    """Per set of services the positions of those that share one, by a sweep over the numbers."""
    where: dict[Ranges, list[int]] = {}
    for position, value in enumerate(values):
        where.setdefault(value, []).append(position)
    bits = {value: bitset(each, len(values)) for value, each in where.items()}
    found = dict.fromkeys(bits, 0)
    events: list[tuple[int, int, Ranges]] = []
    for value in bits:
        for low, high in value:
            events += [(low, 0, value), (high + 1, -1, value)]
    open_now: dict[Ranges, int] = {}
    active = 0
    counts: dict[Ranges, int] = {}
    for _, end, value in sorted(events, key=lambda event: event[:2]):
        if end:
            counts[value] -= 1
            if not counts[value]:
                del open_now[value]
                active &= ~bits[value]
        else:
            counts[value] = counts.get(value, 0) + 1
            active |= bits[value]
            open_now[value] = 1
            found[value] |= active
            for other in open_now:
                found[other] |= bits[value]
    return found


def _touch(box: Box, part: tuple[int, int, Ranges]) -> bool:
    return bool(box.sources & part[0] and box.targets & part[1] and meet(box.services, part[2]))


def _inside(part: tuple[int, int, Ranges], box: Box) -> tuple[int, int, Ranges] | None:
    sources = part[0] & box.sources
    if not sources:
        return None
    targets = part[1] & box.targets
    if not targets:
        return None
    services = common(part[2], box.services)
    return (sources, targets, services) if services else None


def _outside(part: tuple[int, int, Ranges], box: Box) -> Iterator[tuple[int, int, Ranges]]:
    sources, targets, services = part
    if rest := sources & ~box.sources:
        yield rest, targets, services
    sources &= box.sources
    if rest := targets & ~box.targets:
        yield sources, rest, services
    targets &= box.targets
    if left := without(services, box.services):
        yield sources, targets, left
