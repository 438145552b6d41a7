"""The controller's side of the analysis: a process of its own, fed through a bounded queue.

The controller never waits for it. When the queue is full, the oldest records are
dropped, and the gap is counted and reported with the next message; commands
are never dropped. A process that ends is started again.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

from analysis.options import MODULE, socket_argument
from analysis.python_program import command
from response.ipc.framing import Decoder, FramingError, framed
from response.ipc.messages import Message, Ready, RecordsSeen, Reply, SpoofsSeen, Unsent
from ryu_apps.ipc.restart_pause import RestartPause
from ryu_apps.runtime import hub
from ryu_apps.supervision import Supervisor

LOG = logging.getLogger("septum.analysis")
MAX_EVIDENCE = 20_000  # records and spoofs that wait
BATCH = 500  # messages joined to one at most


Evidence = RecordsSeen | SpoofsSeen


@dataclass(slots=True)
class Outbox:
    """Messages on their way to the analysis; evidence is bounded, everything else is kept.

    ``lost`` counts evidence dropped since it was last reported, ``lost_in_all`` all of it, and
    ``too_large`` other messages that no frame could hold, either way.
    """

    waiting: deque[Message] = field(default_factory=deque)
    evidence: int = 0
    lost: int = 0
    lost_in_all: int = 0
    too_large: int = 0

    def put(self, message: Message) -> None:
        self.evidence += _weight(message)
        self.waiting.append(message)
        while self.evidence > MAX_EVIDENCE:
            self._drop_oldest()

    def leave_out(self, message: Message) -> None:
        """Count a message that no frame can hold; a gap that it should have reported stays due."""
        weight = _weight(message)
        self.lost_in_all += weight
        self.lost += weight + (message.lost if isinstance(message, RecordsSeen) else 0)
        self.too_large += not weight

    def _drop_oldest(self) -> None:
        for index, message in enumerate(self.waiting):
            if weight := _weight(message):
                del self.waiting[index]
                self.evidence -= weight
                self.lost += weight
                self.lost_in_all += weight
                return

    def take(self) -> list[Message]:
        """Everything that waits, neighbouring evidence of one kind in one message."""
        taken: list[Message] = []
        batch: list[Evidence] = []
        while self.waiting:
            message = self.waiting.popleft()
            if batch and (type(batch[0]) is not type(message) or len(batch) >= BATCH):
                taken.append(self._join(batch))
                batch = []
            if isinstance(message, RecordsSeen | SpoofsSeen):
                batch.append(message)
            else:
                taken.append(message)
        if batch:
            taken.append(self._join(batch))
        self.evidence = 0
        return taken

    def give_back(self, messages: list[Message]) -> None:
        """Messages that could not be delivered; they go before what has come since."""
        for message in reversed(messages):
            self.evidence += _weight(message)
            self.waiting.appendleft(message)

    def _join(self, batch: list[Evidence]) -> Message:
        if isinstance(batch[0], SpoofsSeen):
            spoofs = (each.spoofs for each in batch if isinstance(each, SpoofsSeen))
            return SpoofsSeen(tuple(chain.from_iterable(spoofs)))
        records = (each.records for each in batch if isinstance(each, RecordsSeen))
        lost, self.lost = self.lost, 0
        return RecordsSeen(tuple(chain.from_iterable(records)), lost)


def _weight(message: Message) -> int:
    """Records in a message that may be dropped."""
    if isinstance(message, RecordsSeen):
        return len(message.records)
    return len(message.spoofs) if isinstance(message, SpoofsSeen) else 0


@dataclass(frozen=True, slots=True)
class AnalysisProgram:
    """The Python ``module`` that is run as the analysis, with ``arguments`` after the socket's, and
    again ``restart_after`` seconds after it ended."""

    arguments: tuple[str, ...] = ()
    module: str = MODULE
    restart_after: float = 1.0


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
        self.ready = False
        self._wake = hub.Event()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def send(self, message: Message) -> None:
        self.outbox.put(message)
        if not self._wake.is_set():
            self._wake.set()

    def serve(self) -> None:
        """Keep a process running until `close`. Runs in a green thread of its own."""
        restart_pause = RestartPause(self._program.restart_after)
        while not self._closing:
            begun = time.monotonic()
            self._run_once()
            if self._closing:
                break
            pause = restart_pause.after(time.monotonic() - begun, self.ready)
            self.ready = False
            self.restarts += 1
            LOG.error(
                "the analysis ended; starting it again in %g s (enforcement is not affected)", pause
            )
            hub.sleep(pause)

    def close(self) -> None:
        """Close the process's socket, at which it ends by itself; if it does not, end it."""
        self._closing = True
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._end(self._process)

    def _run_once(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection = ours
        arguments = *socket_argument(theirs.fileno()), *self._program.arguments
        os.set_inheritable(theirs.fileno(), True)
        with theirs:
            self._process = subprocess.Popen(
                command(self._program.module, *arguments),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        for message in reversed(self._greeting()):
            self.outbox.waiting.appendleft(message)
        self._wake.set()  # a greeting waits for nothing else
        writer = self._supervisor.job("analysis writer", self._write, ours)
        try:
            self._read(ours)
        finally:
            hub.kill(writer)
            ours.close()
            self._end(self._process)

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
                if isinstance(message, Unsent):
                    self.outbox.too_large += message.messages
                    continue
                if isinstance(message, Ready):
                    self.ready = True
                self._reply_received(message)  # type: ignore[arg-type]

    def _write(self, connection: socket.socket) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            taken = self.outbox.take()
            for index, message in enumerate(taken):
                frames = framed(message)
                for each in frames.left_out:
                    LOG.error("a %s is too large for the analysis: left out", type(each).__name__)
                    self.outbox.leave_out(each)  # type: ignore[arg-type]
                try:
                    connection.sendall(frames.data)
                except OSError:
                    self.outbox.give_back(taken[index:])
                    return

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
