"""An analysis that hangs is ended and started again; one that works for long is left alone.

Each scenario runs in a Python process of its own, as in `test_analysis_link`, with a real child.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
QUIET = 1.0  # seconds without a sign of life, in place of the half minute of a real start
HANGING = "tests.support.hanging_analysis"


class WatchedLink:
    """A link with a real child that hangs or works as the digest of a policy asks for."""

    def __init__(self, start: str = "ready") -> None:
        from ryu_apps.ipc.analysis_link import AnalysisLink, AnalysisProgram
        from ryu_apps.ipc.heartbeat import HeartbeatLimits
        from ryu_apps.runtime import hub
        from ryu_apps.supervision import Supervisor

        self._hub = hub
        limits = HeartbeatLimits(silent=QUIET, cpu=2 * QUIET, announced_cpu=5 * QUIET)
        program = AnalysisProgram((start,), HANGING, restart_after=0.05, limits=limits)
        self.link = AnalysisLink(program, list, lambda reply: None, Supervisor())
        self.thread = hub.spawn(self.link.serve)

    def send(self, digest: str) -> None:
        from response.ipc.messages import PolicyApplied

        self.link.send(PolicyApplied(1.0, (), digest))

    def until(self, wanted: Any, seconds: float = 20.0) -> float:
        began = time.monotonic()
        while not wanted():
            assert time.monotonic() < began + seconds, self.link.status()
            self._hub.sleep(0.01)
        return time.monotonic() - began

    def for_seconds(self, seconds: float) -> None:
        self._hub.sleep(seconds)


def a_stopped_one_is_ended() -> None:
    running = WatchedLink()
    running.until(lambda: running.link.ready)
    stopped = running.link.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    running.until(lambda: running.link.restarts == 1 and running.link.ready)
    assert running.link.hangs == 1 and "stopped" in running.link.status()["last_end"]
    assert running.link.pid != stopped
    running.link.close()


def an_endless_loop_is_ended() -> None:
    running = WatchedLink()
    running.until(lambda: running.link.ready)
    running.send("loop")
    running.until(lambda: running.link.restarts == 1 and running.link.ready)
    assert running.link.hangs == 1 and "without progress" in running.link.status()["last_end"]
    running.link.close()


def one_that_waits_for_ever_is_ended() -> None:
    running = WatchedLink()
    running.until(lambda: running.link.ready)
    running.send("wait")
    running.until(lambda: running.link.restarts == 1 and running.link.ready)
    assert running.link.hangs == 1
    running.link.close()


def a_long_job_that_was_announced_is_not() -> None:
    running = WatchedLink()
    running.until(lambda: running.link.ready)
    before = running.link.pid
    running.send("work")  # for longer than the limits of a message
    running.for_seconds(4 * QUIET)
    running.send("answer")
    running.until(lambda: running.link.status()["doing"] == "answered")
    assert (running.link.pid, running.link.restarts, running.link.hangs) == (before, 0, 0)
    running.link.close()


def a_long_start_is_not() -> None:
    running = WatchedLink("work")
    took = running.until(lambda: running.link.ready)
    assert took > 3 * QUIET and running.link.restarts == 0
    running.link.close()


def a_start_that_hangs_is_ended() -> None:
    running = WatchedLink("wait")
    running.until(lambda: running.link.restarts == 2)
    assert running.link.hangs == 2 and not running.link.ready
    running.link.close()


def a_controller_that_was_away_itself_does_not_blame_it() -> None:
    running = WatchedLink()
    running.until(lambda: running.link.ready)
    before = running.link.pid
    end = time.monotonic() + 4 * QUIET
    while time.monotonic() < end:  # nothing else runs in this process
        pass
    running.for_seconds(QUIET / 2)
    assert (running.link.pid, running.link.restarts) == (before, 0)
    running.link.close()


@pytest.mark.threat("heartbeat")
@pytest.mark.thorough
@pytest.mark.parametrize(
    "scenario",
    [
        a_stopped_one_is_ended,
        an_endless_loop_is_ended,
        one_that_waits_for_ever_is_ended,
        a_long_job_that_was_announced_is_not,
        a_long_start_is_not,
        a_start_that_hangs_is_ended,
        a_controller_that_was_away_itself_does_not_blame_it,
    ],
)
def test_the_heartbeat(scenario: Any) -> None:
    done = subprocess.run(
        [sys.executable, __file__, scenario.__name__],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    from ryu_apps.runtime import patch_standard_library

    patch_standard_library()
    globals()[sys.argv[1]]()
