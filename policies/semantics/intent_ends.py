"""The ends of an intent, ``from`` and ``to``: which sets of segments each of them includes.

An end is some names: segments, `ANY` (every address) or `UNKNOWN` (addresses in no segment). An
address is in an end when the end has one of the `names_of` its segments; whatever else asks,
for one intent or as bits for many, derives from that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from policies.model import ANY, UNKNOWN, Intent


def names_of(segments: Collection[str]) -> tuple[str, ...]:
    """The names that include an address in these segments, each by itself.

    >>> names_of({"web"})
    ('any', 'web')
    >>> names_of(())
    ('any', 'unknown')
    """
    return (ANY, *(segments or (UNKNOWN,)))


def includes(end: Collection[str], segments: Collection[str]) -> bool:
    """Whether an end includes the addresses in these segments."""
    return any(name in end for name in names_of(segments))


def connects(intent: Intent, sources: Collection[str], targets: Collection[str]) -> bool:
    """Whether an intent is about connections from ``sources`` to ``targets``, by any service."""
    return includes(intent.sources, sources) and includes(intent.targets, targets)


def includes_all(end: Collection[str]) -> bool:
    return ANY in end


def contains(wide: Collection[str], narrow: Collection[str]) -> bool:
    """Whether an end includes whatever another one does, no matter who is in which segment."""
    return includes_all(wide) or set(narrow) <= set(wide)


def segments_in(end: Collection[str]) -> frozenset[str]:
    """The segments that tell who is in an end; none where everybody is."""
    return frozenset() if includes_all(end) else frozenset(end) - {UNKNOWN}


class EndIndex:
    """One end of many intents: for each name, the intents (as bits) whose end has it."""

    def __init__(self, ends: Iterable[Iterable[str]] = ()) -> None:
        self._bits: dict[str, int] = {}
        for place, end in enumerate(ends):
            self.add(end, 1 << place)

    def add(self, end: Iterable[str], bit: int) -> None:
        for name in end:
            self._bits[name] = self._bits.get(name, 0) | bit

    def discard(self, end: Iterable[str], bit: int) -> None:
        for name in end:
            self._bits[name] &= ~bit

    def including(self, segments: Collection[str]) -> int:
        """The intents whose end includes the addresses in these segments."""
        return self._union(names_of(segments))

    def meeting(self, end: Collection[str], together: Mapping[str, Collection[str]]) -> int:
        """The intents whose end may share an address with ``end``, which is not everybody.

        ``together`` names, for each segment, the segments that share an address with it, itself
        among them; one that it lacks shares none.
        """
        bits = self._bits.get(ANY, 0)
        for name in end:
            bits |= self._union(together.get(name, (name,)))
        return bits

    def _union(self, names: Iterable[str]) -> int:
        bits = 0
        for name in names:
            bits |= self._bits.get(name, 0)
        return bits
