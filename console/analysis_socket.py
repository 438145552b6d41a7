"""Asking the running analysis: one `Ask`, one `Answer`, over its socket in the state directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.errors import CommandError
from response.framing import Decoder, FramingError, encode
from response.messages import Answer, Ask

SOCKET_NAME = "analysis.sock"
TIMEOUT = 10.0  # seconds


@contextmanager
def local_address(state: Path) -> Iterator[str]:
    """An address for the socket that fits the 108 bytes a Unix socket's may have, however
    deep the state directory lies."""
    handle = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_NAME}"
    finally:
        os.close(handle)


def ask_analysis(state: Path, ask: Ask) -> Answer:
    """The answer of the analysis that runs on ``state``. Raises `CommandError` when none does."""
    try:
        with (
            local_address(state) as address,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        ):
            connection.settimeout(TIMEOUT)
            connection.connect(address)
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
            raise FramingError(f"{type(message).__name__} is no answer")
    raise FramingError("it closed the connection")
