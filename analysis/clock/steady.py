"""Seconds since the epoch that pass evenly: the system's clock as it was when a state directory was
first used, and what has elapsed since on a clock that never steps.

All processes on a state directory go by one line, whose `Anchor` is kept in it. The controller
keeps it anew every minute, so that a machine that starts again with a clock behind is seen.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from analysis.clock.system import boot, elapsed, system_time
from response.private_state import read_private

FILE = "clock.json"
MAX_SIZE = 1024  # bytes
KEEP_EVERY = 60.0  # seconds


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``time``, in seconds since the epoch, is when ``elapsed`` seconds since a boot had passed."""

    boot: str
    elapsed: float
    time: float

    def at(self, elapsed: float) -> float:
        return self.time + (elapsed - self.elapsed)


def anchored(kept: Anchor | None, boot: str, elapsed: float, system: float) -> Anchor:
    """The anchor to go by now that the system's clock shows ``system``.

    Since the same boot it is the one ``kept``. After another it is the system's clock, but never
    before the time that was kept: where that clock is behind, what was to last goes on from there.
    """
    if kept is None:
        return Anchor(boot, elapsed, system)
    if boot and kept.boot == boot and elapsed >= kept.elapsed:
        return kept
    return Anchor(boot, elapsed, max(system, kept.time))


def kept_in(state: Path) -> Anchor | None:
    """The anchor in a state directory; None where there is none that can be read."""
    try:
        data = read_private(state / FILE, MAX_SIZE)
        return msgspec.json.decode(data, type=Anchor)
    except (OSError, msgspec.DecodeError):
        return None


class SteadyClock:
    """The clock of this process: its own at first, that of a state directory once it follows it."""

    def __init__(self) -> None:
        self._anchor = anchored(None, boot(), elapsed(), system_time())

    def now(self) -> float:
        return self._anchor.at(elapsed())

    def system_ahead(self) -> float:
        """Seconds that the system's clock is ahead of this one; negative where it is behind."""
        return system_time() - self.now()

    def follow(self, state: Path) -> None:
        """Go by the clock of a state directory from now on."""
        self._anchor = anchored(kept_in(state), boot(), elapsed(), system_time())

    def keep(self, state: Path) -> None:
        """Write down where the clock stands. Raises OSError, and what was kept stays."""
        since = elapsed()
        made = Anchor(self._anchor.boot, since, self._anchor.at(since))
        part = state / f"{FILE}.new"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(made))
        part.replace(state / FILE)


CLOCK = SteadyClock()


def steady_time() -> float:
    """What the time is, in seconds since the epoch, for everything that this process does."""
    return CLOCK.now()


def time_in(state: Path) -> float:
    """What the time is for those who run on a state directory."""
    since = elapsed()
    return anchored(kept_in(state), boot(), since, system_time()).at(since)
