"""What the machine's clocks show. The system's clock may be put forward or back at any moment;
it is read here and nowhere else, and `analysis.clock.steady` makes of it what others go by.
"""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_time() -> float:
    """Seconds since the epoch, as the machine has it now."""
    return time.time()


def clock_of_day() -> str:
    """For a person's log: date and time of this machine's zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def elapsed() -> float:
    """Seconds since the machine was started. The time that it was suspended counts; steps of the
    system's clock do not, and corrections of its pace change both alike."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot() -> str:
    """Which start of the machine this is; "" where the system does not number them."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
