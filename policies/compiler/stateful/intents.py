"""The rules of all intents, kept up as intents come, change, expire and go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain

from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.identities import IdentityChange
from policies.compiler.common.identity_codes import Codes
from policies.compiler.common.priorities import Levels
from policies.compiler.stateful.tiers import default_rule, intent_rules, timeout_at
from policies.model import Intent, Policy
from policies.rules.rule import Rule


class Intents:
    """``codes`` and ``together`` as `policies.compiler.common.identities.Identities` has them."""

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
        self._levels = Levels(together)
        self._levels.change((), self._intents.values())
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
        changed = self._levels.change(gone, (living[name] for name in anew))
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
        intent, level = self._intents[name], self._levels.of[name]
        return tuple(intent_rules(intent, level, codes, self._timeouts[name]))


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
