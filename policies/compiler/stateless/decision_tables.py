"""The tables that decide, without connection tracking: each intent twice, for packets to the
responder and for those back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from policies.compiler.common.identity_codes import Codes
from policies.compiler.common.intent_rules import priority_of, timeout_at
from policies.compiler.common.priorities import IntentRanks
from policies.compiler.common.services import service_matches
from policies.compiler.stateless.layouts import stateless_rule
from policies.compiler.stateless.metadata import PLAIN, MetadataLayout, has_bits, matches, set_bits
from policies.compiler.stateless.service_fields import HeaderServices, never_replies
from policies.model import Action, Intent, Mode, Policy, Tier
from policies.rules import layout
from policies.rules.layout import Category, StatelessTable, cookie, name_number
from policies.rules.rule import Field, Goto, Rule, RuleAction, match

TOP = 65_000


def decision_rules(
    policy: Policy,
    together: Mapping[str, Collection[str]],
    codes: Codes,
    now: float,
    masks: bool,
    ends: MetadataLayout = PLAIN,
) -> Iterator[Rule]:
    """The rules of all intents, of the default and of modes, in the tables from EMERGENCY to MODE.

    ``together`` names, for each segment, the segments that share an address with it, ``codes``
    are those of the segments in the metadata of ``ends``. Raises CompileError when too many
    intents overlap.
    """
    living = [i for i in policy.intents if timeout_at(i, now) is not None]
    ranks = IntentRanks(together)
    ranks.change((), living)
    yield from _between(policy.defaults.action, masks)
    for intent in living:
        yield from _intent(intent, ranks.of[intent.name], codes, ends, now, masks)


def _between(default: Action, masks: bool) -> Iterator[Rule]:
    """How the tables of intents follow one another."""
    yield stateless_rule(StatelessTable.EMERGENCY, 0, (), Goto(StatelessTable.EMERGENCY_REPLY))
    yield stateless_rule(StatelessTable.EMERGENCY_REPLY, 0, (), Goto(StatelessTable.ADAPTIVE))
    yield stateless_rule(StatelessTable.ADAPTIVE, 0, (), Goto(StatelessTable.POLICY))
    for table, denied in (
        (StatelessTable.POLICY, layout.STATELESS_DENIED),
        (StatelessTable.REPLY, layout.PLAIN_REPLY_DENIED),
    ):
        following = Goto(_after_deny(table))
        yield stateless_rule(table, TOP, (has_bits(denied),), following)
        last = Goto(StatelessTable.FORWARD) if default is Action.ALLOW else following
        yield Rule(table, 0, (), (last,), cookie(Category.DEFAULT))
    for table in (StatelessTable.EMERGENCY_REPLY, StatelessTable.REPLY):
        for fields in never_replies(masks):
            yield stateless_rule(table, TOP + 1, fields, Goto(_after_deny(table)))
    for mode in (layout.PLAIN_SOURCE_MODE, layout.PLAIN_TARGET_MODE):
        priority = 101 if mode is layout.PLAIN_SOURCE_MODE else 100
        yield stateless_rule(StatelessTable.MODE, priority, (has_bits(mode, Mode.ENFORCE),))
    yield stateless_rule(StatelessTable.MODE, 0, (), Goto(StatelessTable.FORWARD))


def _after_deny(table: StatelessTable) -> StatelessTable:
    """Where a packet goes on that a table of intents denies."""
    return {
        StatelessTable.EMERGENCY: StatelessTable.EMERGENCY_REPLY,
        StatelessTable.EMERGENCY_REPLY: StatelessTable.ADAPTIVE,
        StatelessTable.POLICY: StatelessTable.REPLY,
        StatelessTable.REPLY: StatelessTable.MODE,
    }[table]


def _intent(
    intent: Intent, rank: int, codes: Codes, ends: MetadataLayout, now: float, masks: bool
) -> Iterator[Rule]:
    """An intent's rules for packets to the responder, and for those back."""
    emergency = intent.tier is Tier.EMERGENCY
    priority = priority_of(intent, rank)
    cause = cookie(Category.INTENT, name_number(intent.name))
    timeout = timeout_at(intent, now) or 0
    for reply in (False, True):
        if reply:
            table = StatelessTable.EMERGENCY_REPLY if emergency else StatelessTable.REPLY
        else:
            table = StatelessTable.EMERGENCY if emergency else StatelessTable.POLICY
        actions: tuple[RuleAction, ...] = (Goto(_after_deny(table)),)
        if intent.action is Action.ALLOW:
            actions = (Goto(StatelessTable.FORWARD),)
        elif emergency:
            denied = layout.PLAIN_REPLY_DENIED if reply else layout.STATELESS_DENIED
            actions = (set_bits(denied), *actions)
        services = list(service_matches(intent.services, HeaderServices(reply, masks)))
        sources, targets = intent.sources, intent.targets
        if reply:
            sources, targets = targets, sources
        for value, mask in matches(codes, sources, targets, ends):
            between = (Field("metadata", value, mask),) if mask else ()
            for service in services:
                fields = match(*between, *service)
                yield Rule(table, priority, fields, actions, cause, timeout)
