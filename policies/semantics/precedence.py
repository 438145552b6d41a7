"""Which of the intents that match a packet decides it.

The tier that is evaluated first decides; within it deny beats allow; of what is left, the first by
name is the one that the verdict names.
"""

from __future__ import annotations

from policies.model import Action, Tier

AFTER_ADAPTIVE = tuple(tier for tier in Tier if Tier.ADAPTIVE.rank < tier.rank < Tier.DEFAULT.rank)
"""The tiers of intents that machine decisions and feeds overrule, in order of evaluation."""


def rank_of(tier: Tier, action: Action) -> tuple[int, int]:
    """What intents are ordered by before their names: the lower one decides."""
    return tier.rank, int(action is Action.ALLOW)
