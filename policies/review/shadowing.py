"""Intents that never decide because others always decide first, found over kinds of ends instead of
addresses.

Found over sets of segments, not over addresses: all addresses with one set of segments are treated
equally. An intent is shadowed when, for every pair of such sets that its ends include, the intents
that decide before it cover its services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product

from policies.model import INTENT_TIERS, Action, Intent, Service, Tier
from policies.semantics.intent_ends import EndIndex, names_of
from policies.semantics.precedence import rank_of
from policies.semantics.services import covers_all

# An intent with more kinds of pairs of ends is left alone: proving it would take too long.
_MAX_PAIRS = 100_000


class IntentOverlaps:
    """Intents as bits, and for each set of segments the intents whose ends include it."""

    def __init__(self, intents: Sequence[Intent], identities: tuple[frozenset[str], ...]) -> None:
        self.identities = identities
        self._intents = intents
        sources = EndIndex(intent.sources for intent in intents)
        targets = EndIndex(intent.targets for intent in intents)
        self._starts = [sources.including(identity) for identity in identities]
        self._answers = [targets.including(identity) for identity in identities]
        self._where: dict[str, list[int]] = {}
        for index, identity in enumerate(identities):
            for name in names_of(identity):
                self._where.setdefault(name, []).append(index)
        self._services: dict[tuple[Service, ...], int] = {}
        self._kinds: dict[tuple[Tier, bool, bool, frozenset[Service]], int] = {}
        self._lasting: dict[datetime | None, int] = {}
        self._higher = self._stronger()

    def _stronger(self) -> dict[tuple[Tier, Action], int]:
        """For each tier and action, the intents that decide before it."""
        ranks = [rank_of(intent.tier, intent.action) for intent in self._intents]
        return {
            (tier, action): _bits(i for i, each in enumerate(ranks) if each < rank_of(tier, action))
            for tier, action in product(INTENT_TIERS, Action)
        }

    def _outlasting(self, intent: Intent) -> int:
        """Intents that do not expire before this one."""
        end = intent.expires
        if end not in self._lasting:
            self._lasting[end] = _bits(
                index
                for index, other in enumerate(self._intents)
                if other.expires is None or (end is not None and other.expires >= end)
            )
        return self._lasting[end]

    def _ends(self, bit: int, within: int) -> tuple[set[int], set[int]]:
        """For the kinds of sources and targets of an intent: which of ``within`` name each."""
        intent = self._intents[bit]
        sources = {index for name in intent.sources for index in self._where.get(name, ())}
        targets = {index for name in intent.targets for index in self._where.get(name, ())}
        return (
            {self._starts[index] & within for index in sources},
            {self._answers[index] & within for index in targets},
        )

    def shadow(self, bit: int) -> list[int]:
        """The intents that together always decide before this one; none if it can decide."""
        intent = self._intents[bit]
        stronger = self._higher[intent.tier, intent.action]
        if not stronger:
            return []
        starts, answers = self._ends(bit, stronger & self._outlasting(intent))
        if 0 in starts or 0 in answers or len(starts) * len(answers) > _MAX_PAIRS:
            return []
        by, seen = 0, set()
        for start in starts:
            for answer in answers:
                blockers = start & answer
                if blockers in seen:
                    continue
                seen.add(blockers)
                services = [s for i in _indices(blockers) for s in self._intents[i].services]
                if not blockers or not covers_all(services, intent.services):
                    return []
                by |= blockers
        return sorted(_indices(by), key=lambda i: self._intents[i].name)

    def cover(self, bit: int) -> int | None:
        """Another allow of the same tier that allows all that this one does, at least as long.

        Of two that are equal, the one further down is called superfluous.
        """
        intent = self._intents[bit]
        if intent.action is not Action.ALLOW:
            return None
        wider = self._wider(bit) & ~(1 << bit)
        for index in _indices(wider):
            if not self._wider(index) >> bit & 1 or index < bit:
                return index
        return None

    def _wider(self, bit: int) -> int:
        """Allows of an intent's tier that name all its ends and services; itself included."""
        intent = self._intents[bit]
        starts, answers = self._ends(bit, -1)
        if not starts or not answers:
            return 0
        wider = self._same_kind(intent) & self._outlasting(intent)
        for mask in (*starts, *answers):
            wider &= mask
        if wider != 1 << bit:
            wider &= self._covering(intent.services)
        return wider

    def _same_kind(self, intent: Intent) -> int:
        """Allows of the same tier that also have ``log``, ``established: keep`` and the helpers
        that this one has."""
        helpers = _helpers(intent)
        kind = (intent.tier, intent.log, intent.keep_established, helpers)
        if kind not in self._kinds:
            self._kinds[kind] = _bits(
                index
                for index, other in enumerate(self._intents)
                if other.action is Action.ALLOW
                and other.tier is intent.tier
                and other.log >= intent.log
                and other.keep_established >= intent.keep_established
                and _helpers(other) >= helpers
            )
        return self._kinds[kind]

    def _covering(self, services: tuple[Service, ...]) -> int:
        found = self._services.get(services)
        if found is None:
            found = _bits(
                index
                for index, other in enumerate(self._intents)
                if covers_all(other.services, services)
            )
            self._services[services] = found
        return found

    def reached(self, shadowed: set[int]) -> set[str]:
        """Segments that some allow with at least one kind of source leads to."""
        allows = _bits(
            index
            for index, intent in enumerate(self._intents)
            if intent.action is Action.ALLOW
            and index not in shadowed
            and any(self._where.get(name) for name in intent.sources)
        )
        return {
            name
            for identity, answers in zip(self.identities, self._answers, strict=True)
            if answers & allows
            for name in identity
        }


def _bits(indices: Iterable[int]) -> int:
    bits = 0
    for index in indices:
        bits |= 1 << index
    return bits


def _indices(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def _helpers(intent: Intent) -> frozenset[Service]:
    """Services whose helpers let further connections in."""
    return frozenset(service for service in intent.services if service.helper is not None)
