"""Machine decisions and feeds in force, and the rules that they make on every switch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from policies.compiler import FeedRules, RuleChange
from policies.compiler.stateful.adaptive import limit_meters, restriction_rules
from policies.compiler.stateful.feeds import FeedChange
from policies.feed_block import FeedBlock
from policies.model import Restriction
from policies.rules.layout import Category, category_of, number_of
from policies.rules.rule import Meter, Rule
from response.decision import Decision


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What a decision changes on every switch. ``parts`` holds for each decision concerned its id
    and number, the rules that are its own afterwards, and those that no longer are."""

    change: RuleChange
    parts: tuple[tuple[str, int, tuple[Rule, ...], tuple[Rule, ...]], ...]


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

    def decide(self, decision: Decision, held: bool, now: float) -> DecisionRules:
        """Hold a decision from now on, in place of an earlier one of its id, or (not ``held``)
        release it; every rule that this changes, those of other decisions included."""
        addresses = set(decision.addresses)
        known = self.decisions.get(decision.id)
        if known is not None:
            addresses.update(known.addresses)
        near = {
            each.id: each
            for each in self.decisions.values()
            if not addresses.isdisjoint(each.addresses)
        }
        # A released decision may have expired, but a switch may have it for a moment more.
        then = now if held else min(now, decision.expires - 1)
        before = [*near.values(), *(() if held or decision.id in near else (decision,))]
        if held:
            near[decision.id] = self.decisions[decision.id] = decision
        else:
            near.pop(decision.id, None)
            self.decisions.pop(decision.id, None)
        old = {rule.key: rule for rule in restriction_rules(map(restriction, before), then)}
        new = tuple(restriction_rules(map(restriction, near.values()), now))
        wanted = {rule.key for rule in new}
        added = tuple(rule for rule in new if old.get(rule.key) != rule)
        removed = tuple(rule for key, rule in old.items() if key not in wanted)
        placed, gone = by_decision(new), by_decision(old.values())
        ids = {each.number: each.id for each in (*before, *near.values())}
        parts = []
        for number, name in ids.items():
            mine, lost = placed.get(number, ()), gone.get(number, ())
            kept = {(rule.table, rule.cookie) for rule in mine}
            parts.append(
                (name, number, mine, tuple(r for r in lost if (r.table, r.cookie) not in kept))
            )
        return DecisionRules(RuleChange(added, removed), tuple(parts))

    def expired(self, now: float) -> list[Decision]:
        return [each for each in self.decisions.values() if each.expires <= now]

    def restrictions(self) -> list[Restriction]:
        return [restriction(each) for each in self.decisions.values()]

    def limit_meters(self, rate: int, now: float) -> tuple[Meter, ...]:
        """The meters of all hosts that are limited now, at ``rate`` packets a second."""
        return limit_meters(self.restrictions(), rate, now)


def restriction(decision: Decision) -> Restriction:
    """A decision as the compiler takes it."""
    addresses = tuple(ip_address(each) for each in decision.addresses)
    return Restriction(decision.number, decision.action, addresses, decision.expires)


def by_decision(rules: Iterable[Rule]) -> dict[int, tuple[Rule, ...]]:
    """The rules of machine decisions by the number that their cookie carries."""
    found: dict[int, list[Rule]] = {}
    for rule in rules:
        if category_of(rule.cookie) == Category.DECISION:
            found.setdefault(number_of(rule.cookie), []).append(rule)
    return {number: tuple(each) for number, each in found.items()}
