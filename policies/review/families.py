"""Warnings about intents and names that address families and addresses make useless or unclear."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address

from policies.language.errors import Diagnostic
from policies.model import ICMP, ICMPV6, UNKNOWN, Host, Intent, Policy, Service
from policies.semantics.intent_ends import includes_all, segments_in
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX, number_of

_LINK_LOCAL = tuple(number_of(ip_address(a)) for a in ("fe80::", "fec0::"))
BOTH = frozenset({4, 6})


def useless_for_their_families(policy: Policy, who: Membership) -> Iterator[Diagnostic]:
    """Intents none of whose services can come about between addresses of their ends."""
    families = _families(policy, who)
    for intent in policy.intents:
        sources = _of_end(intent.sources, families)
        targets = _of_end(intent.targets, families)
        shared = sources & targets
        if (
            not sources
            or not targets
            or any(_usable(s, shared, intent, who) for s in intent.services)
        ):
            continue
        if shared:
            (family,) = shared
            services = ", ".join(map(str, intent.services))
            why = f"{services} between ends that share IPv{family} only"
        else:
            why = f"it goes from {_names(sources)} to {_names(targets)}"
        message = f"intent '{intent.name}' can never decide: {why}"
        yield Diagnostic("warning", "family", message, intent.source)


def named_like_addresses(policy: Policy) -> Iterator[Diagnostic]:
    """Hosts that are called by an address which is not theirs: a question about it is unclear."""
    owners: dict[str, Host] = {str(ip): host for host in policy.hosts for ip in host.ips}
    for host in policy.hosts:
        try:
            address = str(ip_address(host.name))
        except ValueError:
            continue
        owner = owners.get(address)
        if owner is not host:
            whose = f"that is the address of '{owner.name}'" if owner else "it has another address"
            message = f"host '{host.name}' is called by an address that it does not have; {whose}"
            yield Diagnostic("warning", "name", message, host.source)


def _families(policy: Policy, who: Membership) -> dict[str, frozenset[int]]:
    """IP versions of the addresses of each segment; both where addresses are still to be found.

    Link-local addresses are left aside: every host has one, and no policy is about them.
    """
    found: dict[str, set[int]] = {segment.name: set() for segment in policy.segments}
    for (start, _), names in who.spans.items():
        if _LINK_LOCAL[0] <= start < _LINK_LOCAL[1]:
            continue
        for name in names:
            found[name].add(6 if start >= SIX else 4)
    without = {host.name for host in policy.hosts if not host.ips}
    for segment in policy.segments:
        on_a_port = any(s.switch is not None and not s.host for s in segment.members)
        if on_a_port or who.hosts_in(segment.name) & without:
            found[segment.name] |= BOTH
    return {name: frozenset(versions) for name, versions in found.items()}


def _of_end(end: Collection[str], families: dict[str, frozenset[int]]) -> frozenset[int]:
    if includes_all(end) or UNKNOWN in end:
        return BOTH
    return frozenset().union(*(families[name] for name in segments_in(end)))


def _usable(service: Service, shared: frozenset[int], intent: Intent, who: Membership) -> bool:
    if service.proto == ICMP:
        return 4 in shared
    if service.proto == ICMPV6:  # hosts have link-local addresses, whatever else they have
        ends = (intent.sources, intent.targets)
        return 6 in shared or all(
            includes_all(end)
            or UNKNOWN in end
            or any(who.hosts_in(name) for name in segments_in(end))
            for end in ends
        )
    return bool(shared)


def _names(families: Collection[int]) -> str:
    return " and ".join(f"IPv{family}" for family in sorted(families))
