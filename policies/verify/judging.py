"""Whether the rules of the tiers decide every connection as the intents do.

A rule of the tiers, and an intent just as well, is a *box*: a set of source
classes, a set of target classes and a set of services. Two conditions are
enough for rules and intents to name the same decider everywhere:

1. for every intent, the boxes of its rules together are the intent's boxes;
2. of any two rules of different intents that share a packet, the one whose
   intent decides first stands first.

(Were the first rule that a packet meets of another intent than the one that
decides, then by 1 a rule of the deciding intent covers that packet too, and by
2 it stands first.) What breaks a condition is only suspected: `policies.verify.deciders`
then looks for a packet inside that box, exactly, and finds one or shows that there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.model import (
    Action,
    Intent,
    Policy,
)
from policies.rules import layout
from policies.rules.layout import Category, cookie, name_number
from policies.rules.rule import Rule
from policies.verify.addresses import SOURCE, TARGET
from policies.verify.boxes import (
    DEFAULT,
    EVERY_SERVICE,
    INTENT,
    SERVICE,
    TIERS,
    VARYING,
    Box,
    Label,
    Leaf,
    Region,
    asked_ranges,
    leaf_of,
    order_of,
    service_ranges,
)
from policies.verify.classes import Classes
from policies.verify.conditions import meeting, misordered, part_of, uncovered
from policies.verify.deciders import Disagreement, decided_by, disagreement
from policies.verify.index import TableIndex, place
from policies.verify.packets import IP, IPV6
from policies.verify.ranges import Ranges, Undecided, common, joined


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
        within: Region,
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
            known = self._left[key] = (rule.actions, leaf_of(rule, mask, value))
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

    def _box(self, rule: Rule) -> Region | None:
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
            services = asked_ranges(*key)
            services = EVERY_SERVICE if services == EVERY_SERVICE else services
            self._services[key] = services
        return _Condition(rule, sources, targets, services)

    def read_intents(self, policy: Policy, now: float) -> None:
        live = [intent for intent in policy.intents if intent.holds(now)]
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
        rank = order_of(intent)
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
        known = self._named.get((end, name))
        if known is None:
            classes = self.targets if end else self.sources
            known = classes.named(name) & self._every[end]
            self._named[end, name] = known
        return known

    # -- the two conditions -------------------------------------------------------------------

    def suspects(self) -> list[Region]:
        """Boxes outside of which rules and intents agree; none when both conditions hold."""
        found = list(uncovered(self.rules, self.intents))
        found += misordered(self.rules, self.intents)
        return found

    def agree_within(self, regions: Sequence[Region]) -> bool:
        """Whether both conditions hold for what lies in the regions."""
        every = (*self.rules, *self.intents)
        for region in regions:
            # Few different sets stand in many boxes.
            starts = meeting((box.sources for box in every), region[0])
            ends = meeting((box.targets for box in every), region[1])
            here = [box for box in every if id(box.sources) in starts and id(box.targets) in ends]
            known: dict[int, Ranges] = {}
            parts = [part for box in here if (part := part_of(box, region, known)) is not None]
            rules = [part for part in parts if part.leaf is not None]
            intents = [part for part in parts if part.leaf is None]
            if any(uncovered(rules, intents)) or misordered(rules, intents):
                return False
        return True

    # -- exact search -------------------------------------------------------------------------

    def differ(self, region: Region) -> Disagreement | None:
        """Where in a region another intent decides than the rule says; None: nowhere."""
        return disagreement(self.rules, self.intents, region)

    def decided(self, leaf: Leaf, allow: bool, region: Region) -> Region | None:
        """A part of a region where a rule with this leaf decides; None: none exists."""
        return decided_by(
            lambda rule: rule.leaf == leaf and self.allows(rule.label) is allow, self.rules, region
        )

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
