"""What the limits of machine decisions come to, and which of them nobody wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from console.options.policy import count
from policies.model import Adapt, Envelope, Policy
from policies.semantics.membership import Membership
from response.decisions.envelope import BLOCKS, share_limit

ABOUT_HOSTS = ("max_hosts", "max_share")


@dataclass(frozen=True, slots=True)
class SegmentLimit:
    """How many of a segment's ``hosts`` machines may block at once; ``by`` is the key that says
    so: ``max_hosts`` (of the whole network) or ``max_share`` (of the segment)."""

    segment: str
    hosts: int
    at_once: int
    by: str


def segment_limits(policy: Policy, membership: Membership) -> tuple[SegmentLimit, ...]:
    """The limits of each segment in which machines act by themselves (``adapt: auto``)."""
    envelope = policy.envelope
    if envelope is None or not BLOCKS & {*envelope.actions}:
        return ()
    found = []
    for segment in policy.segments:
        if segment.adapt is not Adapt.AUTO:
            continue
        hosts = len(membership.hosts_in(segment.name))
        share = share_limit(hosts, envelope.max_share)
        by = "max_share" if share < envelope.max_hosts else "max_hosts"
        limit = SegmentLimit(segment.name, hosts, min(share, envelope.max_hosts), by)
        found.append(limit)
    return tuple(found)


def silent_defaults(envelope: Envelope) -> dict[str, str]:
    """The keys that the policy takes by silence, of those that matter for its actions, with their
    values as a policy would write them."""
    actions = {*envelope.actions}
    matter = {
        "actions": ("[alert]", True),
        "max_hosts": (str(envelope.max_hosts), bool(BLOCKS & actions)),
        "max_share": (f"{envelope.max_share:g}", bool(BLOCKS & actions)),
        "ttl": (f"{envelope.ttl}s", actions != {"alert"}),
        "rate_limit": (f"{envelope.rate_limit}pps", "rate_limit" in actions),
    }
    return {
        key: value for key, (value, used) in matter.items() if used and key in envelope.defaulted
    }


def limit_lines(policy: Policy, membership: Membership) -> Iterator[str]:
    """The defaults that are taken by silence, and what those about hosts come to; nothing for a
    policy that writes them all."""
    envelope = policy.envelope
    silent = {} if envelope is None else silent_defaults(envelope)
    if envelope is None or not silent:
        return
    words = ", ".join(f"{key} {value}" for key, value in silent.items())
    yield f"adaptive: not written, so by default: {words}"
    for each in segment_limits(policy, membership) if {*silent} & {*ABOUT_HOSTS} else ():
        allowed = f"machines block at most {each.at_once} of {count(each.hosts, 'host')} at once"
        why = f"max_hosts {envelope.max_hosts}"
        if each.by == "max_share":
            why = f"max_share {envelope.max_share:g}, whatever max_hosts {envelope.max_hosts} says"
        yield f"  {each.segment}: {allowed} ({why})"


def limits_data(policy: Policy, membership: Membership) -> dict[str, Any] | None:
    if policy.envelope is None:
        return None
    return {
        "defaults": silent_defaults(policy.envelope),
        "segments": [asdict(each) for each in segment_limits(policy, membership)],
    }
