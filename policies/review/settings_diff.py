"""Differences of two policies that no verdict between two addresses shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policies.model import Action, Envelope, Feed, Policy, Selector

_EFFECTS = {
    "arp": "without ARP no IPv4 host reaches any other",
    "nd": "without neighbour discovery no IPv6 host reaches any other",
    "dhcp": "without DHCP hosts get no addresses",
}


@dataclass(frozen=True, slots=True)
class SettingChange:
    """``name`` as in the policy, values in its words, empty where there is none; ``effect`` in
    words where it is not plain from them."""

    name: str
    before: str
    after: str
    effect: str = ""


def setting_changes(old: Policy, new: Policy) -> tuple[SettingChange, ...]:
    """Changes of ``infrastructure``, helpers, ``feeds`` and ``adaptive``, in this order."""
    return (
        *_infrastructure(old, new), *_helpers(old, new), *_feeds(old, new), *_envelope(old, new),
    )  # fmt: skip


def _helpers(old: Policy, new: Policy) -> Iterator[SettingChange]:
    """What lets connections in that no verdict about two addresses and a port shows."""
    before, after = (
        {
            intent.name: ", ".join(str(each) for each in intent.services if each.helper)
            for intent in policy.intents
        }
        for policy in (old, new)
    )
    for name in sorted(before.keys() | after.keys()):
        if before.get(name, "") != after.get(name, ""):
            yield SettingChange(f"helper of {name}", before.get(name, ""), after.get(name, ""))


def _infrastructure(old: Policy, new: Policy) -> Iterator[SettingChange]:
    for name, effect in _EFFECTS.items():
        before: Action = getattr(old.defaults.infrastructure, name)
        after: Action = getattr(new.defaults.infrastructure, name)
        if before is not after:
            denied = after is Action.DENY
            yield SettingChange(
                f"infrastructure {name}", before.value, after.value, effect if denied else ""
            )


def _feeds(old: Policy, new: Policy) -> Iterator[SettingChange]:
    before = {feed.name: _feed(feed) for feed in old.feeds}
    after = {feed.name: _feed(feed) for feed in new.feeds}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield SettingChange(f"feed {name}", before.get(name, ""), after.get(name, ""))


def _feed(feed: Feed) -> str:
    """All of a feed that decides what it stops; a folder is where the policy is, and no change."""
    name = feed.path.partition("?")[0]  # tokens stand behind it
    name = name if "://" in name else name.rpartition("/")[2]
    sure = f", confidence {feed.min_confidence}" if feed.min_confidence else ""
    return f"{feed.mode.name.lower()} {name} as {feed.format}{sure}"


def _envelope(old: Policy, new: Policy) -> Iterator[SettingChange]:
    before, after = _limits(old.envelope), _limits(new.envelope)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield SettingChange(f"adaptive {name}", before.get(name, ""), after.get(name, ""))
    for name, (one, other) in _adapted(old, new).items():
        if one != other:
            yield SettingChange(f"adapt of {name}", one, other)


def _adapted(old: Policy, new: Policy) -> dict[str, tuple[str, str]]:
    """How far machine decisions may go in each segment of both policies."""
    sides = [
        {s.name: "" if s.adapt is None else s.adapt.name.lower() for s in policy.segments}
        for policy in (old, new)
    ]
    return {name: (sides[0][name], sides[1][name]) for name in sides[0] if name in sides[1]}


def _limits(envelope: Envelope | None) -> dict[str, str]:
    if envelope is None:
        return {}
    return {
        "actions": ", ".join(sorted(envelope.actions)),
        "max_hosts": str(envelope.max_hosts),
        "max_share": str(envelope.max_share),
        "ttl": f"{envelope.ttl} s",
        "rate_limit": f"{envelope.rate_limit} pps",
        "trusted_exporters": ", ".join(sorted(map(str, envelope.trusted_exporters))),
        "protected": "; ".join(sorted(map(_selected, envelope.protected))),
    }


def _selected(selector: Selector) -> str:
    parts = [f"{key}={value}" for key, value in selector.labels]
    parts += [selector.host] if selector.host else []
    parts += [str(selector.cidr)] if selector.cidr is not None else []
    parts += [f"except {network}" for network in selector.excepts]
    if selector.switch is not None:
        parts.append(f"switch {selector.switch} port {selector.port}")
    return " ".join(parts)
