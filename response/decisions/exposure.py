"""Exposure: host pairs that can communicate under the policy and a machine decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from policies.model import Action, Envelope, Mode, Policy, Tier
from policies.semantics.intent_ends import connects
from response.decisions.host_addresses import KnownHost

Segments = frozenset[str]


class SegmentLookup(Protocol):
    """Which segments an address is in, and how strictly they are judged."""

    def segments_of(self, address: str) -> Segments: ...
    def mode_of(self, segments: Segments) -> Mode: ...
    def protected_addresses(self, envelope: Envelope) -> Collection[str]: ...


class Exposure:
    """Counts pairs of known hosts between which the policy lets some service through.

    Hosts are grouped by their segments, so a question costs groups times intents. A pair
    counts when an allow intent covers it, the default allows it, or its mode only watches;
    denies that cover a part of a service do not take a pair away, and an intent that ends
    counts until the policy or the hosts change.
    """

    def __init__(self, policy: Policy, placed: SegmentLookup, hosts: Iterable[KnownHost]) -> None:
        self._policy = policy
        self._placed = placed
        self._hosts = tuple(hosts)
        self._allows = [each for each in policy.intents if each.action is Action.ALLOW]
        self._groups: Counter[Segments] = Counter(self.segments(host) for host in self._hosts)
        self._known: dict[tuple[Segments, Segments, bool], bool] = {}

    def segments(self, host: KnownHost) -> Segments:
        """Of all the host's addresses together."""
        found: Segments = frozenset()
        for address in host.addresses:
            found |= self._placed.segments_of(address)
        return found

    def mode(self, host: KnownHost) -> Mode:
        """The strictest mode that the host is judged by."""
        return self._placed.mode_of(self.segments(host))

    def pairs_left(self, suspect: KnownHost, action: str, now: float) -> int:
        """Hosts that ``suspect`` could still start a connection to under ``action``.

        ``rate_limit`` slows it down and takes no pair away.
        """
        own = self.segments(suspect)
        if action in ("alert", "rate_limit"):
            return self._count(own, now)
        left = self._count(own, now, only_emergency=True)
        if action == "isolate" and self._policy.envelope is not None:
            for host in self._protected(self._policy.envelope):
                theirs = self.segments(host)
                if self._open(own, theirs, now) and not self._open(own, theirs, now, True):
                    left += 1
        return left

    def criticality(self, suspect: KnownHost, now: float) -> float:
        """The share of the other known hosts that may start a connection to ``suspect``."""
        own = self.segments(suspect)
        others = len(self._hosts) - 1
        if others < 1:
            return 0.0
        found = sum(n for group, n in self._groups.items() if self._open(group, own, now))
        return min(1.0, max(0, found - self._open(own, own, now)) / others)

    def _count(self, own: Segments, now: float, only_emergency: bool = False) -> int:
        """Other hosts that one in segments ``own`` may reach."""
        found = sum(
            n for group, n in self._groups.items() if self._open(own, group, now, only_emergency)
        )
        return max(0, found - self._open(own, own, now, only_emergency))

    def _protected(self, envelope: Envelope) -> Iterator[KnownHost]:
        listed = self._placed.protected_addresses(envelope)
        return (h for h in self._hosts if any(each in listed for each in h.addresses))

    def _open(
        self, sources: Segments, targets: Segments, now: float, only_emergency: bool = False
    ) -> bool:
        key = (sources, targets, only_emergency)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._is_open(*key, now)
        return found

    def _is_open(
        self, sources: Segments, targets: Segments, only_emergency: bool, now: float
    ) -> bool:
        if not only_emergency:
            mode = max(self._placed.mode_of(sources), self._placed.mode_of(targets))
            if mode is not Mode.ENFORCE or self._policy.defaults.action is Action.ALLOW:
                return True
        return any(
            connects(intent, sources, targets)
            for intent in self._allows
            if (intent.tier is Tier.EMERGENCY or not only_emergency) and intent.holds(now)
        )
