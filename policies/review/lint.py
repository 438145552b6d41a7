"""Warnings about probable mistakes in a valid policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from policies.language.errors import Diagnostic
from policies.model import (
    Action,
    Adapt,
    Intent,
    Policy,
    Segment,
    Selector,
    Service,
    Source,
)
from policies.review.families import named_like_addresses, useless_for_their_families
from policies.review.shadowing import IntentOverlaps
from policies.semantics.intent_ends import includes_all
from policies.semantics.membership import Membership


def check_policy(
    policy: Policy, membership: Membership | None = None, now: float | None = None
) -> tuple[Diagnostic, ...]:
    """All warnings, in file order. With ``now``, intents that have expired are among them."""
    who = membership or Membership(policy)
    warnings = [*_selectors(policy, who), *_segments(policy, who), *_protected(policy, who)]
    warnings += [*useless_for_their_families(policy, who), *named_like_addresses(policy)]
    live = [i for i in policy.intents if not _expired(i, now)]
    warnings += [
        _warn("expired", f"intent '{i.name}' expired at {i.expires}: it can never decide", i.source)
        for i in policy.intents
        if _expired(i, now)
    ]
    reading = IntentOverlaps(live, _identities(policy, who))
    shadowed = set()
    for bit, intent in enumerate(live):
        by = reading.shadow(bit)
        if by:
            shadowed.add(bit)
            warnings.append(_shadowed(intent, [live[other] for other in by]))
        elif (cover := reading.cover(bit)) is not None:
            other = live[cover]
            message = f"allow '{intent.name}' adds nothing: '{other.name}' covers it"
            warnings.append(
                _warn("covered", message, intent.source, f"'{other.name}' is at {other.source}")
            )
    if policy.defaults.action is Action.DENY:
        warnings += _unreachable(policy, who, reading, shadowed)
    return tuple(sorted(warnings, key=lambda warning: (warning.source, warning.message)))


def _warn(code: str, message: str, source: Source, hint: str | None = None) -> Diagnostic:
    return Diagnostic("warning", code, message, source, suggestion=hint)


def _expired(intent: Intent, now: float | None) -> bool:
    return now is not None and not intent.holds(now)


def _shadowed(intent: Intent, by: Sequence[Intent]) -> Diagnostic:
    names = ", ".join(f"'{other.name}'" for other in by[:3])
    more = f" and {len(by) - 3} more" if len(by) > 3 else ""
    higher = any(other.tier is not intent.tier for other in by)
    why = "a higher tier" if higher else "a deny in its own tier"
    message = f"intent '{intent.name}' can never decide: {names}{more} ({why}) always does before"
    return _warn("shadowed", message, intent.source, f"{by[0].name} is at {by[0].source}")


# Segments and selectors


def _by_port_alone(selector: Selector) -> bool:
    return selector.switch is not None and not (selector.labels or selector.host)


def _selectors(policy: Policy, who: Membership) -> Iterator[Diagnostic]:
    """Labels that select no host. (A key that no host has is an error, found while reading.)"""
    protected = () if policy.envelope is None else policy.envelope.protected
    for selector in (*(s for segment in policy.segments for s in segment.members), *protected):
        if selector.labels and not who.selects_a_host(selector):
            wanted = ", ".join(f"{key}={value}" for key, value in selector.labels)
            what = "label" if len(selector.labels) == 1 else "combination"
            message = f"no host matches {wanted}"
            yield _warn("nobody", message, selector.source, f"the {what} selects nobody")


def _may_gain_members(segment: Segment) -> bool:
    """Whether hosts may still be discovered on a port; a network's hosts need not be known."""
    return any(_by_port_alone(selector) for selector in segment.members)


def _segments(policy: Policy, who: Membership) -> Iterator[Diagnostic]:
    inhabited = {name for identity in who.identities() for name in identity}
    for segment in policy.segments:
        known = segment.name in inhabited or who.hosts_in(segment.name)
        if not known and not _may_gain_members(segment):
            message = f"segment '{segment.name}' has no members"
            yield _warn("empty-segment", message, segment.source)


def _unreachable(
    policy: Policy, who: Membership, reading: IntentOverlaps, shadowed: set[int]
) -> Iterator[Diagnostic]:
    reached = reading.reached(shadowed) | _closed_on_purpose(policy)
    inhabited = {name for identity in reading.identities for name in identity}
    for segment in policy.segments:
        if segment.name in inhabited and segment.name not in reached:
            message = f"nobody can reach segment '{segment.name}': no allow leads to it"
            yield _warn("unreachable", message, segment.source)


def _closed_on_purpose(policy: Policy) -> set[str]:
    """Segments that an intent closes to everyone: they are meant to be unreachable."""
    return {
        name
        for intent in policy.intents
        if intent.action is Action.DENY
        and includes_all(intent.sources)
        and Service() in intent.services
        for name in intent.targets
    }


def _protected(policy: Policy, who: Membership) -> Iterator[Diagnostic]:
    auto = {segment.name for segment in policy.segments if segment.adapt is Adapt.AUTO}
    if policy.envelope is None or not auto:
        return
    for selector in policy.envelope.protected:
        found: dict[str, list[str]] = {}
        for address in who.addresses_of(selector):
            for name in who.segments_of(address) & auto:
                found.setdefault(name, []).append(address)
        for name, addresses in sorted(found.items()):
            shown = min(addresses, key=lambda a: (ip_address(a).is_link_local, a))
            message = f"{shown} is protected and in '{name}', whose adapt is auto"
            hint = f"machine decisions will leave it alone; take it out of '{name}' or say propose"
            yield _warn("protected-auto", message, selector.source, hint)


def _identities(policy: Policy, who: Membership) -> tuple[frozenset[str], ...]:
    """Every set of segments that an address has, or may have once a host on a port is found or a
    host that is declared without an address has got one."""
    present = who.identities()
    inhabited = {name for identity in present for name in identity}
    waiting = {
        frozenset({segment.name})
        for segment in policy.segments
        if _may_gain_members(segment)
        or (segment.name not in inhabited and who.hosts_in(segment.name))
    }
    return tuple(sorted(present | waiting, key=sorted))
