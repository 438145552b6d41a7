"""The analysis as a process of its own: ``python -m analysis.process``.

The controller starts it with one end of a socket, over which records arrive and commands leave;
people ask it through a second socket in the state directory. It ends when the controller's side
closes, keeping what it learned. See `analysis.event_loop`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from analysis.clock.steady import CLOCK, steady_time
from analysis.composition import PolicyFollower, compose
from analysis.event_loop import MAX_CONNECTIONS, EventLoop, log_line, one_line
from analysis.local_socket import ANALYSIS_SOCKET, listen_locally
from analysis.options import read_options
from response.private_state import make_state
from topology.gc_tuning import collect_rarely

LOCK_WAIT = 15.0  # seconds for the process of a controller that just ended to finish


class StartError(Exception):
    """The process cannot start; the text is one line."""


def lock_state(state: Path) -> int:
    """Wait until no other analysis writes here. Return a file descriptor that holds the lock.

    The lock ends with the process. Raises `StartError` after `LOCK_WAIT` seconds.
    """
    make_state(state)
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
    options, controller = read_options(arguments)
    state = options.state
    # Ctrl-C reaches the whole group; the controller ends us by closing its side.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        link = _connected(controller)
        lock = lock_state(state)
        CLOCK.follow(state)
        now, draw = steady_time(), secrets.token_bytes
        composed = compose(state, options.policy, options.adapt, options.seed, now, draw)
        if composed.problem is not None:
            log_line(composed.problem)
        requests_socket = listen_locally(state, ANALYSIS_SOCKET, MAX_CONNECTIONS)
    except Exception as problem:  # whatever it is: one line, and the controller goes on without
        log_line(f"cannot start: {one_line(problem)}")
        return 2
    follower = PolicyFollower(state, composed.version)
    loop = EventLoop(composed, state, link, requests_socket, follower, lock, options.checkpoint_to)
    signal.signal(signal.SIGTERM, loop.stop)
    collect_rarely()
    try:
        loop.serve(composed.model)
    except Exception as problem:
        if os.environ.get("SEPTUM_DEBUG"):
            raise
        log_line(f"ended by a fault: {type(problem).__name__}: {one_line(problem)}")
        return 2
    finally:
        os.close(lock)
    return 0


def _connected(controller: int | Path) -> socket.socket:
    """The socket to the controller, from its file descriptor or path."""
    if isinstance(controller, int):
        return socket.socket(fileno=controller)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(str(controller))
    return link


if __name__ == "__main__":
    sys.exit(main())
