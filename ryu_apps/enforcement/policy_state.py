"""The policy in force, and the intents of earlier ones that are retained for live connections."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from policies.compiler import Compiler, declared_bindings, intent_numbers
from policies.model import Policy
from policies.rules.layout import name_number
from policies.semantics.membership import Membership
from policies.semantics.retained_intents import RetainedIntents, in_force, retained_after


@dataclass(frozen=True, slots=True)
class PolicyState:
    """``files`` and ``digest`` name the policy for the audit; ``version`` is its number among the
    stored ones, 0 for none. ``intent_names`` are by number, retained intents included."""

    policy: Policy
    files: tuple[str, ...]
    version: int
    digest: str
    intent_names: Mapping[int, str]
    retained: RetainedIntents = RetainedIntents()

    @classmethod
    def of(
        cls,
        policy: Policy,
        files: tuple[str, ...] = (),
        version: int = 0,
        retained: RetainedIntents | None = None,
    ) -> PolicyState:
        """Raises CompileError where two intents have the same number."""
        names = intent_numbers(policy)
        return cls(policy, files, version, digest_of(policy), names, retained or RetainedIntents())

    def retain(self, now: float) -> PolicyState:
        """The same, with the intents that are retained now."""
        before = self.retained
        gone = retained_after(before.in_force, self.policy, before.retained, now)
        retained = RetainedIntents(in_force(self.policy, now), gone)
        if not gone:
            return replace(self, retained=retained)
        names = {name_number(intent.name): intent.name for intent in gone} | {**self.intent_names}
        return replace(self, retained=retained, intent_names=names)

    def release(self, number: int) -> PolicyState:
        """The same without the retained intents of a number."""
        before = self.retained
        left = tuple(each for each in before.retained if name_number(each.name) != number)
        return replace(self, retained=RetainedIntents(before.in_force, left))


def check_fits(policy: Policy, now: float) -> None:
    """Compile for no switch. Raises CompileError when the tables cannot hold the policy."""
    bindings = declared_bindings(policy)
    Compiler(policy, Membership(policy, bindings), bindings, now)


def digest_of(policy: Policy) -> str:
    """SHA-256 of everything that a policy contains, in hexadecimal digits, for the audit."""
    return hashlib.sha256(repr(policy).encode()).hexdigest()
