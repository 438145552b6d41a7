"""Bytes on their way to one switch."""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from ryu_apps.supervision import Supervisor

LOG = logging.getLogger("septum")
MOST_WAITING = 256 << 20  # bytes: more than the rules of the largest feeds


class Receiver(Protocol):
    """A connection: ``send`` waits until it takes the bytes."""

    def send(self, data: bytes) -> object: ...
    def close(self) -> None: ...


class Outgoing:
    """Bytes for one switch, sent in order; sending never blocks the caller. A switch that does not
    take them loses its connection."""

    def __init__(self, connection: Receiver, supervisor: Supervisor) -> None:
        self._connection = connection
        self._supervisor = supervisor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._sending = False
        self._given_up = False

    @property
    def waiting(self) -> int:
        """Bytes that the connection has not taken."""
        return self._size

    def send(self, data: bytes) -> None:
        if self._given_up:
            return
        if self._size > MOST_WAITING:
            self._given_up, self._size = True, 0
            self._waiting.clear()
            LOG.error("a switch does not read what it is sent: its connection ends")
            self._connection.close()
            return
        self._waiting.append(data)
        self._size += len(data)
        if not self._sending:
            self._sending = True
            self._supervisor.job("switch sender", self._drain)

    def _drain(self) -> None:
        try:
            while self._waiting:
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._connection.send(data)
                self._size = max(0, self._size - len(data))
        finally:
            self._sending = False
