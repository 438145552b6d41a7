"""Intents and the default as rules.

Deny stands above allow in each tier, tiers stand above one another, and where
two intents of one tier and action can meet in one packet the earlier name
stands above the later, so that every packet counts for the intent that the
verdict names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import product

from policies.compiler.common.identity_codes import Codes, CompileError
from policies.compiler.common.priorities import LEVELS
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, flags
from policies.compiler.stateful.identity import SOURCE, TARGET, end_fields
from policies.model import (
    ICMP,
    ICMPV6,
    Action,
    Intent,
    Policy,
    Service,
    Tier,
)
from policies.rules import layout
from policies.rules.layout import Category, DecidedBits, RuleTable, cookie, name_number
from policies.rules.rule import Field, Goto, Load, Rule, RuleAction

TIER_BASE = {
    Tier.EMERGENCY: 44_000,
    Tier.SECURITY: 44_000,
    Tier.APPLICATION: 28_000,
    Tier.BASELINE: 12_000,
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


def port_masks(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The fewest value/mask pairs that cover the 16-bit range ``low`` to ``high`` inclusive."""
    while low <= high:
        size = low & -low or 1 << 16
        while size > high - low + 1:
            size >>= 1
        yield low, 0xFFFF & ~(size - 1)
        low += size


def merged(services: Iterable[Service]) -> tuple[Service, ...]:
    """The same packets in the fewest services: ranges that touch become one."""
    result: list[Service] = []
    for service in sorted(set(services), key=_range):
        if result:
            last = result[-1]
            if last.proto is None:
                break
            if last.proto == service.proto:
                if last.high is None:
                    continue
                assert service.low is not None and service.high is not None
                if service.low <= last.high + 1:
                    high = max(last.high, service.high)
                    result[-1] = Service(last.proto, last.low, high)
                    continue
        result.append(service)
    return tuple(result)


def _range(service: Service) -> tuple[int, int, int]:
    """Wider before narrower, so that `merged` needs to look back only once."""
    proto = -1 if service.proto is None else service.proto
    return (proto, -1 if service.low is None else service.low, -(service.high or 0))


@lru_cache(maxsize=1 << 14)
def service_fields(service: Service) -> tuple[tuple[Field, ...], ...]:
    """What rules match for a service, in the register that holds the responder's port."""
    if service.proto is None:
        return ((),)
    family = {ICMP: ETH_IP, ICMPV6: ETH_IPV6}.get(service.proto)
    ahead = () if family is None else (Field("eth_type", family),)
    proto = service.proto << layout.PROTO.low
    proto_mask = 0xFF << layout.PROTO.low
    if service.low is None or service.high is None:
        return ((*ahead, Field(layout.PROTO.field, proto, proto_mask)),)
    return tuple(
        (*ahead, Field(layout.PORT.field, proto | value, proto_mask | mask))
        for value, mask in port_masks(service.low, service.high)
    )


def default_rule(action: Action) -> Rule:
    return Rule(
        RuleTable.POLICY, 0, (), _outcome(action, 0, RuleTable.AUDIT), cookie(Category.DEFAULT)
    )


def intent_rules(intent: Intent, level: int, codes: Codes, timeout: int = 0) -> Iterator[Rule]:
    """An intent's rules, ``level`` below the top of its tier and action.

    ``timeout`` in seconds ends them on the switch itself; 0 for none.
    """
    number = name_number(intent.name)
    table = RuleTable.EMERGENCY if intent.tier is Tier.EMERGENCY else RuleTable.POLICY
    top = TIER_BASE[intent.tier] + (LEVELS if intent.action is Action.DENY else 0)
    priority = top + LEVELS - 1 - level
    actions, cause = outcome(intent, number), cookie(Category.INTENT, number)
    for fields in intent_matches(intent, codes):
        yield Rule(table, priority, fields, actions, cause, timeout)


def intent_matches(intent: Intent, codes: Codes, *also: Field) -> Iterator[tuple[Field, ...]]:
    """What an intent's rules match, each once, and ``also`` in every one of them."""
    seen: set[tuple[Field, ...]] = set()
    services = [fields for each in merged(intent.services) for fields in service_fields(each)]
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


def timeout_at(intent: Intent, now: float) -> int | None:
    """Seconds until the switch itself must end an intent's rules, 0 while its end is beyond the
    switch's timer or there is none; None for an intent that has ended."""
    if intent.expires is None:
        return 0
    remaining = intent.expires.timestamp() - now
    if remaining <= 0:
        return None
    return max(1, round(remaining)) if remaining <= MAX_TIMEOUT else 0


def outcome(intent: Intent, number: int) -> tuple[RuleAction, ...]:
    """What an intent's rules do. What tier ``emergency`` allows, no feed has a say in."""
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
