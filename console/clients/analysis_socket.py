"""Client of the running analysis: one `Ask`, one `Answer`, over its socket in the state
directory."""

from __future__ import annotations

import socket
from pathlib import Path

from analysis.local_socket import ANALYSIS_SOCKET, connect_locally
from console.errors import CommandError
from response.ipc.framing import Decoder, FramingError, encode
from response.ipc.messages import Answer, Ask

TIMEOUT = 10.0  # seconds


def ask_analysis(state: Path, ask: Ask) -> Answer:
    """The answer of the analysis that runs on ``state``. Raises `CommandError` when none does."""
    try:
        with connect_locally(state, ANALYSIS_SOCKET, TIMEOUT) as connection:
            connection.sendall(encode(ask))
            return _receive(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        raise CommandError(
            f"no controller runs on {state}; start one with `septum run`, or give its --state"
        ) from None
    except (OSError, FramingError) as problem:
        raise CommandError(f"the analysis on {state} does not answer: {problem}") from None


def _receive(connection: socket.socket) -> Answer:
    decoder = Decoder()
    while data := connection.recv(65536):
        for message in decoder.feed(data):
            if isinstance(message, Answer):
                return message
            raise FramingError(f"{type(message).__name__} is not an answer")
    raise FramingError("it closed the connection")
