"""How much is exposed: host pairs that can talk under the policy and a machine decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from policies.model import Mode, Policy
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import number_at
from policies.semantics.reachability import HostClass, Reachability, class_of
from policies.semantics.verdict import Judge
from response.decisions.host_addresses import KnownHost


class Exposure:
    """Counts pairs of known hosts of which the first can start some connection to the second.

    A question costs one look-up for each class of hosts (`policies.semantics.reachability`), once
    the pair of classes has been asked.
    """

    def __init__(self, policy: Policy, members: Membership, hosts: Iterable[KnownHost]) -> None:
        self._members = members
        self._hosts = tuple(hosts)
        self._reach = Reachability(Judge(policy, members))
        self._classes = Counter(self._class_of(host.addresses) for host in self._hosts)
        protected = members.protected_addresses(policy.envelope)
        covered = (
            (host, tuple(address for address in host.addresses if address in protected))
            for host in self._hosts
        )
        self._protected = [(host, addresses) for host, addresses in covered if addresses]

    def mode(self, host: KnownHost) -> Mode:
        """The strictest mode that the host is judged by."""
        segments = (self._members.segments_of(address) for address in host.addresses)
        return self._members.mode_of(frozenset[str]().union(*segments))

    def pairs_left(self, suspect: KnownHost, action: str, now: float) -> int:
        """Hosts that ``suspect`` could still start a connection to under ``action`` at ``now``
        (seconds since the epoch).

        ``rate_limit`` slows it down and takes no pair away; an isolated host still reaches the
        protected addresses that the policy lets it reach.
        """
        own = self._class_of(suspect.addresses)
        if action in ("alert", "rate_limit"):
            return self._count(own, now)
        left = self._count(own, now, emergency_only=True)
        if action == "isolate":
            for host, addresses in self._protected:
                whole, part = self._class_of(host.addresses), self._class_of(addresses)
                if host != suspect and not self._reach.reaches(own, whole, now, True):
                    left += self._reach.reaches(own, part, now)
        return left

    def criticality(self, suspect: KnownHost, now: float) -> float:
        """The share of the other known hosts that can start a connection to ``suspect``."""
        own = self._class_of(suspect.addresses)
        others = len(self._hosts) - 1
        if others < 1:
            return 0.0
        reaches = self._reach.reaches
        found = sum(many for each, many in self._classes.items() if reaches(each, own, now))
        return min(1.0, max(0, found - reaches(own, own, now)) / others)

    def _count(self, own: HostClass, now: float, emergency_only: bool = False) -> int:
        """Other hosts that one of class ``own`` reaches."""
        reaches = self._reach.reaches
        found = sum(
            many for each, many in self._classes.items() if reaches(own, each, now, emergency_only)
        )
        return max(0, found - reaches(own, own, now, emergency_only))

    def _class_of(self, addresses: Iterable[str]) -> HostClass:
        return class_of(map(number_at, addresses), self._members)
