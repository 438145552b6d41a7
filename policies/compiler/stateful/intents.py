"""Intents and the default as rules, updated incrementally."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain, product

from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.identity_codes import Codes
from policies.compiler.common.intent_rules import priority_of, timeout_at
from policies.compiler.common.priorities import IntentRanks
from policies.compiler.common.rule_parts import flags
from policies.compiler.common.services import service_matches
from policies.compiler.stateful.identities import SOURCE, TARGET, IdentityChange, end_fields
from policies.compiler.stateful.layouts import SERVICES
from policies.model import (
    Action,
    Intent,
    Policy,
    Tier,
)
from policies.rules import layout
from policies.rules.layout import Category, DecidedBits, RuleTable, cookie, name_number
from policies.rules.rule import Field, Goto, Load, Rule, RuleAction


class Intents:
    """``codes`` and ``together`` as `policies.compiler.stateful.identities.Identities` has them."""

    def __init__(
        self,
        policy: Policy,
        codes: Codes,
        together: Mapping[str, Collection[str]],
        now: float,
    ) -> None:
        self._default = default_rule(policy.defaults.action)
        self._timeouts = _timeouts(policy, now)
        self._intents = {i.name: i for i in policy.intents if i.name in self._timeouts}
        self._ranks = IntentRanks(together)
        self._ranks.change((), self._intents.values())
        self._rules = {name: self._made(name, codes) for name in self._intents}

    @property
    def living(self) -> Collection[Intent]:
        """The intents that have not ended."""
        return self._intents.values()

    def rules(self) -> Iterator[Rule]:
        yield from chain.from_iterable(self._rules[name] for name in sorted(self._rules))
        yield self._default

    def change(
        self,
        policy: Policy,
        codes: Codes,
        identities: IdentityChange,
        now: float,
    ) -> RuleChange:
        """Follow a policy with the same defaults, time, and identities that changed.

        Raises CompileError when too many intents overlap.
        """
        timeouts, before = _timeouts(policy, now), self._intents
        living = {i.name: i for i in policy.intents if i.name in timeouts}
        anew = {
            name
            for name, intent in living.items()
            if (known := before.get(name)) is not intent and known != intent
        }
        if identities.met:
            anew |= _naming(living, identities.met)
        gone = [name for name in before if name not in living or name in anew]
        changed = self._ranks.change(gone, (living[name] for name in anew))
        changed |= {*gone, *anew}
        if identities.recoded:
            changed |= _naming(living, identities.recoded)
        old = self._timeouts
        changed |= {name for name, left in timeouts.items() if bool(left) != bool(old.get(name))}
        self._timeouts, self._intents = timeouts, living
        old_rules = [rule for name in changed for rule in self._rules.pop(name, ())]
        for name in changed:
            if name in living:
                self._rules[name] = self._made(name, codes)
        new_rules = (rule for name in changed for rule in self._rules.get(name, ()))
        return change_between(old_rules, new_rules)

    def _made(self, name: str, codes: Codes) -> tuple[Rule, ...]:
        intent, rank = self._intents[name], self._ranks.of[name]
        return tuple(intent_rules(intent, rank, codes, self._timeouts[name]))


def _naming(intents: Mapping[str, Intent], segments: Collection[str]) -> set[str]:
    """The intents that name any of some segments."""
    return {
        name
        for name, intent in intents.items()
        if not frozenset(segments).isdisjoint(intent.sources + intent.targets)
    }


def _timeouts(policy: Policy, now: float) -> dict[str, int]:
    """Seconds that the switch itself gives the rules of every living intent, 0 for ever."""
    found = ((intent.name, timeout_at(intent, now)) for intent in policy.intents)
    return {name: timeout for name, timeout in found if timeout is not None}


def default_rule(action: Action) -> Rule:
    return Rule(
        RuleTable.POLICY, 0, (), _outcome(action, 0, RuleTable.AUDIT), cookie(Category.DEFAULT)
    )


def intent_rules(intent: Intent, rank: int, codes: Codes, timeout: int = 0) -> Iterator[Rule]:
    """An intent's rules, ``rank`` below the top of its tier and action.

    ``timeout`` in seconds ends them on the switch itself; 0 for none.
    """
    number = name_number(intent.name)
    table = RuleTable.EMERGENCY if intent.tier is Tier.EMERGENCY else RuleTable.POLICY
    priority = priority_of(intent, rank)
    actions, cause = outcome(intent, number), cookie(Category.INTENT, number)
    for fields in intent_matches(intent, codes):
        yield Rule(table, priority, fields, actions, cause, timeout)


def intent_matches(intent: Intent, codes: Codes, *also: Field) -> Iterator[tuple[Field, ...]]:
    """What an intent's rules match, each once, and ``also`` in every one of them."""
    seen: set[tuple[Field, ...]] = set()
    services = list(service_matches(intent.services, SERVICES))
    sources, targets = (
        end_fields(end, names, codes)
        for end, names in ((SOURCE, intent.sources), (TARGET, intent.targets))
    )
    for ends in product(sources, targets):
        present = [end for end in ends if end is not None]
        for service in services:
            fields = flags(*also, *present, *service)
            if fields not in seen:
                seen.add(fields)
                yield fields


def outcome(intent: Intent, number: int) -> tuple[RuleAction, ...]:
    """The actions of an intent's rules. Feeds do not apply to what tier ``emergency`` allows."""
    following = RuleTable.OBSERVE if intent.tier is Tier.EMERGENCY else RuleTable.AUDIT
    return _outcome(intent.action, number, following)


def _outcome(action: Action, number: int, following: RuleTable) -> tuple[RuleAction, ...]:
    if action is Action.ALLOW:
        return (
            Load(layout.INTENT, number),
            Load(layout.OUTCOME, DecidedBits.ALLOW),
            Goto(following),
        )
    return (Load(layout.INTENT, number), Goto(RuleTable.MODE))
