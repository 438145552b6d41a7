"""How many rules a switch would need without identities: host by host, as a yardstick."""

from __future__ import annotations

from collections import Counter

from policies.compiler.common.services import service_matches
from policies.compiler.stateful.layouts import SERVICES
from policies.model import RESERVED_NAMES, Policy
from policies.semantics.membership import Membership


def host_by_host(policy: Policy, membership: Membership) -> int:
    """Rules that name two addresses and a service each, for all that intents decide.

    Counts the declared addresses, IPv4 with IPv4 and IPv6 with IPv6; a match per port mask, as in
    our own rules; and one rule for an end that may be anybody.
    """
    sizes: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for host in policy.hosts:
        for address in host.ips:
            for name in membership.segments_of(address):
                sizes[address.version == 6][name] += 1
    total = 0
    for intent in policy.intents:
        services = len(list(service_matches(intent.services, SERVICES)))
        for known in sizes:
            sources, targets = (
                sum(1 if name in RESERVED_NAMES else known[name] for name in ends)
                for ends in (intent.sources, intent.targets)
            )
            total += sources * targets * services
    return total
