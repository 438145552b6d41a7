"""Compute on a copy of this process's memory, in a child, while the process continues."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import IO


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """``memory`` in bytes beyond what the process has already, ``cpu`` in seconds."""

    memory: int
    cpu: int

    def apply(self) -> None:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + self.memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu, self.cpu + 1))


class BackgroundCopy:
    """A forked child that computes some bytes; `result` has them when it is done.

    For single-threaded processes only. The child touches nothing but its own memory and one unnamed
    file, and closes ``handles`` (sockets, locks) first, so that it is not mistaken for its parent.
    """

    def __init__(
        self,
        work: Callable[[], bytes],
        handles: tuple[int, ...] = (),
        limits: ChildLimits | None = None,
        seconds: float = inf,
    ) -> None:
        """With ``limits`` the work ends with a MemoryError, or the child is killed, beyond them; it
        is killed after so many ``seconds`` in any case."""
        self._limits = limits
        self._until = time.monotonic() + seconds
        self._file: IO[bytes] = tempfile.TemporaryFile()
        self._pid = os.fork()
        if self._pid == 0:
            self._compute(work, handles)

    def _compute(self, work: Callable[[], bytes], handles: tuple[int, ...]) -> None:
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            for handle in handles:
                os.close(handle)
            os.nice(10)  # the parent comes first
            if self._limits is not None:
                self._limits.apply()
            self._file.write(work())
            self._file.flush()
            code = 0
        finally:
            os._exit(code)  # no clean-up of what belongs to the parent

    def result(self, wait: bool = False) -> tuple[bool, bytes | None]:
        """Whether the child is done, and its bytes (None if it failed). Ask until done."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        while pid == 0:
            if time.monotonic() >= self._until:
                os.kill(self._pid, signal.SIGKILL)
            elif not wait:
                return False, None
            time.sleep(0.01)
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        with self._file as file:
            if status != 0:
                return True, None
            file.seek(0)
            return True, file.read()

    def kill(self) -> None:
        """Kill the child; its bytes are lost."""
        self._until = 0.0
        self.result(wait=True)
