"""The collector's sockets: datagrams from exporters in, records to the running analysis out."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from analysis.clock.steady import steady_time
from analysis.collector.flow_collector import FlowCollector
from analysis.local_socket import ANALYSIS_SOCKET, connect_to
from response.ipc.framing import Decoder, FramingError, encode
from response.ipc.messages import Answer, FlowsCollected

BATCH = 200  # records of one message
AT_ONCE = 500  # datagrams read before records are handed on
PAUSE = 0.25  # seconds
ANSWER_WITHIN = 5.0
TRY_AGAIN = 1.0
TELL_EVERY = 5.0  # seconds between counts, also where no record came
BUFFER = 4 << 20  # bytes that the kernel may hold for us
MAX_DATAGRAM = 65_535


class CollectorProcess:
    """Carries datagrams from ``listener`` to the analysis of a ``state`` directory."""

    def __init__(
        self, collector: FlowCollector, listener: socket.socket, state: Path,
        log: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._collector, self._listener, self._state, self._log = collector, listener, state, log
        self._connection: socket.socket | None = None
        self._decoder = Decoder()
        self._try_at = self._told_at = 0.0

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Run until ``stopped``."""
        self._listener.settimeout(PAUSE)
        while not stopped():
            self._receive()
            self._collector.due(steady_time())
            self._hand_on()
        if self._connection is not None:
            self._connection.close()

    def _receive(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, address = self._listener.recvfrom(MAX_DATAGRAM)
            except (TimeoutError, BlockingIOError, InterruptedError):
                break
            self._collector.take(data, address[0].partition("%")[0], steady_time())
            self._listener.settimeout(0.0)
        self._listener.settimeout(PAUSE)

    def _hand_on(self) -> None:
        """Send what waits. What the analysis has not answered for is sent again."""
        now = time.monotonic()
        while now >= self._try_at:
            records = self._collector.next(BATCH)
            if not records and now - self._told_at < TELL_EVERY:
                return
            collector = self._collector
            lost = (collector.dropped, collector.unlisted, collector.repeated)
            if not self._sent(FlowsCollected(records, collector.counts(), *lost)):
                self._try_at = now + TRY_AGAIN
                return
            self._told_at = now
            collector.taken(len(records))
            if len(records) < BATCH:
                return

    def _sent(self, message: FlowsCollected) -> bool:
        """Whether the analysis took it."""
        try:
            if self._connection is None:
                self._connection = connect_to(self._state, ANALYSIS_SOCKET, ANSWER_WITHIN)
                self._decoder = Decoder()
                self._log(f"records go to the analysis on {self._state}")
            self._connection.sendall(encode(message))
            while data := self._connection.recv(65_536):
                for answer in self._decoder.feed(data):
                    if isinstance(answer, Answer):
                        return answer.ok
            raise ConnectionResetError("it closed the connection")
        except (OSError, FramingError) as problem:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._log(f"the analysis on {self._state} takes no records: {problem}")
            return False


def listening(host: str, port: int) -> socket.socket:
    """A socket for datagrams. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_DGRAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
