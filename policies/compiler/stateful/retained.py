"""Rules of intents that are gone, for the connections that they let in.

They match what the intent matched and its number in the connection mark, stand
below every other rule of the tiers but the default, and end on the switch
itself when no such connection has sent anything for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from policies.compiler.common.identity_codes import Codes
from policies.compiler.stateful.intents import intent_matches, outcome
from policies.model import Intent, Policy
from policies.rules import layout
from policies.rules.conntrack import CT_NEW, CT_TRK
from policies.rules.layout import Category, RuleTable, cookie, name_number
from policies.rules.rule import Field, Rule
from policies.semantics.retained_intents import bare, resolved

PRIORITY = 1_000  # above the default, below every tier
_OPEN = Field("ct_state", CT_TRK, CT_TRK | CT_NEW)


def kept_rules(
    kept: Iterable[Intent],
    policy: Policy,
    codes: Codes,
    living: Collection[Intent],
) -> Iterator[Rule]:
    """The rules of retained intents; those of ``living`` ones, which are only about to end, have no
    timer yet."""
    segments = [segment.name for segment in policy.segments]
    kept = tuple(kept)
    names = {intent.name for intent in kept}
    alive = {bare(intent) for intent in living if intent.name in names}
    seen: set[tuple[Field, ...]] = set()
    for intent in kept:
        number = name_number(intent.name)
        actions, cause = outcome(intent, number), cookie(Category.RETAINED, number)
        mark = Field("ct_mark", number)
        idle = 0 if intent in alive else layout.RETAIN_IDLE
        for match in intent_matches(resolved(intent, segments), codes, _OPEN, mark):
            if match not in seen:
                seen.add(match)
                yield Rule(RuleTable.POLICY, PRIORITY, match, actions, cause, 0, idle)
