"""Counts that forget, at four horizons, in constant memory."""

from __future__ import annotations

from math import exp

HORIZONS = (60.0, 600.0, 3600.0, 86_400.0)
HORIZON_NAMES = ("1m", "10m", "1h", "24h")

FRESH = 1200.0  # seconds
LULL = 7200.0  # seconds without any, after which those before are another matter

Counts = tuple[float, float, float, float]
NOTHING: Counts = (0.0, 0.0, 0.0, 0.0)


class DecayedCounts:
    """Exponentially decayed counts over :data:`HORIZONS` (time constants in seconds)."""

    __slots__ = ("day", "hour", "minute", "ten", "ts")

    def __init__(self) -> None:
        self.ts = 0.0
        self.minute = self.ten = self.hour = self.day = 0.0

    def add(self, now: float, weight: float = 1.0) -> None:
        gone = now - self.ts
        if gone > 0.0:
            self.minute = self.minute * exp(-gone / 60.0) + weight
            self.ten = self.ten * exp(-gone / 600.0) + weight
            self.hour = self.hour * exp(-gone / 3600.0) + weight
            self.day = self.day * exp(-gone / 86_400.0) + weight
            self.ts = now
        else:
            self.minute += weight
            self.ten += weight
            self.hour += weight
            self.day += weight

    def lapse(self, now: float, since: float = 0.0) -> None:
        """What was over for long does not come back with the next of them: call before `add`."""
        over = now - max(since, self.ts) - LULL
        if over > 0.0:
            left = exp(-over / FRESH)
            self.hour *= left
            self.day *= left

    def at(self, now: float) -> Counts:
        gone = now - self.ts
        if gone <= 0.0:
            return (self.minute, self.ten, self.hour, self.day)
        return (
            self.minute * exp(-gone / 60.0),
            self.ten * exp(-gone / 600.0),
            self.hour * exp(-gone / 3600.0),
            self.day * exp(-gone / 86_400.0),
        )

    def fresh(self, now: float, since: float = 0.0) -> Counts:
        """The counts, fading as well with the time since the last of them (or ``since``, if that
        is later): what a host did is context for what it does now, and no verdict for a day.
        """
        counts = self.at(now)
        gone = now - max(since, self.ts)
        if gone <= 0.0:
            return counts
        fade = exp(-gone / FRESH)
        return (counts[0] * fade, counts[1] * fade, counts[2] * fade, counts[3] * fade)


class Distinct:
    """A :class:`DecayedCounts` of distinct things: one that comes again within an hour of its
    last time is not counted again. Remembers at most ``limit`` of them, oldest first out.
    """

    __slots__ = ("counts", "limit", "seen")

    def __init__(self, limit: int = 512) -> None:
        self.limit = limit
        self.seen: dict[tuple[str, str], float] = {}
        self.counts = DecayedCounts()

    def add(self, what: tuple[str, str], now: float, weight: float = 1.0) -> bool:
        """True when it counted."""
        seen = self.seen
        last = seen.pop(what, None)
        seen[what] = now
        if last is not None and now - last < 3600.0:
            return False
        if len(seen) > self.limit:
            del seen[next(iter(seen))]
        self.counts.add(now, weight)
        return True
