"""The policy's verdict on a connection: the direct evaluation that compiled rules must equal.

`Judge` indexes the intents once: every intent is a bit, in name order, and a segment, a service or
a tier is the set of intents that name it. A verdict then is a few intersections, whatever the
number of intents, and the lowest bit left is the first intent by name.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

from policies.feed_block import FeedBlock
from policies.model import (
    Action,
    Connection,
    Intent,
    Mode,
    NearestMiss,
    Policy,
    Restriction,
    Tier,
    Verdict,
)
from policies.semantics.address_sets import AddressSet
from policies.semantics.feed_listings import NOTHING_LISTED, Listings
from policies.semantics.intent_ends import EndIndex
from policies.semantics.membership import Membership
from policies.semantics.precedence import AFTER_ADAPTIVE
from policies.semantics.restrictions import blocking
from policies.semantics.retained_intents import first_retained
from policies.semantics.services import ServiceIndex

PARTS = ("from", "to", "services")


def verdict(
    policy: Policy,
    membership: Membership,
    connection: Connection,
    now: float,
    restrictions: Sequence[Restriction] = (),
    listings: Listings = NOTHING_LISTED,
) -> Verdict:
    """Judge one connection at ``now`` (seconds since the epoch). For many, keep a `Judge`."""
    return Judge(policy, membership).verdict(connection, now, restrictions, listings)


@dataclass(frozen=True, slots=True)
class _End:
    """What all addresses with one set of segments have in common."""

    names: tuple[str, ...]
    starts: int
    answers: int
    mode: Mode


class Judge:
    """Verdicts under one policy and membership; thread-safe: it caches only what it can
    recompute."""

    def __init__(self, policy: Policy, membership: Membership) -> None:
        self.policy = policy
        self.membership = membership
        self._intents = sorted(policy.intents, key=lambda intent: intent.name)
        self._all = (1 << len(self._intents)) - 1
        self._sources = EndIndex(intent.sources for intent in self._intents)
        self._targets = EndIndex(intent.targets for intent in self._intents)
        self._services = ServiceIndex(self._intents)
        self._allows = self._where(lambda intent: intent.action is Action.ALLOW)
        self._tiers = {tier: self._where(lambda i, t=tier: i.tier is t) for tier in Tier}  # type: ignore[misc]
        self._index_expiry()
        self._ends: dict[frozenset[str], _End] = {}
        self._protected: AddressSet = membership.protected_addresses(policy.envelope)

    def following(self, policy: Policy, membership: Membership) -> Judge:
        """The judge of a later policy. Where its intents are the same, their index is reused."""
        if policy.intents != self.policy.intents:
            return Judge(policy, membership)
        new = copy(self)
        new.policy, new.membership, new._ends = policy, membership, {}
        new._protected = membership.protected_addresses(policy.envelope)
        return new

    def verdict(
        self,
        connection: Connection,
        now: float,
        restrictions: Sequence[Restriction] = (),
        listings: Listings = NOTHING_LISTED,
    ) -> Verdict:
        """Judge the first packet of a connection at ``now``, under live machine decisions and what
        feeds list."""
        return self.judge(
            self.membership.segments_of(connection.src),
            self.membership.segments_of(connection.dst),
            connection,
            now,
            restrictions,
            listings=listings,
        )

    def judge(
        self,
        sources: frozenset[str],
        targets: frozenset[str],
        connection: Connection,
        now: float,
        restrictions: Sequence[Restriction] = (),
        explain: bool = True,
        listings: Listings = NOTHING_LISTED,
        admitted: Sequence[Intent] = (),
    ) -> Verdict:
        """As `verdict`, for a caller that already has the segments of both ends.

        Without ``explain``, a deny comes without its nearest miss. ``admitted`` are
        the retained intents (`policies.semantics.retained_intents`) that admitted the connection,
        which is open already: they decide where no intent does.
        """
        start, end = self._end(sources), self._end(targets)
        live = self.live(now)
        service = self._services.naming(connection)
        matched = start.starts & end.answers & service & live
        mode = max(start.mode, end.mode)

        emergency = matched & self._tiers[Tier.EMERGENCY]
        feed: FeedBlock | None = None
        if emergency:
            tier, deciding = Tier.EMERGENCY, emergency
        else:
            decision = None
            if restrictions:
                decision = blocking(
                    restrictions, connection, now, self._protected, self.membership.is_on
                )
            if decision is None:
                feed = listings.find(connection)
            if decision is not None or feed is not None and feed.mode is Mode.ENFORCE:
                miss = self._nearest_miss(start.starts, end.answers, service, live)
                return Verdict(
                    Action.DENY,
                    False,
                    mode if feed is None else feed.mode,
                    Tier.ADAPTIVE,
                    None,
                    start.names,
                    end.names,
                    miss,
                    decision=decision,
                    feed=None if feed is None else feed.feed,
                )
            tier, deciding = Tier.DEFAULT, 0
            for lower in AFTER_ADAPTIVE:
                if deciding := matched & self._tiers[lower]:
                    tier = lower
                    break
        retained: Intent | None = None
        if admitted and not deciding:
            names = [segment.name for segment in self.policy.segments]
            retained = first_retained(admitted, names, sources, targets, connection)
        if retained is not None:
            intent, action, tier = retained, Action.ALLOW, retained.tier
        elif not deciding:
            intent, action = None, self.policy.defaults.action
        else:
            # In one tier deny beats allow; of those left, the first by name is named.
            intent = self._first(deciding & ~self._allows or deciding)
            action = intent.action
        forwarded = action is Action.ALLOW or mode is not Mode.ENFORCE
        if feed is not None and action is Action.ALLOW:
            action, mode, tier = Action.DENY, feed.mode, Tier.ADAPTIVE
        miss = None
        if action is Action.DENY and explain:
            miss = self._nearest_miss(start.starts, end.answers, service, live)
        return Verdict(
            action,
            forwarded,
            mode,
            tier,
            None if intent is None else intent.name,
            start.names,
            end.names,
            miss,
            None if intent is None else intent.source,
            feed=feed.feed if feed is not None and tier is Tier.ADAPTIVE else None,
        )

    def meeting(self, sources: frozenset[str], targets: frozenset[str]) -> tuple[int, Mode]:
        """The intents whose two ends these are, as bits that `named` reads, and the pair's mode:
        pairs that share both get the same verdicts."""
        start, end = self._end(sources), self._end(targets)
        return start.starts & end.answers, max(start.mode, end.mode)

    def between(self, sources: frozenset[str], targets: frozenset[str]) -> tuple[Intent, ...]:
        """The intents about connections between such ends, by any service; in name order."""
        return self.named(self.meeting(sources, targets)[0])

    def named(self, bits: int) -> tuple[Intent, ...]:
        """The intents of `meeting`, in name order."""
        found = []
        while bits:
            found.append(self._first(bits))
            bits &= bits - 1
        return tuple(found)

    def service_kind(self, connection: Connection) -> int:
        """A number that connections share whose protocol and port the same intents name."""
        return self._services.naming(connection)

    def matching(self, connection: Connection, now: float) -> tuple[Intent, ...]:
        """Every unexpired intent that matches, of any tier and action, in name order."""
        start = self._end(self.membership.segments_of(connection.src))
        end = self._end(self.membership.segments_of(connection.dst))
        bits = start.starts & end.answers & self._services.naming(connection) & self.live(now)
        return self.named(bits)

    def _first(self, bits: int) -> Intent:
        return self._intents[(bits & -bits).bit_length() - 1]

    def _end(self, segments: frozenset[str]) -> _End:
        end = self._ends.get(segments)
        if end is None:
            end = _End(
                tuple(sorted(segments)),
                self._sources.including(segments),
                self._targets.including(segments),
                self.membership.mode_of(segments),
            )
            self._ends[segments] = end
        return end

    def _where(self, test: Callable[[Intent], bool]) -> int:
        return sum(1 << bit for bit, intent in enumerate(self._intents) if test(intent))

    def _index_expiry(self) -> None:
        """After ``_moments[i]`` the intents of ``_lives[i + 1]`` are left."""
        ends = sorted(
            (intent.expires.timestamp(), bit)
            for bit, intent in enumerate(self._intents)
            if intent.expires is not None
        )
        self._moments = [moment for moment, _ in ends]
        self._lives = [self._all]
        for _, bit in ends:
            self._lives.append(self._lives[-1] & ~(1 << bit))

    def live(self, now: float) -> int:
        """The intents that have not expired at ``now``, as bits that `named` reads."""
        return self._lives[bisect_right(self._moments, now)] if self._moments else self._all

    def _nearest_miss(
        self, starts: int, answers: int, service: int, live: int
    ) -> NearestMiss | None:
        """The unexpired allow that fails in the fewest parts, then the first by name."""
        allows = self._allows & live
        if not allows:
            return None
        a, b, c = starts & allows, answers & allows, service & allows
        best = a & b & c or (a & b) | (a & c) | (b & c) or a | b | c or allows
        bit = best & -best
        failed = tuple(part for part, met in zip(PARTS, (a, b, c), strict=True) if not met & bit)
        return NearestMiss(self._first(bit).name, failed)
