"""The envelope: the limits that every machine decision passes before it acts.

The policy's ``adaptive`` section is a promise to the people who wrote it: no
matter what the detector believes, or what an attacker makes it believe, no
protected host is touched and no more hosts are blocked at once than it says.
What would exceed it becomes a proposal for a person, or only an alert.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from policies.model import Adapt, Envelope, Mode
from response.decision import MAX_TTL, Decision, DecisionAction, Port
from response.decisions.host_addresses import KnownHost

Outcome = Literal["active", "proposed", "alert"]

BLOCKS: frozenset[str] = frozenset({"quarantine", "isolate"})
"""Actions that count against ``max_hosts`` and ``max_share``; ``rate_limit`` does not."""


class Members(Protocol):
    """Who is in which segment, as `policies.semantics.membership` answers it."""

    def segments_of(self, address: str) -> frozenset[str]: ...
    def adapt_of(self, segments: frozenset[str]) -> Adapt: ...
    def mode_of(self, segments: frozenset[str]) -> Mode: ...
    def hosts_in(self, segment: str) -> Collection[str]: ...
    def protected_addresses(self, envelope: Envelope) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """The permitted extent of a requested action, its time in seconds, and the reason."""

    outcome: Outcome
    reason: str
    ttl: int = 0


def judge_envelope(
    action: DecisionAction,
    target: KnownHost,
    envelope: Envelope | None,
    members: Members,
    active: Iterable[Decision],
    *,
    hold: str | None = None,
    overridden_by: str | None = None,
    hearsay: tuple[str, ...] = (),
) -> Judgement:
    """May ``action`` be taken on ``target`` at once, only proposed, or only alerted?

    ``active`` are the decisions that hold now; ``hold`` names who stopped automatic action;
    ``overridden_by`` who lately released or rejected a decision on this host; ``hearsay`` the
    exporters of flows that the alert rests on. First the grounds on which nothing may be
    done, then those on which a person must be asked, then the two limits.
    """
    if envelope is None:
        return Judgement("alert", "the policy has no adaptive section")
    if action not in envelope.actions:
        return Judgement("alert", f"{action} is not among the policy's adaptive actions")
    if is_protected(target, envelope, members):
        return Judgement("alert", f"{target.name} is protected")
    segments = _segments_of(target.addresses, members)
    adapt = members.adapt_of(segments)
    if adapt < Adapt.PROPOSE:
        return Judgement("alert", f"adapt is {adapt.name.lower()} for {_list(segments)}")
    ttl = max(1, min(envelope.ttl, MAX_TTL))
    if adapt < Adapt.AUTO:
        return Judgement("proposed", f"adapt is propose for {_list(segments)}", ttl)
    if hold is not None:
        return Judgement("proposed", f"automatic action is on hold by {hold}", ttl)
    if overridden_by is not None:
        return Judgement(
            "proposed", f"{overridden_by} undid a decision on {target.name} lately", ttl
        )
    if hearsay:
        what = f"rests on flow exports of {', '.join(hearsay)}, which nothing authenticates"
        return Judgement("proposed", what, ttl)
    if target.routes:
        return Judgement("proposed", f"{target.name} is a router: others live behind it", ttl)
    if action in BLOCKS:
        beyond = _beyond_limits(target, segments, envelope, members, active)
        if beyond is not None:
            return Judgement("proposed", beyond, ttl)
    return Judgement("active", f"within the envelope, adapt is auto for {_list(segments)}", ttl)


def remaining_hosts(
    target: KnownHost, envelope: Envelope, members: Members, active: Iterable[Decision]
) -> float:
    """The share of its blocks that the envelope has left for ``target``: of ``max_hosts``, or
    of ``max_share`` in one of its segments, whichever is less."""
    blocked = _blocked_beside(target, active)
    left = [_share_left(len(blocked), envelope.max_hosts)]
    for segment in _segments_of(target.addresses, members):
        here = sum(segment in _segments_of(held, members) for held in blocked.values())
        limit = share_limit(len(members.hosts_in(segment)), envelope.max_share)
        left.append(_share_left(here, limit))
    return min(left)


def _share_left(used: int, limit: int) -> float:
    return max(0.0, 1.0 - used / limit) if limit > 0 else 0.0


def is_protected(target: KnownHost, envelope: Envelope, members: Members) -> bool:
    """True when any address of the host is one that no machine decision may block."""
    protected = members.protected_addresses(envelope)
    return any(address in protected for address in target.addresses)


def share_limit(hosts: int, share: float) -> int:
    """``share`` of ``hosts``, rounded down, at least 1.

    >>> share_limit(100, 0.29), share_limit(4, 0.2)
    (29, 1)
    """
    # 0.29 * 100 is 28.999… in floating point; the policy said twenty-nine
    return max(1, int(Fraction(str(share)) * hosts))


def _beyond_limits(
    target: KnownHost,
    segments: frozenset[str],
    envelope: Envelope,
    members: Members,
    active: Iterable[Decision],
) -> str | None:
    """What blocking ``target`` as well would exceed, or None."""
    blocked = _blocked_beside(target, active)
    if len(blocked) >= envelope.max_hosts:
        return f"{len(blocked)} hosts are blocked already, max_hosts is {envelope.max_hosts}"
    for segment in sorted(segments):
        here = sum(segment in _segments_of(held, members) for held in blocked.values())
        limit = share_limit(len(members.hosts_in(segment)), envelope.max_share)
        if here >= limit:
            return (
                f"{here} of {len(members.hosts_in(segment))} hosts of {segment} are blocked "
                f"already, max_share {envelope.max_share:g} allows {limit}"
            )
    return None


def _blocked_beside(
    target: KnownHost, active: Iterable[Decision]
) -> dict[str | Port, frozenset[str]]:
    """The other hosts that are blocked now, with their addresses; a discovered one is its port,
    whatever identities it has there."""
    blocked: dict[str | Port, frozenset[str]] = {}
    own = set(target.subjects)
    for decision in active:
        if decision.action in BLOCKS and own.isdisjoint(decision.subjects):
            units: tuple[str | Port, ...] = decision.ports or (decision.target,)
            for unit in units:
                blocked[unit] = blocked.get(unit, frozenset()) | frozenset(decision.addresses)
    return blocked


def _segments_of(addresses: Iterable[str], members: Members) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for address in addresses:
        found |= members.segments_of(address)
    return found


def _list(segments: frozenset[str]) -> str:
    return ", ".join(sorted(segments)) or "addresses in no segment"
