"""Local sockets in the state directory, accessible to its owner only."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from response.asker import Peer
from response.private_state import check_state

CONTROLLER_SOCKET = "controller.sock"
ANALYSIS_SOCKET = "analysis.sock"
OWNER_ONLY = 0o177  # as a umask
NOBODY_LOGGED_IN = 0xFFFF_FFFF
_CREDENTIALS = struct.Struct("3i")  # process, user and group id


@contextmanager
def local_address(state: Path, name: str) -> Iterator[str]:
    """An address that fits the 108 bytes a Unix socket's may have, however deep ``state`` lies."""
    handle = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{name}"
    finally:
        os.close(handle)


def listen_locally(state: Path, name: str, backlog: int) -> socket.socket:
    """A listening socket ``name`` in ``state``; replaces one left by an earlier process."""
    (state / name).unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(OWNER_ONLY)
    try:
        with local_address(state, name) as address:
            door.bind(address)
    finally:
        os.umask(before)
    door.listen(backlog)
    return door


def connect_to(state: Path, name: str, timeout: float) -> socket.socket:
    """As `connect_locally`, for a connection that lasts."""
    check_state(state)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with local_address(state, name) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def connect_locally(state: Path, name: str, timeout: float) -> Iterator[socket.socket]:
    """A connection to socket ``name`` in ``state``. Raises OSError without a listener, and
    StateRefused where the directory is not the user's alone."""
    with connect_to(state, name, timeout) as connection:
        yield connection


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end, by the kernel: the user as of connecting, the login as of now."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, uid, _ = _CREDENTIALS.unpack(data)
    try:
        login = int(Path(f"/proc/{process}/loginuid").read_text())
    except (OSError, ValueError):
        return Peer(uid)
    return Peer(uid, None if login == NOBODY_LOGGED_IN else login)
