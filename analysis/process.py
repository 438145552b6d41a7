"""The analysis as a process of its own: ``python -m analysis.process``.

The controller starts it with one end of a socket, feeds it messages and hears
commands; people ask it through a second socket in the state directory. It ends
when the controller's side closes, keeping what it learned. Nothing is decided
here: `analysis.pipeline.Analysis` does that.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from analysis.background_copy import BackgroundCopy
from analysis.composition import Composed, PolicyFollower, compose
from analysis.feed_service import FeedService
from analysis.local_socket import ANALYSIS_SOCKET, listen_locally
from policies.language.errors import PolicyError
from response.feed_listing import ListFeed
from response.ipc import messages as m
from response.ipc.framing import AnyMessage, Decoder, FramingError, encode
from response.state.policy_versions import VersionError
from response.state.store import StoreError
from topology.gc_tuning import collect_rarely

TICK = 0.25  # seconds
CHUNK = 50  # records looked at before commands leave
BLOCK = 1 << 16  # bytes read at once; for more the system is asked for fresh memory each time
MAX_ASKERS = 16
MAX_ASK = 64 * 1024  # bytes
LOCK_WAIT = 15.0  # seconds for the process of a controller that just ended to finish


class StartError(Exception):
    """The process cannot start; the text is one line."""


class Shell:
    """Carries messages between two sockets and an `Analysis`, and tells it the time."""

    def __init__(
        self,
        composed: Composed,
        state: Path,
        link: socket.socket,
        door: socket.socket,
        follower: PolicyFollower,
        turn: int,
    ) -> None:
        """``turn`` is the lock that `take_turn` gave."""
        self._turn = turn
        self._analysis, self._audit = composed.analysis, composed.audit
        self._link = link
        self._door = door
        self._follower = follower
        self._decoder = Decoder()
        self._outgoing = bytearray()
        self._askers: dict[socket.socket, Decoder] = {}
        self._selector = selectors.DefaultSelector()
        self._open = True
        self._copy: BackgroundCopy | None = None
        self._feeds = FeedService(
            state, composed.policy, composed.store, composed.audit, _say, self._handles
        )
        self._hold: str | None = None

    def serve(self, model: str) -> None:
        """Until the controller closes its side, or `stop`."""
        self._link.setblocking(False)
        self._door.setblocking(False)
        self._selector.register(self._link, selectors.EVENT_READ)
        self._selector.register(self._door, selectors.EVENT_READ)
        now = time.time()
        commands = self._analysis.start(now)
        self._tell_hold()
        self._send([m.Ready(now, model, self._analysis.active_count), *commands])
        self._seal(now)
        due = time.monotonic() + TICK
        while self._open:
            for key, events in self._selector.select(max(0.0, due - time.monotonic())):
                self._attend(cast("socket.socket", key.fileobj), events)
            if time.monotonic() >= due:
                self._send(self._analysis.tick(time.time()))
                self._send(self._feeds.tick(time.time()))
                self._seal(time.time())
                self._tell_hold()
                self._learned(time.time())
                due = time.monotonic() + TICK
        if self._copy is not None:
            self._copy.result(wait=True)
        self._feeds.close()
        self._analysis.finish(time.time())
        self._seal(time.time(), ending=True)

    def stop(self, *_: object) -> None:
        self._open = False

    def _tell_hold(self) -> None:
        """A line in the log whenever somebody stopped automatic action, or let it go on."""
        hold = self._analysis.hold
        if hold != self._hold:
            self._hold = hold
            by = "goes on" if hold is None else f"is on hold by {hold}"
            _say(f"automatic action {by}")

    def _attend(self, ready: socket.socket, events: int) -> None:
        if ready is self._door:
            self._welcome()
        elif ready is not self._link:
            self._hear_asker(ready)
        else:
            if events & selectors.EVENT_WRITE:
                self._send(())
            if events & selectors.EVENT_READ:
                self._hear_controller()

    # -- the controller --------------------------------------------------------

    def _hear_controller(self) -> None:
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
            if isinstance(message, m.RecordsSeen):
                self._records(message)
            elif isinstance(message, (m.Ready, m.Enforce, m.Release, ListFeed, m.Ask, m.Answer)):
                raise FramingError(f"{type(message).__name__} does not come from a controller")
            else:
                self._send(self._analysis.step(message, time.time()))
                self._feeds.hear(message, time.time())
                if isinstance(message, m.PolicyApplied):
                    self._follow_policy(message)

    def _records(self, message: m.RecordsSeen) -> None:
        """In small parts, so that a decision never waits for the rest of a long message."""
        lost = message.lost
        for start in range(0, max(1, len(message.records)), CHUNK):
            part = m.RecordsSeen(message.records[start : start + CHUNK], lost)
            self._send(self._analysis.step(part, time.time()))
            lost = 0

    def _follow_policy(self, message: m.PolicyApplied) -> None:
        try:
            policy = self._follower.follow(message)
        except (PolicyError, VersionError, OSError) as problem:  # the one before stays in use
            _say(f"the policy that was applied cannot be read: {_one_line(problem)}")
            return
        if policy is not None:
            self._send(self._analysis.use_policy(policy, time.time()))
            self._feeds.use_policy(policy)

    def _send(self, messages: Iterable[m.Reply]) -> None:
        for message in messages:
            self._outgoing += encode(message)
        try:
            while self._outgoing:
                del self._outgoing[: self._link.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._open = False
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        self._selector.modify(self._link, wanted)

    def _learned(self, now: float) -> None:
        """Keep what was learned from time to time; a copy writes it down, nothing waits."""
        if self._copy is None and self._analysis.snapshot_due(now):
            self._copy = BackgroundCopy(self._analysis.snapshot, self._handles())
        elif self._copy is not None:
            done, data = self._copy.result()
            if done:
                self._copy = None
                if data is None:
                    _say("what was learned could not be kept; trying again later")
                else:
                    self._analysis.keep_snapshot(data, now)

    def _seal(self, now: float, ending: bool = False) -> None:
        """Sign what the audit says, now and then; one that cannot be written is tried again."""
        try:
            self._audit.seal(now, ending)
        except (StoreError, OSError) as problem:
            _say(f"the audit's checkpoint cannot be written: {_one_line(problem)}")

    def _handles(self) -> tuple[int, ...]:
        """What belongs to this process alone: its sockets, and the lock that says it is the one
        analysis here, which a child must not hold on to when this process is killed."""
        sockets = (self._link, self._door, *self._askers)
        return (self._turn, *(each.fileno() for each in sockets))

    # -- people ----------------------------------------------------------------

    def _welcome(self) -> None:
        connection, _ = self._door.accept()
        if len(self._askers) >= MAX_ASKERS:
            self._dismiss(next(iter(self._askers)))  # who sits there longest without asking
        connection.settimeout(1.0)
        self._askers[connection] = Decoder(MAX_ASK)
        self._selector.register(connection, selectors.EVENT_READ)

    def _hear_asker(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
            found = self._askers[connection].feed(data)
            for message in found:
                connection.sendall(encode(self._answer(message)))
        except (OSError, FramingError):
            data = b""
        if not data:
            self._dismiss(connection)

    def _dismiss(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._askers[connection]
        connection.close()

    def _answer(self, message: AnyMessage) -> m.Answer:
        if not isinstance(message, m.Ask):
            return m.Answer(False, "not a request")
        if message.what == "refresh":
            return self._feeds.ask(message)
        done = self._analysis.ask(message, time.time())
        self._send(done.commands)
        return m.Answer(done.ok, done.text)


def take_turn(state: Path) -> int:
    """Wait until no other analysis writes here; the lock ends with the process."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(state / "analysis.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LOCK_WAIT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(handle)
                raise StartError(f"{state}: another analysis runs here") from None
            time.sleep(0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; the exit code: 0 when the controller closed, 2 when it cannot run."""
    options = _parser().parse_args(arguments)
    # Ctrl-C reaches the whole group; the controller ends us by closing its side.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        link = _link_of(options)
        turn = take_turn(options.state)
        adapt = not options.no_adapt
        now, draw = time.time(), secrets.token_bytes
        composed = compose(options.state, options.policy, adapt, options.seed, now, draw)
        if composed.problem is not None:
            _say(composed.problem)
        door = listen_locally(options.state, ANALYSIS_SOCKET, MAX_ASKERS)
    except Exception as problem:  # whatever it is: one line, and the controller goes on without
        _say(f"cannot start: {_one_line(problem)}")
        return 2
    follower = PolicyFollower(options.state, composed.version)
    shell = Shell(composed, options.state, link, door, follower, turn)
    signal.signal(signal.SIGTERM, shell.stop)
    collect_rarely()
    try:
        shell.serve(composed.model)
    except Exception as problem:
        if os.environ.get("SEPTUM_DEBUG"):
            raise
        _say(f"ended by a fault: {type(problem).__name__}: {_one_line(problem)}")
        return 2
    finally:
        os.close(turn)
    return 0


def _link_of(options: argparse.Namespace) -> socket.socket:
    if options.socket_fd is not None:
        return socket.socket(fileno=options.socket_fd)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(str(options.socket))
    return link


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.process", description=__doc__)
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--socket-fd", type=int, help="inherited socket to the controller")
    side.add_argument("--socket", type=Path, help="path of the controller's socket")
    parser.add_argument("--state", type=Path, required=True, help="state directory")
    parser.add_argument("--policy", action="append", required=True, help="policy file; repeatable")
    parser.add_argument("--no-adapt", action="store_true", help="alerts only, no decisions")
    parser.add_argument("--seed", type=int, default=0, help="seed of the learners")
    return parser


def _say(line: str) -> None:
    print(f"septum analysis: {line}", file=sys.stderr, flush=True)


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__


if __name__ == "__main__":
    sys.exit(main())
