"""Intents that are gone, but keep the connections that they let in: `established: keep`.

An intent is *kept* when it was removed, narrowed or has expired while it said
`keep`. Kept intents let nobody in. They have the last word before the default,
about connections that carry their mark.
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

STORED_AS = "kept intents"  # the name that the store has them under
SOON = 65_535 + 120  # seconds before its end from which an intent is kept already


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a restart must know of intents with ``established: keep``: those in force when last
    looked, and those that are kept."""

    in_force: tuple[Intent, ...] = ()
    kept: tuple[Intent, ...] = ()


def keeps(intent: Intent) -> bool:
    return intent.keep_established and intent.action is Action.ALLOW


def bare(intent: Intent) -> Intent:
    """An intent without what does not matter here."""
    return replace(intent, source=NOWHERE, description="", log=False)


def in_force(policy: Policy, now: float) -> tuple[Intent, ...]:
    """The intents that have not ended and would keep their connections."""
    return tuple(bare(each) for each in policy.intents if keeps(each) and each.holds(now))


def kept_after(
    before: Iterable[Intent], policy: Policy, kept: Iterable[Intent], now: float
) -> tuple[Intent, ...]:
    """What must be kept under ``policy``: ``before`` were `in_force` when this was last asked, and
    ``kept`` what it said.

    An intent that still lets in all that it did needs no keeping, and one that
    now says `cut` gets none. One that ends soon is kept beforehand, so that its
    connections live on where nobody is there to see its end.
    """
    current = {intent.name: intent for intent in policy.intents}
    ending = [each for each in in_force(policy, now) if not each.holds(now + SOON)]
    found: dict[Intent, None] = {}
    for intent in (*kept, *before, *ending):
        new = current.get(intent.name)
        if new is not None and not new.keep_established:
            continue
        if new is not None and new.holds(now + SOON) and _covers(new, intent):
            continue
        found[intent] = None
    return tuple(sorted(found, key=lambda each: (each.name, repr(each))))


def _covers(new: Intent, old: Intent) -> bool:
    """Whether whatever the old intent let in, the new one lets in too."""
    return (
        new.action is Action.ALLOW
        and contains(new.sources, old.sources)
        and contains(new.targets, old.targets)
        and covers_all(new.services, old.services)
    )


def resolved(intent: Intent, segments: Iterable[str]) -> Intent:
    """The intent with ends that the policy still knows: where a segment is gone as well, the mark
    of a connection says enough."""
    known = {*segments, *RESERVED_NAMES}

    def ends(names: tuple[str, ...]) -> tuple[str, ...]:
        return names if known.issuperset(names) else (ANY,)

    sources, targets = ends(intent.sources), ends(intent.targets)
    if (sources, targets) == (intent.sources, intent.targets):
        return intent
    return Intent(
        intent.name, sources, targets, intent.services, tier=intent.tier, keep_established=True
    )


def keeper(
    admitted: Iterable[Intent],
    segments: Sequence[str],
    sources: frozenset[str],
    targets: frozenset[str],
    connection: Connection,
) -> Intent | None:
    """Of the kept intents that a connection was let in by, the first that still lets it go on,
    with ends in these segments; ``segments`` are all that the policy knows."""
    for each in admitted:
        intent = resolved(each, segments)
        if connects(intent, sources, targets) and any(
            names(service, connection) for service in intent.services
        ):
            return each
    return None


def written(keeping: Keeping) -> str:
    """As text for the store."""
    return json.dumps([_data(keeping.in_force), _data(keeping.kept)])


def read(text: str | None) -> Keeping:
    """What `written` wrote; nothing for None. Raises ValueError for anything else."""
    if text is None:
        return Keeping()
    try:
        in_force, kept = json.loads(text)
        return Keeping(_intents(in_force), _intents(kept))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no kept intents: {error}") from None


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
