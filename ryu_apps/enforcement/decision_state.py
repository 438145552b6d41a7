"""Machine decisions and feeds in force, and the rules that they make on every switch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from policies.compiler import FeedRules, RuleChange
from policies.compiler.stateful.adaptive import limit_meters, restriction_rules
from policies.compiler.stateful.feeds import FeedChange
from policies.feed_block import FeedBlock
from policies.model import Restriction
from policies.rules.layout import Category, category_of, number_of
from policies.rules.rule import Meter, Rule
from response.decision import Decision, Port, restriction

Part = tuple[str, int, tuple[Rule, ...], tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What a decision changes on one switch. ``parts`` holds for each decision concerned its id
    and number, the rules that are its own afterwards, and those that no longer are."""

    change: RuleChange
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """A decision that begins, changes or ends, with those that share an address or a port with it:
    the ones that held ``before``, at ``then``, and the ones that hold ``after``, at ``now``."""

    before: tuple[Decision, ...]
    then: float
    after: tuple[Decision, ...]
    now: float

    def on(self, switch: int) -> DecisionRules:
        """Every rule of one switch that this changes, those of other decisions included."""
        held, holding = list(map(restriction, self.before)), list(map(restriction, self.after))
        old = {rule.key: rule for rule in restriction_rules(held, self.then, switch)}
        new = tuple(restriction_rules(holding, self.now, switch))
        wanted = {rule.key for rule in new}
        added = tuple(rule for rule in new if old.get(rule.key) != rule)
        removed = tuple(rule for key, rule in old.items() if key not in wanted)
        placed, gone = by_decision(new), by_decision(old.values())
        parts: list[Part] = []
        for number, name in self.names.items():
            mine, lost = placed.get(number, ()), gone.get(number, ())
            kept = {(rule.table, rule.cookie) for rule in mine}
            parts.append(
                (name, number, mine, tuple(r for r in lost if (r.table, r.cookie) not in kept))
            )
        return DecisionRules(RuleChange(added, removed), tuple(parts))

    @property
    def names(self) -> dict[int, str]:
        """The ids of the decisions concerned, by number."""
        return {each.number: each.id for each in (*self.before, *self.after)}


@dataclass(slots=True)
class DecisionState:
    """``decisions`` by their id and ``feeds`` by their name."""

    decisions: dict[str, Decision] = field(default_factory=dict)
    feeds: dict[str, FeedBlock] = field(default_factory=dict)
    _feed_rules: FeedRules = field(default_factory=FeedRules)

    def restore(self, decisions: Iterable[Decision], feeds: Iterable[FeedBlock]) -> None:
        """Restore the state of an earlier run."""
        for block in feeds:
            self.list_feed(block)
        self.decisions = {each.id: each for each in decisions}

    def list_feed(self, block: FeedBlock) -> FeedChange:
        """Replace what a feed lists; the difference in the rules of every switch.

        A feed that lists nothing is forgotten. Raises ValueError for a block that cannot be used.
        """
        if block:
            self.feeds[block.feed] = block
        else:
            self.feeds.pop(block.feed, None)
        return self._feed_rules.change(self.feeds.values())

    def feed_rules(self) -> Iterator[Rule]:
        """The rules of all feeds."""
        return self._feed_rules.rules()

    @property
    def listed_rules(self) -> int:
        """About how many rules feeds make."""
        return sum(2 * len(block.prefixes) for block in self.feeds.values())

    def decide(self, decision: Decision, held: bool, now: float) -> DecisionChange:
        """Hold a decision from now on, in place of an earlier one of its id, or (not ``held``)
        release it."""
        known = self.decisions.get(decision.id)
        subjects = {*_subjects(decision), *(() if known is None else _subjects(known))}
        near = {
            each.id: each
            for each in self.decisions.values()
            if not subjects.isdisjoint(_subjects(each))
        }
        # A released decision may have expired, but a switch may have it for a moment more.
        then = now if held else min(now, decision.expires - 1)
        before = [*near.values(), *(() if held or decision.id in near else (decision,))]
        if held:
            near[decision.id] = self.decisions[decision.id] = decision
        else:
            near.pop(decision.id, None)
            self.decisions.pop(decision.id, None)
        return DecisionChange(tuple(before), then, tuple(near.values()), now)

    def expired(self, now: float) -> list[Decision]:
        return [each for each in self.decisions.values() if each.expires <= now]

    def restrictions(self) -> list[Restriction]:
        return [restriction(each) for each in self.decisions.values()]

    def limit_meters(self, rate: int, now: float) -> tuple[Meter, ...]:
        """The meters of all hosts that are limited now, at ``rate`` packets a second."""
        return limit_meters(self.restrictions(), rate, now)


def _subjects(decision: Decision) -> Iterable[str | Port]:
    """What the decision's rules match."""
    return (*decision.addresses, *decision.taken)


def by_decision(rules: Iterable[Rule]) -> dict[int, tuple[Rule, ...]]:
    """The rules of machine decisions by the number that their cookie carries."""
    found: dict[int, list[Rule]] = {}
    for rule in rules:
        if category_of(rule.cookie) == Category.DECISION:
            found.setdefault(number_of(rule.cookie), []).append(rule)
    return {number: tuple(each) for number, each in found.items()}
