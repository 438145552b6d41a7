"""Priorities of intents whose rules can match the same packet.

Every packet must count for the intent that the verdict names: of several of
one tier and action, the first by name. So an intent stands one rank below the
lowest earlier-named intent of its tier and action that it can meet. Intents
that never meet share a rank, and a new intent moves only those it meets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from policies.compiler.common.refusals import CompileError
from policies.model import Action, Intent, Service, Tier
from policies.semantics.intent_ends import EndIndex, includes_all

BAND = 8_000  # priorities of one action in one tier


class IntentRanks:
    """The rank of each intent, 0 for the first, kept up as intents come and go.

    ``together`` names, for each segment, the segments that share an address
    with it. An intent is known by its name.
    """

    def __init__(self, together: Mapping[str, Collection[str]]) -> None:
        self._together = together
        self._bands: dict[tuple[Tier, Action], _Band] = {}
        self._meets: dict[str, set[str]] = {}
        self._intents: dict[str, Intent] = {}
        self.of: dict[str, int] = {}

    def change(self, gone: Iterable[str], new: Iterable[Intent]) -> set[str]:
        """Take intents out and others in; the names whose rank is another than before.

        Raises CompileError when too many intents overlap.
        """
        open_names: list[str] = []
        for name in gone:
            intent = self._intents.pop(name)
            self._bands[intent.tier, intent.action].discard(intent)
            del self.of[name]
            for other in self._meets.pop(name):
                self._meets[other].discard(name)
                if other > name:
                    open_names.append(other)
        for intent in sorted(new, key=lambda each: each.name):
            name = intent.name
            band = self._bands.setdefault((intent.tier, intent.action), _Band())
            met = set(band.meeting(intent, self._together))
            band.add(intent)
            self._intents[name] = intent
            self._meets[name] = met
            for other in met:
                self._meets[other].add(name)
            open_names.append(name)
        return self._settle(open_names)

    def _settle(self, open_names: list[str]) -> set[str]:
        """Work out ranks in name order, for as long as they change."""
        changed: set[str] = set()
        heapify(open_names)
        last = None
        while open_names:
            name = heappop(open_names)
            if name == last or name not in self._intents:
                continue
            last = name
            met = self._meets[name]
            rank = max((self.of[other] + 1 for other in met if other < name), default=0)
            if rank >= BAND:
                raise CompileError(
                    f"intent {name} overlaps more than {BAND} others of its tier; "
                    f"merge some of them ({self._intents[name].source})"
                )
            if self.of.get(name) != rank:
                self.of[name] = rank
                changed.add(name)
                for other in met:
                    if other > name:
                        heappush(open_names, other)
        return changed


@dataclass(slots=True)
class _Band:
    """The intents of one tier and action, each a bit, by what they name."""

    names: list[str] = field(default_factory=list)
    free: list[int] = field(default_factory=list)  # places in ``names`` of intents that are gone
    bits: dict[str, int] = field(default_factory=dict)
    every: int = 0
    sources: EndIndex = field(default_factory=EndIndex)
    targets: EndIndex = field(default_factory=EndIndex)
    services: _Services = field(default_factory=lambda: _Services())

    def add(self, intent: Intent) -> None:
        if self.free:
            place = self.free.pop()
            self.names[place] = intent.name
        else:
            place = len(self.names)
            self.names.append(intent.name)
        bit = self.bits[intent.name] = 1 << place
        self.every |= bit
        self.sources.add(intent.sources, bit)
        self.targets.add(intent.targets, bit)
        for service in intent.services:
            self.services.add(service, bit)

    def discard(self, intent: Intent) -> None:
        bit = self.bits.pop(intent.name)
        self.free.append(bit.bit_length() - 1)
        self.every &= ~bit
        self.sources.discard(intent.sources, bit)
        self.targets.discard(intent.targets, bit)
        for service in intent.services:
            self.services.discard(service, bit)

    def meeting(self, intent: Intent, together: Mapping[str, Collection[str]]) -> Iterator[str]:
        """Names of the intents here that can match a packet that ``intent`` matches too."""
        bits = self.every
        for index, end in ((self.sources, intent.sources), (self.targets, intent.targets)):
            if bits and not includes_all(end):
                bits &= index.meeting(end, together)
        if bits:
            found = 0
            for service in intent.services:
                found |= self.services.meeting(service)
            bits &= found
        while bits:
            low = bits & -bits
            yield self.names[low.bit_length() - 1]
            bits ^= low


@dataclass(slots=True)
class _Services:
    """Which intents name which services: single ports by number, all others one by one."""

    single: dict[int, dict[int, int]] = field(default_factory=dict)
    wide: dict[Service, int] = field(default_factory=dict)

    def add(self, service: Service, bit: int) -> None:
        if service.proto is not None and service.low is not None and service.low == service.high:
            ports = self.single.setdefault(service.proto, {})
            ports[service.low] = ports.get(service.low, 0) | bit
        else:
            self.wide[service] = self.wide.get(service, 0) | bit

    def discard(self, service: Service, bit: int) -> None:
        if service.proto is not None and service.low is not None and service.low == service.high:
            self.single[service.proto][service.low] &= ~bit
        else:
            self.wide[service] &= ~bit

    def meeting(self, service: Service) -> int:
        bits = 0
        for other, some in self.wide.items():
            if service_meets(service, other):
                bits |= some
        if service.proto is None:
            for ports in self.single.values():
                for some in ports.values():
                    bits |= some
            return bits
        ports = self.single.get(service.proto, {})
        low, high = service.low, service.high
        if low is not None and low == high:
            return bits | ports.get(low, 0)
        for port, some in ports.items():
            if low is None or high is None or low <= port <= high:
                bits |= some
        return bits


def service_meets(one: Service, other: Service) -> bool:
    """Whether some packet belongs to both services."""
    if one.proto is None or other.proto is None:
        return True
    if one.proto != other.proto:
        return False
    if one.low is None or other.low is None or one.high is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high
