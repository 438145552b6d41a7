"""A talker and an answerer for live tests: one connection that goes on, and new ones knocked.

::

    python3 talk.py answer ADDRESS PORT
    python3 talk.py talk ADDRESS PORT SECONDS [FROM]     # one line each 20 ms on one connection
    python3 talk.py knock ADDRESS PORT SECONDS [FROM]    # a new connection each 100 ms

``talk`` and ``knock`` print one JSON object at their end. It uses the standard
library only, so that it runs in any namespace as it is.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

TALK_EVERY, KNOCK_EVERY, PATIENCE = 0.02, 0.1, 1.0


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


if __name__ == "__main__":
    what, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "answer":
        answer(where, number)
    else:
        seconds = float(sys.argv[4])
        done = knock if what == "knock" else talk
        print(json.dumps(done(where, number, seconds, *sys.argv[5:])))
