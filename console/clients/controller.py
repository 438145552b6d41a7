"""Client of a running controller: one JSON line each way over its socket in the state directory."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from analysis.local_socket import CONTROLLER_SOCKET, connect_locally
from console.errors import CommandError

TIMEOUT = 10.0


def ask_controller(
    state: Path, request: dict[str, Any], timeout: float = TIMEOUT
) -> dict[str, Any]:
    """The controller's answer. Raises CommandError when none runs or it refuses."""
    try:
        with connect_locally(state, CONTROLLER_SOCKET, timeout) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = _receive(connection)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise CommandError(
            f"no controller runs on {state}; start one with `septum run`, or give its --state"
        ) from error
    except (OSError, ValueError) as error:
        raise CommandError(f"the controller on {state} does not answer: {error}") from error
    if not answer.get("ok") and "error" in answer:
        raise CommandError(f"the controller refused: {answer['error']}")
    return answer


def _receive(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while more := connection.recv(65536):
        data += more
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("an answer that is not an object")
    return answer
