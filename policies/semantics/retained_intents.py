"""Intents that are gone, but let established connections continue: ``established: keep``.

An intent is *retained* when it was removed, was narrowed or has expired while it had that key.
Retained intents admit no new connection. They are evaluated just above the default, for
connections that carry their mark.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from policies.model import (
    ANY,
    NOWHERE,
    RESERVED_NAMES,
    Action,
    Connection,
    Intent,
    Policy,
    Service,
    Tier,
)
from policies.semantics.intent_ends import connects, contains
from policies.semantics.services import covers_all, names

STORED_AS = "kept intents"  # their key in the state store
SOON = 65_535 + 120  # seconds before its end from which an intent is retained already


@dataclass(frozen=True, slots=True)
class RetainedIntents:
    """What a restart needs of intents with ``established: keep``: those in force at the last
    check, and those retained."""

    in_force: tuple[Intent, ...] = ()
    retained: tuple[Intent, ...] = ()


def retains(intent: Intent) -> bool:
    return intent.keep_established and intent.action is Action.ALLOW


def bare(intent: Intent) -> Intent:
    """An intent without its place, description and logging, which retaining ignores."""
    return replace(intent, source=NOWHERE, description="", log=False)


def in_force(policy: Policy, now: float) -> tuple[Intent, ...]:
    """The intents that have not ended and would be retained."""
    return tuple(bare(each) for each in policy.intents if retains(each) and each.holds(now))


def retained_after(
    before: Iterable[Intent], policy: Policy, retained: Iterable[Intent], now: float
) -> tuple[Intent, ...]:
    """The intents to retain under ``policy``; ``before`` were `in_force` at the previous call, and
    ``retained`` is what it returned.

    An intent that still admits all that it did is not retained, nor is one that is now ``cut``.
    One that ends soon is retained beforehand, so that its connections continue even if the
    controller is down when it ends.
    """
    current = {intent.name: intent for intent in policy.intents}
    ending = [each for each in in_force(policy, now) if not each.holds(now + SOON)]
    found: dict[Intent, None] = {}
    for intent in (*retained, *before, *ending):
        new = current.get(intent.name)
        if new is not None and not new.keep_established:
            continue
        if new is not None and new.holds(now + SOON) and _covers(new, intent):
            continue
        found[intent] = None
    return tuple(sorted(found, key=lambda each: (each.name, repr(each))))


def _covers(new: Intent, old: Intent) -> bool:
    """Whether the new intent admits whatever the old one did."""
    return (
        new.action is Action.ALLOW
        and contains(new.sources, old.sources)
        and contains(new.targets, old.targets)
        and covers_all(new.services, old.services)
    )


def resolved(intent: Intent, segments: Iterable[str]) -> Intent:
    """The intent with ends that the policy still has: an end of which a segment is gone as well
    becomes `ANY`, as the mark of a connection is enough."""
    known = {*segments, *RESERVED_NAMES}

    def ends(names: tuple[str, ...]) -> tuple[str, ...]:
        return names if known.issuperset(names) else (ANY,)

    sources, targets = ends(intent.sources), ends(intent.targets)
    if (sources, targets) == (intent.sources, intent.targets):
        return intent
    return Intent(
        intent.name, sources, targets, intent.services, tier=intent.tier, keep_established=True
    )


def first_retained(
    admitted: Iterable[Intent],
    segments: Sequence[str],
    sources: frozenset[str],
    targets: frozenset[str],
    connection: Connection,
) -> Intent | None:
    """Of the retained intents that admitted a connection, the first by which it still continues
    with ends in these segments; ``segments`` are all of the policy."""
    for each in admitted:
        intent = resolved(each, segments)
        if connects(intent, sources, targets) and any(
            names(service, connection) for service in intent.services
        ):
            return each
    return None


def written(retained: RetainedIntents) -> str:
    """As text for the store."""
    return json.dumps([_data(retained.in_force), _data(retained.retained)])


def read(text: str | None) -> RetainedIntents:
    """What `written` wrote; nothing for None. Raises ValueError for anything else."""
    if text is None:
        return RetainedIntents()
    try:
        in_force, retained = json.loads(text)
        return RetainedIntents(_intents(in_force), _intents(retained))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a list of retained intents: {error}") from None


def _data(intents: Iterable[Intent]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "from": list(each.sources),
            "to": list(each.targets),
            "services": [[s.proto, s.low, s.high] for s in each.services],
            "tier": each.tier.value,
            "expires": None if each.expires is None else each.expires.isoformat(),
        }
        for each in intents
    ]


def _intents(data: Sequence[Mapping[str, Any]]) -> tuple[Intent, ...]:
    return tuple(
        Intent(
            each["name"],
            tuple(each["from"]),
            tuple(each["to"]),
            tuple(Service(*service) for service in each["services"]),
            tier=Tier(each["tier"]),
            keep_established=True,
            expires=None if each["expires"] is None else datetime.fromisoformat(each["expires"]),
        )
        for each in data
    )
