"""Whether a process that was silent for long hangs.

The analysis gives a sign of life each second, and says before a long job what it begins. Between
two signs it may use so much processor time, and be without any for so long: one that works on a
slow machine is told from one that waits for ever or goes round in a circle. Silence is counted in
rounds of whoever listens, so that a controller that was itself away blames nobody.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, a second
ROUNDS = 20  # looks at a process within the shortest limit


@dataclass(frozen=True, slots=True)
class HeartbeatLimits:
    """Seconds between two signs of life: ``silent`` without using the processor, ``cpu`` of the
    processor's time, and ``announced_cpu`` of it for a job that was announced."""

    silent: float = 30.0
    cpu: float = 60.0
    announced_cpu: float = 300.0

    @property
    def every(self) -> float:
        """Seconds from one look to the next."""
        return min(1.0, self.silent / ROUNDS)


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """``cpu`` is the processor time that a process has used, in seconds; ``state`` the kernel's
    letter for what it does."""

    cpu: float
    state: str


def process_use(pid: int) -> ProcessUse | None:
    """As the kernel has it now; None for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = text.rpartition(")")[2].split()
        return ProcessUse((int(fields[11]) + int(fields[12])) / TICKS, fields[0])
    except (OSError, IndexError, ValueError):
        return None


@dataclass(slots=True)
class Heartbeat:
    """The signs of life of one process since its start, which counts as an announced job."""

    limits: HeartbeatLimits
    doing: str = "starting"
    _announced: bool = True
    _since: float = 0.0  # processor time at the last sign
    _used: float = 0.0
    _idle: float = 0.0  # seconds in which it used none
    _fresh: bool = True

    def sign(self, doing: str = "", announced: bool = False) -> None:
        """It said something; what it begins may take long where that is ``announced``."""
        self.doing, self._announced, self._fresh = doing, announced, True

    def look(self, seconds: float, use: ProcessUse) -> str | None:
        """Why it hangs, None where it does not; ``seconds`` since the last look."""
        if self._fresh:
            self._since, self._idle, self._fresh = use.cpu, 0.0, False
        elif use.cpu > self._used:
            self._idle = 0.0
        else:
            self._idle += min(seconds, 2 * self.limits.every)
        self._used = use.cpu
        if self._idle > self.limits.silent:
            what = "it is stopped" if use.state in "Tt" else "it does nothing"
            return f"{what}, {self._idle:.0f} s without a sign of life{self._at()}"
        most = self.limits.announced_cpu if self._announced else self.limits.cpu
        if use.cpu - self._since > most:
            return f"{use.cpu - self._since:.0f} s of work without progress{self._at()}"
        return None

    def _at(self) -> str:
        return f" at: {self.doing}" if self.doing else ""
