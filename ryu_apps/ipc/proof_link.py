"""The controller's side of the prover: a process of its own, asked one thing at a time.

Whoever asks waits in its own green thread, never the loop. A process that ended is started again
with the next question.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from pathlib import Path

from analysis.python_program import command
from proving.options import MODULE, arguments
from response.ipc.framing import Decoder, FramingError, encode
from response.ipc.messages import ProofFound, ProofWanted
from ryu_apps.runtime import hub

LOG = logging.getLogger("septum.proof")


class ProverEnded(RuntimeError):
    """The prover's process ended, or sent what cannot be read, before it answered."""


class ProofLink:
    """Starts the prover, asks it, and keeps an answer that came too late for the next asker."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._turn = hub.Semaphore()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._decoder = Decoder()
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ask(self, wanted: ProofWanted, seconds: float) -> ProofFound | None:
        """The answer; None where it has not come after so many seconds, which says nothing about
        the rules. Raises ProverEnded, where a prover that was started for it ended as well."""
        until = time.monotonic() + seconds
        if not self._turn.acquire(timeout=seconds):
            return None
        try:
            starts = self.starts
            while True:
                try:
                    return self._ask_once(wanted, until)
                except TimeoutError:
                    return None
                except (OSError, FramingError) as problem:
                    self._forget()
                    if self.starts > starts:
                        raise ProverEnded(f"the prover ended: {problem}") from None
        finally:
            self._turn.release()

    def _ask_once(self, wanted: ProofWanted, until: float) -> ProofFound:
        connection = self._connected()
        connection.settimeout(max(0.0, until - time.monotonic()) + 0.01)
        connection.sendall(encode(wanted))
        return self._answer(connection, wanted.number, until)

    def _answer(self, connection: socket.socket, number: int, until: float) -> ProofFound:
        while True:
            connection.settimeout(max(0.0, until - time.monotonic()) + 0.01)
            data = connection.recv(1 << 16)
            if not data:
                raise OSError("it closed its socket")
            for each in self._decoder.feed(data):
                # What was asked for too impatiently before comes first.
                if isinstance(each, ProofFound) and each.number == number:
                    return each

    def _connected(self) -> socket.socket:
        if self._connection is not None and self._process is not None:
            if self._process.poll() is None:
                return self._connection
            self._forget()
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        with theirs:
            self._process = subprocess.Popen(
                command(MODULE, *arguments(self._state, theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection, self._decoder = ours, Decoder()
        self.starts += 1
        return ours

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None

    def close(self) -> None:
        """End the process, whatever it is at: it has nothing to lose."""
        self._forget()
