"""Steps of the system's clock, noticed and recorded. They change nothing: nothing goes by it."""

from __future__ import annotations

from dataclasses import dataclass

from response.audit.log import Audit
from response.state.store import Store, StoreError

LEAST = 2.0  # seconds; a leap second, or a correction of pace, is no step
STORED_AS = "system_clock_ahead"
TRY_AGAIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The system's clock was put forward by ``seconds``, or (negative) back; it is ``ahead`` of
    the time that Septum goes by since."""

    seconds: float
    ahead: float

    @property
    def what(self) -> str:
        return "put forward" if self.seconds > 0 else "put back"

    def line(self) -> str:
        """For the log."""
        done = f"the system's clock was {self.what} by {abs(self.seconds):,.0f} s"
        return f"{done}; it is {standing(self.ahead)}"


def standing(ahead: float) -> str:
    """How the system's clock stands to ours, in words that follow "it is"."""
    side = "ahead of" if ahead > 0 else "behind"
    how = "even with" if abs(ahead) < LEAST else f"{abs(ahead):,.0f} s {side}"
    return f"{how} the time that deadlines and intervals go by"


class StepWatch:
    """Compares how far the system's clock is ahead with how far it was at the look before."""

    def __init__(self, ahead: float = 0.0) -> None:
        self._ahead = ahead

    def look(self, ahead: float) -> ClockStep | None:
        """The step since the last look, if there was one. A slow drift is followed silently."""
        seconds = ahead - self._ahead
        self._ahead = ahead
        return ClockStep(seconds, ahead) if abs(seconds) >= LEAST else None


class StepRecord:
    """Puts each step into the audit once, also one that happened while nobody looked."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store, self._audit = store, audit
        self._watch: StepWatch | None = None
        self._waiting: list[ClockStep] = []
        self._try_at = 0.0

    def tick(self, now: float, ahead: float) -> None:
        """Call it now and then, with how far the system's clock is ahead."""
        if self._watch is None:
            self._watch = StepWatch(self._stored())
        if (step := self._watch.look(ahead)) is not None:
            self._waiting.append(step)
        if self._waiting and now >= self._try_at:
            self._record(now)

    def _record(self, now: float) -> None:
        try:
            with self._store.transaction():
                for step in self._waiting:
                    told = {
                        "what": step.what,
                        "seconds": round(step.seconds, 3),
                        "system_ahead": round(step.ahead, 3),
                    }
                    self._audit.append(now, "clock", told)
                self._store.set_meta(STORED_AS, f"{self._waiting[-1].ahead:.3f}")
        except StoreError:  # a full disk: the controller's log and status have it meanwhile
            self._try_at = now + TRY_AGAIN
        else:
            self._waiting.clear()

    def _stored(self) -> float:
        """How far it was ahead by the newest entry."""
        try:
            return float(self._store.meta(STORED_AS) or 0.0)
        except (StoreError, ValueError):
            return 0.0
