"""A talker and an answerer for live tests: one connection that goes on, and new ones knocked.

::

    python3 talk.py answer ADDRESS PORT
    python3 talk.py talk ADDRESS PORT SECONDS [FROM]     # one line each 20 ms on one connection
    python3 talk.py knock ADDRESS PORT SECONDS [FROM]    # a new connection each 100 ms

``talk`` and ``knock`` print one JSON object at their end. It uses the standard
library only, so that it runs in any namespace as it is.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import threading
import time

TALK_EVERY, KNOCK_EVERY, STREAM_EVERY, PATIENCE = 0.02, 0.1, 0.005, 1.0


def answer(address: str, port: int) -> None:
    """Echo whatever comes, on any number of connections, until ended."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=64) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            return


def talk(address: str, port: int, seconds: float, origin: str = "") -> dict[str, float]:
    """Lines sent and answered over one connection, and the longest wait for an answer.

    ``origin`` is the address to speak from.
    """
    sent = answered = 0
    longest = 0.0
    until = time.monotonic() + seconds
    with socket.create_connection((address, port), PATIENCE, (origin, 0)) as connection:
        connection.settimeout(PATIENCE)
        while time.monotonic() < until:
            asked = time.monotonic()
            try:
                sent += 1
                connection.sendall(b"line\n")
                if not connection.recv(4096):
                    break
            except OSError:
                break
            answered += 1
            longest = max(longest, time.monotonic() - asked)
            time.sleep(TALK_EVERY)
    return {"sent": sent, "answered": answered, "longest": longest}


def knock(address: str, port: int, seconds: float, origin: str = "") -> dict[str, float]:
    """New connections tried, and how many exchanged a line; ``origin`` is one's own address."""
    tried = opened = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tried += 1
        try:
            with socket.create_connection((address, port), PATIENCE, (origin, 0)) as connection:
                connection.settimeout(PATIENCE)
                connection.sendall(b"line\n")
                opened += connection.recv(4096) == b"line\n"
        except OSError:
            pass
        time.sleep(KNOCK_EVERY)
    return {"tried": tried, "opened": opened}


def stream(address: str, port: int, seconds: float) -> dict[str, list[float]]:
    """When datagrams of the other end arrived, by the clock; one is sent each 5 ms all the time."""
    with _datagrams(address) as end:
        end.connect((address, port))
        return _exchange(end, seconds)


def hear(address: str, port: int, seconds: float) -> dict[str, list[float]]:
    """The same at the other end, which begins with the first datagram that comes in."""
    with _datagrams(address) as end:
        end.bind((address, port))
        end.settimeout(seconds)
        try:
            _, peer = end.recvfrom(64)
        except OSError:
            return {"arrived": []}
        end.connect(peer)
        return _exchange(end, seconds)


def _datagrams(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def _exchange(end: socket.socket, seconds: float) -> dict[str, list[float]]:
    arrived: list[float] = []
    end.setblocking(False)
    until = time.monotonic() + seconds
    due = time.monotonic()
    while (now := time.monotonic()) < until:
        if now >= due:
            due += STREAM_EVERY
            with contextlib.suppress(OSError):
                end.send(b"datagram")
        if select.select([end], [], [], max(0.0, due - time.monotonic()))[0]:
            with contextlib.suppress(OSError):
                end.recv(64)
                arrived.append(time.time())
    return {"arrived": arrived}


if __name__ == "__main__":
    what, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "answer":
        answer(where, number)
    else:
        seconds = float(sys.argv[4])
        if what in ("hear", "stream"):
            counted: object = {"hear": hear, "stream": stream}[what](where, number, seconds)
        else:
            done = knock if what == "knock" else talk
            counted = done(where, number, seconds, *sys.argv[5:])
        print(json.dumps(counted))
