"""The controller and its analysis under a system clock that a test moves.

``python -m tests.support.stepped_clock SETTINGS`` is ``ryu_apps``; what the file that
SEPTUM_TEST_STEP names holds is added to the system's clock, in seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

MODULE = "tests.support.stepped_clock"
STEP_FILE = "SEPTUM_TEST_STEP"


def main() -> int:
    """Everything is imported here: the runtime patches the standard library of who imports it."""
    real, step = time.time, Path(os.environ[STEP_FILE])
    time.time = lambda: real() + float(step.read_text())
    if "--socket-fd" in sys.argv:
        from analysis.process import main as analysis

        return analysis()
    from functools import partial

    from ryu_apps.__main__ import main as controller
    from ryu_apps.ipc.analysis_link import AnalysisProgram
    from ryu_apps.launcher import launch

    return controller(partial(launch, analysis=AnalysisProgram(module=MODULE)))


class SteppedController:
    """One running controller, and the clock that it goes by."""

    def __init__(self, directory: Path, policy: Path, port: int) -> None:
        self.state, self.port = directory / "state", port
        self._step = directory / "step"
        self._log = directory / "stepped.log"
        self._settings = {
            "policy_paths": [str(policy)], "state": str(self.state), "port": port,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.step(0.0)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def step(self, seconds: float) -> None:
        """Put the system's clock ahead of the true one, or (negative) behind it."""
        fresh = self._step.with_suffix(".new")
        fresh.write_text(repr(seconds))
        fresh.replace(self._step)

    def start(self) -> None:
        argv = [sys.executable, "-m", MODULE, msgspec.json.encode(self._settings).decode()]
        environment = dict(os.environ, **{STEP_FILE: str(self._step)})
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(argv, stderr=log, stdout=log, env=environment)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


@contextmanager
def stepped(directory: Path, policy: Path, port: int) -> Iterator[SteppedController]:
    controller = SteppedController(directory, policy, port)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


if __name__ == "__main__":
    sys.exit(main())
