"""Running programs inside a host's network namespace, each bounded in time.

Every program gets its own session, so that all it starts can be ended together,
and dies with the process that started it: a killed lab leaves no servers behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/nonexistent"}


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended: exit status (None: ran out of time), output, times of the clock."""

    argv: tuple[str, ...]
    returncode: int | None
    stdout: str
    stderr: str
    started: float
    ended: float

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class Processes:
    """The running programs of one lab; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False

    def start(
        self,
        argv: Sequence[str],
        *,
        pid: int | None = None,
        stdout: IO[str] | int = subprocess.DEVNULL,
        stderr: IO[str] | int = subprocess.DEVNULL,
        directory: Path | None = None,
        environment: dict[str, str] | None = None,
        ending: str = "KILL",
    ) -> subprocess.Popen[str]:
        """Start ``argv``, in the namespaces of process ``pid`` if one is given.

        ``ending`` is the signal it gets when the lab's own process dies.
        """
        command = ["setpriv", "--pdeathsig", ending]
        command += ["mnexec", "-a", str(pid)] if pid is not None else []
        with self._lock:
            if self._closed:
                raise RuntimeError("the lab is being taken down")
            process = subprocess.Popen(
                [*command, *argv],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=directory,
                env=ENVIRONMENT if environment is None else environment,
                start_new_session=True,
                text=True,
                errors="replace",
            )
            self._running.add(process)
        return process

    def run(self, argv: Sequence[str], *, timeout: float, pid: int | None = None) -> Finished:
        """Run ``argv`` to its end or for ``timeout`` seconds, whichever is first."""
        started = time.time()
        process = self.start(argv, pid=pid, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        returncode: int | None
        try:
            out, err = process.communicate(timeout=timeout)
            returncode = process.returncode
        except subprocess.TimeoutExpired:
            kill_group(process)
            out, err = process.communicate()
            returncode = None
        finally:
            self.forget(process)
        return Finished(tuple(argv), returncode, out, err, started, time.time())

    def stop(self, process: subprocess.Popen[str], grace: float = 2.0) -> None:
        """End one program and all its children: SIGTERM first, SIGKILL after ``grace`` seconds."""
        signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        kill_group(process)
        self.forget(process)

    def close(self) -> None:
        """End everything that still runs; nothing can be started afterwards."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            kill_group(process)
        for process in running:
            self.forget(process)

    def forget(self, process: subprocess.Popen[str]) -> None:
        """Drop a program that has ended, with the pipes to it."""
        kill_group(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        with self._lock:
            self._running.discard(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    signal_group(process, signal.SIGKILL)


def signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal a program's whole session group; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
