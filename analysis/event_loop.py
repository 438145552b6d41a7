"""The event loop of the analysis process: two sockets, the clock, and an `Analysis` between.

Nothing is decided here: `analysis.pipeline.Analysis` does that.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from analysis.background_copy import BackgroundCopy
from analysis.checkpoints.sealing import Sealing
from analysis.clock.steady import CLOCK, steady_time
from analysis.clock.steps import StepRecord
from analysis.composition import Composed, PolicyFollower
from analysis.fault_log import FaultLog
from analysis.feed_service import FeedService
from analysis.local_socket import peer_of
from analysis.storage import storage_line
from policies.language.errors import PolicyError
from response.asker import Peer, check_claim
from response.ipc import messages as m
from response.ipc.framing import MAX_FRAME, AnyMessage, Decoder, FramingError, encode, framed
from response.state.policy_versions import VersionError
from response.state.store import StoreError

TICK = 0.25  # seconds
CHUNK = 50  # records looked at before commands leave
BLOCK = 1 << 16  # bytes read at once; for more the system is asked for fresh memory each time
SIGN_EVERY = 1.0  # seconds
COPY_SECONDS = 300.0  # after which the writing of a snapshot is given up
MAX_OUTGOING = 2 * MAX_FRAME  # bytes that wait for a controller that does not read
MAX_CONNECTIONS = 16  # of people who ask
FROM_OTHERS = (
    m.Reply, m.Beside, m.Ask, m.FlowsCollected, m.Answer, m.ProofWanted, m.ProofFound,
)  # fmt: skip
MAX_REQUEST = 64 * 1024  # bytes


class EventLoop:
    """Carries messages between two sockets and an `Analysis`, and passes it the time."""

    def __init__(
        self,
        composed: Composed,
        state: Path,
        link: socket.socket,
        requests_socket: socket.socket,
        follower: PolicyFollower,
        lock: int,
        checkpoint_to: Sequence[str] = (),
    ) -> None:
        """``lock`` is the file that `analysis.process.lock_state` opened."""
        self._lock = lock
        self._analysis, self._audit = composed.analysis, composed.audit
        self._link = link
        self._requests_socket = requests_socket
        self._follower = follower
        self._decoder = Decoder()
        self._outgoing = bytearray()
        self._connections: dict[socket.socket, Decoder] = {}
        self._selector = selectors.DefaultSelector()
        self._open = True
        self._copy: BackgroundCopy | None = None
        self._feeds = FeedService(
            state, composed.policy, composed.store, composed.audit, log_line, self._open_files
        )
        self._hold: str | None = None
        self._storage_problem: str | None = None
        self._steps = StepRecord(composed.store, composed.audit)
        self._sealing = Sealing(composed, checkpoint_to, log_line)
        self.faults = FaultLog(log_line, time.monotonic)
        self._analysis.note_fault = self.faults.note
        self._signed = 0.0  # when the last sign of life was given
        self._work = (
            self._tick, self._tick_feeds, self._seal_now, self._log_hold, self._snapshot,
            self._storage_now, self._watch_clock,
        )  # fmt: skip

    def serve(self, model: str) -> None:
        """Run until the controller closes its side, or `stop`."""
        self._link.setblocking(False)
        self._requests_socket.setblocking(False)
        self._selector.register(self._link, selectors.EVENT_READ)
        self._selector.register(self._requests_socket, selectors.EVENT_READ)
        now = steady_time()
        commands = self._analysis.start(now)
        self._log_hold()
        self._send([m.Ready(now, model, self._analysis.active_count), *commands])
        self._sealing.tick(now)
        self._report_storage(now)
        due = time.monotonic() + TICK
        while self._open:
            self._sign()
            for key, events in self._selector.select(max(0.0, due - time.monotonic())):
                self._dispatch(cast("socket.socket", key.fileobj), events)
            if time.monotonic() >= due:
                for work in self._work:
                    with self.faults.surviving("clock"):
                        work()
                due = time.monotonic() + TICK
        if self._copy is not None:
            self._copy.result(wait=True)
        self._feeds.close()
        self._analysis.finish(steady_time())
        self._sealing.close(steady_time())
        self._report_storage(steady_time())

    def _sign(self) -> None:
        """Give a sign of life each second, unless nobody takes what was sent before."""
        now = time.monotonic()
        if now - self._signed >= SIGN_EVERY and not self._outgoing:
            self._signed = now
            self._send([m.Alive()])

    def _begin(self, doing: str) -> None:
        """Say what is begun, which may take long; the next sign of life ends it."""
        self._signed = 0.0
        self._send([m.Alive(doing, True)])

    def stop(self, *_: object) -> None:
        self._open = False

    def _log_hold(self) -> None:
        """Log whenever automatic action is put on hold or resumed."""
        hold = self._analysis.hold
        if hold != self._hold:
            self._hold = hold
            by = "goes on" if hold is None else f"is on hold by {hold}"
            log_line(f"automatic action {by}")

    def _tick(self) -> None:
        self._send(self._analysis.tick(steady_time()))

    def _tick_feeds(self) -> None:
        self._send(self._feeds.tick(steady_time()))

    def _seal_now(self) -> None:
        self._sealing.tick(steady_time())

    def _snapshot(self) -> None:
        self._keep_snapshot(steady_time())

    def _storage_now(self) -> None:
        self._report_storage(steady_time())

    def _watch_clock(self) -> None:
        self._steps.tick(steady_time(), CLOCK.system_ahead())

    def _dispatch(self, ready: socket.socket, events: int) -> None:
        if ready is self._requests_socket:
            with self.faults.surviving("requests"):
                self._accept()
        elif ready is not self._link:
            self._read_request(ready)
        else:
            if events & selectors.EVENT_WRITE:
                self._send(())
            if events & selectors.EVENT_READ:
                self._read_controller()

    # -- the controller --------------------------------------------------------

    def _read_controller(self) -> None:
        try:
            data = self._link.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._open = False
            return
        for message in self._decoder.feed(data):
            if isinstance(message, FROM_OTHERS):
                raise FramingError(f"{type(message).__name__} does not come from a controller")
            self._process(message)

    def _process(self, message: m.Message) -> None:
        """Process a message; what raises is counted and passed over."""
        if isinstance(message, m.RecordsSeen):
            self._process_records(message)
            return
        with self.faults.surviving(type(message).__name__):
            self._send(self._analysis.step(message, steady_time()))
        with self.faults.surviving("feeds"):
            self._feeds.hear(message, steady_time())
        if isinstance(message, m.PolicyApplied):
            with self.faults.surviving("policy"):
                self._follow_policy(message)

    def _process_records(self, message: m.RecordsSeen) -> None:
        """Receive in small parts, so that a decision never waits for the rest of a long message."""
        lost = message.lost
        for start in range(0, max(1, len(message.records)), CHUNK):
            self._sign()
            part = m.RecordsSeen(message.records[start : start + CHUNK], lost)
            with self.faults.surviving("records"):
                self._send(self._analysis.step(part, steady_time()))
            lost = 0

    def _follow_policy(self, message: m.PolicyApplied) -> None:
        try:
            self._begin("reading another policy")
            policy = self._follower.follow(message)
        except (PolicyError, VersionError, OSError) as problem:  # the one before stays in use
            log_line(f"the policy that was applied cannot be read: {one_line(problem)}")
            return
        if policy is not None:
            self._begin("following another policy")
            self._send(self._analysis.use_policy(policy, steady_time()))
            self._feeds.use_policy(policy)

    def _send(self, messages: Iterable[m.Reply | m.Beside]) -> None:
        for message in messages:
            frames = framed(message)
            self._outgoing += frames.data
            for each in frames.left_out:
                log_line(f"a {type(each).__name__} is too large for the controller: left out")
                self._outgoing += encode(m.Unsent(1))
        try:
            while self._outgoing:
                del self._outgoing[: self._link.send(self._outgoing)]
        except BlockingIOError:
            if len(self._outgoing) > MAX_OUTGOING:
                log_line("the controller takes nothing any more: ending")
                self._open = False
                return
        except OSError:
            self._open = False
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        self._selector.modify(self._link, wanted)

    def _keep_snapshot(self, now: float) -> None:
        """Store a model snapshot at intervals; a forked copy writes it without blocking."""
        if self._copy is None and self._analysis.snapshots.due(now):
            try:
                self._copy = BackgroundCopy(
                    self._analysis.snapshots.take, self._open_files(), seconds=COPY_SECONDS
                )
            except OSError as problem:
                log_line(f"what was learned could not be kept: {one_line(problem)}")
        elif self._copy is not None:
            done, data = self._copy.result()
            if done:
                self._copy = None
                if data is None:
                    log_line("what was learned could not be kept; trying again later")
                else:
                    try:
                        self._analysis.snapshots.keep(data, now)
                    except StoreError as problem:
                        self._analysis.not_stored("models", problem, now)

    def _report_storage(self, now: float) -> None:
        """Tell the controller, and the log, whether the store takes what it is given."""
        report = self._analysis.storage.report(now)
        if report is not None:
            if (report.problem is None) != (self._storage_problem is None) or not self._open:
                log_line(storage_line(report))
            self._storage_problem = report.problem
            self._send([report])

    def _open_files(self) -> tuple[int, ...]:
        """What belongs to this process alone: its sockets, and the lock that makes it the one
        analysis here, which a child must not hold on to when this process is killed."""
        sockets = (self._link, self._requests_socket, *self._connections)
        return (self._lock, *(each.fileno() for each in sockets))

    # -- people ----------------------------------------------------------------

    def _accept(self) -> None:
        connection, _ = self._requests_socket.accept()
        if len(self._connections) >= MAX_CONNECTIONS:
            self._disconnect(next(iter(self._connections)))  # who sits there longest without asking
        connection.settimeout(1.0)
        self._connections[connection] = Decoder(MAX_REQUEST)
        self._selector.register(connection, selectors.EVENT_READ)

    def _read_request(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
            found = self._connections[connection].feed(data)
            for message in found:
                connection.sendall(encode(self._answer(message, peer_of(connection))))
        except (OSError, FramingError):
            data = b""
        except Exception as error:  # who asks is told by the end of the connection
            self.faults.note("requests", error)
            data = b""
        if not data:
            self._disconnect(connection)

    def _disconnect(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._connections[connection]
        connection.close()

    def _answer(self, message: AnyMessage, peer: Peer) -> m.Answer:
        if isinstance(message, m.FlowsCollected):
            self._send(self._analysis.collect(message, steady_time()))
            return m.Answer(True, "")
        if not isinstance(message, m.Ask):
            return m.Answer(False, "not a request")
        try:
            check_claim(message.by, message.note)
        except ValueError as problem:
            return m.Answer(False, str(problem))
        if message.what in ("refresh", "accept"):
            with self._audit.on_behalf_of(peer):
                return self._feeds.ask(message, steady_time())
        with self._audit.on_behalf_of(peer):
            done = self._analysis.ask(message, steady_time())
        self._send(done.commands)
        return m.Answer(done.ok, done.text)


def log_line(line: str) -> None:
    print(f"septum analysis: {line}", file=sys.stderr, flush=True)


def one_line(problem: Exception) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
