"""Intents, the default and machine decisions as rules.

Deny stands above allow in each tier, tiers stand above one another, and where
two intents of one tier and action can meet in one packet the earlier name
stands above the later, so that every packet counts for the intent that the
verdict names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from policies import layout
from policies.compiler.identity import (
    SOURCE,
    TARGET,
    CompileError,
    SegmentCode,
    address_fields,
    end_field,
)
from policies.compiler.parts import ETH_IP, ETH_IPV6, flags
from policies.layout import Category, Outcome, Table, cookie, name_number
from policies.model import (
    ANY,
    ICMP,
    ICMPV6,
    UNKNOWN,
    Action,
    Intent,
    Policy,
    Restriction,
    Service,
    Tier,
)
from policies.rules import Field, Goto, Load, Rule, RuleAction, match

TIER_BASE = {
    Tier.EMERGENCY: 44_000,
    Tier.SECURITY: 44_000,
    Tier.APPLICATION: 28_000,
    Tier.BASELINE: 12_000,
}
BAND = 8_000  # priorities of one action in one tier; allow lies below deny
MAX_TIMEOUT = 65_535


def live_intents(policy: Policy, now: float) -> tuple[Intent, ...]:
    """The intents that exist at ``now``: an expired one does not."""
    return tuple(
        intent
        for intent in policy.intents
        if intent.expires is None or intent.expires.timestamp() > now
    )


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


def levels(intents: Sequence[Intent], together: Mapping[str, frozenset[str]]) -> Mapping[str, int]:
    """How far below its band's top each intent's rules stand.

    ``together`` names, for each segment, the segments that share an address
    with it. An intent stands one below the lowest earlier-named intent of its
    tier and action that it can meet in one packet.
    """
    result: dict[str, int] = {}
    bands: dict[tuple[Tier, Action], list[Intent]] = defaultdict(list)
    for intent in sorted(intents, key=lambda each: each.name):
        earlier = bands[intent.tier, intent.action]
        result[intent.name] = max(
            (
                result[other.name] + 1
                for other in earlier
                if _services_meet(intent.services, other.services)
                and _ends_meet(intent.sources, other.sources, together)
                and _ends_meet(intent.targets, other.targets, together)
            ),
            default=0,
        )
        if result[intent.name] >= BAND:
            raise CompileError(
                f"intent {intent.name} overlaps more than {BAND} others of its tier; "
                f"merge some of them ({intent.source})"
            )
        earlier.append(intent)
    return result


def _ends_meet(
    ours: Iterable[str], theirs: Iterable[str], together: Mapping[str, frozenset[str]]
) -> bool:
    return any(
        one == other
        or ANY in (one, other)
        or (UNKNOWN not in (one, other) and other in together.get(one, ()))
        for one, other in product(ours, theirs)
    )


def _services_meet(ours: Iterable[Service], theirs: Iterable[Service]) -> bool:
    return any(_service_meets(one, other) for one, other in product(ours, theirs))


def _service_meets(one: Service, other: Service) -> bool:
    if one.proto is None or other.proto is None:
        return True
    if one.proto != other.proto:
        return False
    if one.low is None or other.low is None or one.high is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def port_masks(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The fewest value/mask pairs that cover the 16-bit range ``low`` to ``high`` inclusive."""
    while low <= high:
        size = low & -low or 1 << 16
        while size > high - low + 1:
            size >>= 1
        yield low, 0xFFFF & ~(size - 1)
        low += size


def service_fields(service: Service) -> Iterator[tuple[Field, ...]]:
    """What rules match for a service, in the register that holds the responder's port."""
    if service.proto is None:
        yield ()
        return
    family = {ICMP: ETH_IP, ICMPV6: ETH_IPV6}.get(service.proto)
    ahead = () if family is None else (Field("eth_type", family),)
    proto = service.proto << layout.PROTO.low
    proto_mask = 0xFF << layout.PROTO.low
    if service.low is None or service.high is None:
        yield (*ahead, Field(layout.PROTO.field, proto, proto_mask))
        return
    for value, mask in port_masks(service.low, service.high):
        yield (*ahead, Field(layout.PORT.field, proto | value, proto_mask | mask))


def intent_rules(
    policy: Policy,
    codes: Mapping[str, SegmentCode],
    together: Mapping[str, frozenset[str]],
    now: float,
) -> Iterator[Rule]:
    """The rules of every intent that lives at ``now``, and of the default."""
    intents = live_intents(policy, now)
    standing = levels(intents, together)
    for intent in intents:
        yield from _intent(intent, standing[intent.name], codes, now)
    default = policy.defaults.action
    yield Rule(Table.POLICY, 0, (), _outcome(default, 0), cookie(Category.DEFAULT))


def _intent(
    intent: Intent, level: int, codes: Mapping[str, SegmentCode], now: float
) -> Iterator[Rule]:
    number = name_number(intent.name)
    table = Table.EMERGENCY if intent.tier is Tier.EMERGENCY else Table.POLICY
    top = TIER_BASE[intent.tier] + (BAND if intent.action is Action.DENY else 0)
    remaining = (intent.expires.timestamp() - now) if intent.expires is not None else 0
    timeout = max(1, round(remaining)) if 0 < remaining <= MAX_TIMEOUT else 0
    seen: set[tuple[Field, ...]] = set()
    for source, target, service in product(intent.sources, intent.targets, intent.services):
        ends = (end_field(SOURCE, source, codes), end_field(TARGET, target, codes))
        for fields in service_fields(service):
            matched = flags(*(end for end in ends if end is not None), *fields)
            if matched not in seen:
                seen.add(matched)
                yield Rule(
                    table,
                    top + BAND - 1 - level,
                    matched,
                    _outcome(intent.action, number),
                    cookie(Category.INTENT, number),
                    timeout,
                )


def _outcome(action: Action, number: int) -> tuple[RuleAction, ...]:
    if action is Action.ALLOW:
        return (
            Load(layout.INTENT, number),
            Load(layout.OUTCOME, Outcome.ALLOW),
            Goto(Table.OBSERVE),
        )
    return (Load(layout.INTENT, number), Goto(Table.MODE))


def restriction_rules(restrictions: Iterable[Restriction], now: float) -> Iterator[Rule]:
    """Marks for the addresses of live machine decisions; the switch itself ends them."""
    for restriction in restrictions:
        remaining = restriction.expires - now
        if remaining <= 0 or restriction.action != "quarantine":
            continue
        for address in restriction.addresses:
            for end, table, following in (
                (SOURCE, Table.MARK_SOURCE, Table.MARK_TARGET),
                (TARGET, Table.MARK_TARGET, Table.SOURCE),
            ):
                length = 32 if address.version == 4 else 128
                fields = address_fields(end, int(address), length, address.version)
                yield Rule(
                    table,
                    200,
                    match(*fields),
                    (
                        Load(layout.DECISION, restriction.number),
                        Load(layout.QUARANTINED, 1),
                        Goto(following),
                    ),
                    cookie(Category.DECISION, restriction.number),
                    max(1, min(MAX_TIMEOUT, round(remaining))),
                )
