"""A controller as users start it: ``septum run`` in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from analysis.python_program import command
from mininet_tests.lab.namespace import Processes, kill_group
from mininet_tests.lab.plan import LabError

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """Options of ``septum run``; ``switches`` is the number to wait for before it is ready."""

    policy: Path
    state: Path
    of_port: int
    switches: int
    adapt: bool = True
    extra: tuple[str, ...] = ()

    def command(self, ready: Path) -> list[str]:
        argv = command("console", "run", "--policy", str(self.policy))
        argv += ["--state", str(self.state), "--of-port", str(self.of_port)]
        argv += ["--ready-file", str(ready), "--expect-switches", str(self.switches)]
        return [*argv, *(() if self.adapt else ("--no-adapt",)), *self.extra]

    @property
    def target(self) -> str:
        """Where the switches find it."""
        return f"tcp:{LOOPBACK}:{self.of_port}"


class Controller:
    """One running controller; `start` after `stop` or `kill` restarts it on the same state."""

    def __init__(self, options: ControllerOptions, directory: Path) -> None:
        """``directory`` takes the log and the ready file."""
        self.options = options
        self.log_path = directory / "controller.log"
        self._ready = directory / "controller.ready"
        self._processes = Processes()
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LabError("the controller is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        if not port_is_free(self.options.of_port):
            raise LabError(
                f"port {self.options.of_port} on {LOOPBACK} is in use: choose another (--of-port)"
            )
        self._ready.unlink(missing_ok=True)
        with open(self.log_path, "a", encoding="utf-8") as log:
            self._process = self._processes.start(
                self.options.command(self._ready),
                stdout=log,
                stderr=subprocess.STDOUT,
                environment=dict(os.environ),
                ending="TERM",
            )

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until every expected switch holds its rules; else `LabError` with the log's end."""
        deadline = time.monotonic() + timeout
        while not self._ready.exists():
            if not self.running:
                raise LabError(f"the controller ended at once: {self.last_line()}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"the controller is not ready after {timeout:g} s: {self.last_line()}"
                )
            time.sleep(0.05)

    def stop(self, timeout: float = 10.0) -> int:
        """End it as a user would (TERM); its exit code."""
        process = self._process
        if process is None:
            return 0
        # Only the controller itself is asked: it ends its own children, which is part of the test.
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        self.kill()
        return code

    def kill(self) -> None:
        """SIGKILL, to it and all it started: nothing gets a chance to tidy up."""
        if self._process is not None:
            kill_group(self._process)
            self._processes.forget(self._process)
            self._process = None

    def last_line(self) -> str:
        """The last line of its log, for an error message."""
        lines = self.log.strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
