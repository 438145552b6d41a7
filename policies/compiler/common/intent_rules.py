"""Properties of an intent's rules on every target: priority, cookie number, timeout.

Deny stands above allow in each tier, tiers stand above one another, and where
two intents of one tier and action can meet in one packet the earlier name
stands above the later, so that every packet counts for the intent that the
verdict names.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.compiler.common.priorities import BAND
from policies.compiler.common.refusals import CompileError
from policies.model import Action, Intent, Policy, Tier
from policies.rules.layout import name_number
from policies.semantics.precedence import AFTER_ADAPTIVE

LOWEST = 12_000  # priority; what is fixed in a table of intents stands below
# The emergency tier has a table of its own; the others share one, two bands of ranks for each.
TIER_BASE = {Tier.EMERGENCY: LOWEST + 2 * BAND * (len(AFTER_ADAPTIVE) - 1)} | {
    tier: LOWEST + 2 * BAND * place for place, tier in enumerate(reversed(AFTER_ADAPTIVE))
}
MAX_TIMEOUT = 65_535


def intent_numbers(policy: Policy) -> Mapping[int, str]:
    """Cookie number of every intent. Raises CompileError when two names collide."""
    numbers: dict[int, str] = {}
    for intent in policy.intents:
        number = name_number(intent.name)
        if number in numbers:
            raise CompileError(
                f"intents {numbers[number]} and {intent.name} hash to the same number; "
                f"rename one of them ({intent.source})"
            )
        numbers[number] = intent.name
    return numbers


def priority_of(intent: Intent, rank: int) -> int:
    """The priority of an intent's rules, ``rank`` below the top of its tier and action."""
    top = TIER_BASE[intent.tier] + (BAND if intent.action is Action.DENY else 0)
    return top + BAND - 1 - rank


def timeout_at(intent: Intent, now: float) -> int | None:
    """Hard timeout of an intent's rules in seconds: 0 without an end within the switch's timer;
    None for an expired intent."""
    if intent.expires is None:
        return 0
    remaining = intent.expires.timestamp() - now
    if remaining <= 0:
        return None
    return max(1, round(remaining)) if remaining <= MAX_TIMEOUT else 0
