"""The local control socket: one JSON line in, one JSON line out.

The socket lies in the state directory and only its owner may open it.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.local_socket import CONTROLLER_SOCKET, listen_locally, peer_of
from response.asker import Peer
from ryu_apps.runtime import hub
from ryu_apps.supervision import Supervisor

LOG = logging.getLogger("septum.control")
MAX_REQUEST = 64 * 1024
TIMEOUT = 10.0

Request = dict[str, Any]
Handle = Callable[[Request, Peer], dict[str, Any]]
"""Answers one request of a process. May raise ValueError, KeyError or TypeError for a malformed
one."""


class ControlServer:
    """Answers requests on the socket of a ``state`` directory with ``handle``."""

    def __init__(self, state: Path, handle: Handle, supervisor: Supervisor) -> None:
        self._state = state
        self._handle = handle
        self._supervisor = supervisor

    def serve(self) -> None:
        """Answer until killed, each connection in a green thread of its own."""
        with listen_locally(self._state, CONTROLLER_SOCKET, backlog=8) as listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError as error:  # such as too many open files: the socket stays open
                    self._supervisor.faults.note("control socket", error)
                    hub.sleep(1.0)
                    continue
                self._supervisor.job("control request", self._answer, connection)

    def close(self) -> None:
        (self._state / CONTROLLER_SOCKET).unlink(missing_ok=True)

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(TIMEOUT)
            try:
                request = json.loads(_read_line(connection))
                answer = self._handle(request, peer_of(connection))
            except (OSError, ValueError, KeyError, TypeError) as error:
                answer = {"ok": False, "error": f"not a request: {error}"}
            except Exception as error:
                self._supervisor.faults.note("control request", error)
                what = f"{type(error).__name__}: {error}"
                answer = {"ok": False, "error": f"{what}; the controller's log has the trace"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                LOG.debug("the client left before the answer")


def _read_line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < MAX_REQUEST:
        more = connection.recv(4096)
        if not more:
            break
        data += more
    return data
