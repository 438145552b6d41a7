"""The controller's side of the analysis: a process of its own, fed through a bounded queue.

The controller never waits for it: what it does not take is dropped and counted
(`ryu_apps.ipc.outbox`). A process that ends is started again, and so is one that hangs
(`ryu_apps.ipc.heartbeat`).
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from analysis.options import MODULE, socket_argument
from analysis.python_program import command
from response.ipc.framing import Decoder, FramingError, framed
from response.ipc.messages import Alive, Message, Ready, Reply, Unsent
from ryu_apps.ipc.heartbeat import Heartbeat, HeartbeatLimits, process_use
from ryu_apps.ipc.outbox import Outbox
from ryu_apps.ipc.restart_pause import RestartPause
from ryu_apps.runtime import hub
from ryu_apps.supervision import Supervisor

LOG = logging.getLogger("septum.analysis")


@dataclass(frozen=True, slots=True)
class AnalysisProgram:
    """The Python ``module`` that is run as the analysis, with ``arguments`` after the socket's, and
    again ``restart_after`` seconds after it ended."""

    arguments: tuple[str, ...] = ()
    module: str = MODULE
    restart_after: float = 1.0
    limits: HeartbeatLimits = HeartbeatLimits()


class AnalysisLink:
    """Starts, feeds and restarts the analysis process, and receives its replies.

    ``greeting`` gives the messages that a fresh process must receive first;
    ``reply_received`` takes each reply.
    """

    def __init__(
        self,
        program: AnalysisProgram,
        greeting: Callable[[], list[Message]],
        reply_received: Callable[[Reply], None],
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._program = program
        self._greeting = greeting
        self._reply_received = reply_received
        self.outbox = Outbox()
        self.restarts = 0
        self.hangs = 0
        self.last_end = ""  # why the process before this one was ended, or ended
        self.ready = False
        self._heart = Heartbeat(program.limits)
        self._wake = hub.Event()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def status(self) -> dict[str, Any]:
        """For ``septum status``."""
        return {
            "pid": self.pid,
            "ready": self.ready,
            "restarts": self.restarts,
            "hangs": self.hangs,
            "last_end": self.last_end,
            "doing": self._heart.doing,
        }

    def send(self, message: Message) -> None:
        self.outbox.put(message)
        if not self._wake.is_set():
            self._wake.set()

    def serve(self) -> None:
        """Keep a process running until `close`. Runs in a green thread of its own."""
        restart_pause = RestartPause(self._program.restart_after)
        while not self._closing:
            begun = time.monotonic()
            hung = self._run_once()
            if self._closing:
                break
            pause = restart_pause.after(time.monotonic() - begun, self.ready)
            self.ready = False
            self.restarts += 1
            self.hangs += hung is not None
            self.last_end = "it ended by itself" if hung is None else f"ended: {hung}"
            LOG.error(
                "the analysis %s; starting it again in %g s (enforcement is not affected)",
                "ended" if hung is None else f"was ended: {hung}", pause,
            )  # fmt: skip
            hub.sleep(pause)

    def close(self) -> None:
        """Close the process's socket, at which it ends by itself; if it does not, end it."""
        self._closing = True
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._end(self._process)

    def _run_once(self) -> str | None:
        """Start a process and serve it until it ends; why it had to be ended, None where it did
        that by itself."""
        ours, theirs = socket.socketpair()
        self._connection = ours
        arguments = *socket_argument(theirs.fileno()), *self._program.arguments
        os.set_inheritable(theirs.fileno(), True)
        with theirs:
            process = self._process = subprocess.Popen(
                command(self._program.module, *arguments),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._heart = Heartbeat(self._program.limits)
        hung: list[str] = []
        self._wake.set()  # a greeting waits for nothing else
        writer = self._supervisor.job("analysis writer", self._write, ours)
        watch = self._supervisor.job("analysis watch", self._watch, process.pid, ours, hung)
        try:
            self._read(ours)
        finally:
            hub.kill(watch)
            hub.kill(writer)
            ours.close()
            if hung:
                process.kill()
            self._end(process)
        return hung[0] if hung else None

    def _watch(self, pid: int, connection: socket.socket, hung: list[str]) -> None:
        """Close the connection to a process that hangs, and say why."""
        limits, last = self._program.limits, time.monotonic()
        while True:
            hub.sleep(limits.every)
            now, use = time.monotonic(), process_use(pid)
            problem = None if use is None else self._heart.look(now - last, use)
            last = now
            if problem is not None:
                hung.append(problem)
                connection.shutdown(socket.SHUT_RDWR)
                return

    def _read(self, connection: socket.socket) -> None:
        decoder = Decoder()
        while not self._closing:
            try:
                data = connection.recv(65536)
                messages = decoder.feed(data) if data else []
            except (OSError, FramingError) as error:
                LOG.error("the analysis sent what cannot be read: %s", error)
                return
            if not data:
                return
            for message in messages:
                if isinstance(message, Alive):
                    self._heart.sign(message.doing, message.long)
                    continue
                self._heart.sign()
                if isinstance(message, Unsent):
                    self.outbox.too_large += message.messages
                    continue
                if isinstance(message, Ready):
                    self.ready = True
                self._reply_received(message)  # type: ignore[arg-type]

    def _write(self, connection: socket.socket) -> None:
        """Send the greeting, then what waits; a connection that takes nothing more is closed."""
        waiting = self._greeting()
        greeting = len(waiting)  # belongs to this process alone
        try:
            while True:
                while waiting:
                    self._deliver(connection, waiting[0])
                    del waiting[0]
                    greeting = max(0, greeting - 1)
                self._wake.wait()
                self._wake.clear()
                waiting = self.outbox.take()
        except OSError:
            pass  # it takes nothing more
        except Exception:
            if waiting:  # what cannot be sent must not stand in the next one's way
                self.outbox.leave_out(waiting.pop(0))
                greeting = max(0, greeting - 1)
            raise
        finally:
            with suppress(OSError):  # without a writer the process would wait for ever
                connection.shutdown(socket.SHUT_RDWR)
            self.outbox.give_back(waiting[greeting:])

    def _deliver(self, connection: socket.socket, message: Message) -> None:
        frames = framed(message)
        for each in frames.left_out:
            LOG.error("a %s is too large for the analysis: left out", type(each).__name__)
            self.outbox.leave_out(each)  # type: ignore[arg-type]
        connection.sendall(frames.data)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """Wait for the process; one that does not end by itself is terminated."""
        for signal_it in (None, process.terminate, process.kill):
            if signal_it is not None:
                signal_it()
            for _ in range(200):
                if process.poll() is not None:
                    return
                hub.sleep(0.02)
