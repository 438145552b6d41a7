"""Traffic between two hosts of a lab, timed; standard library only, so it runs in any namespace.

::

    python3 traffic.py serve ADDRESS PORT              # accept and close
    python3 traffic.py open ADDRESS PORT COUNT         # connections one after the other
    python3 traffic.py stream ADDRESS PORT SECONDS     # one small datagram each 200 µs
    python3 traffic.py listen ADDRESS PORT SECONDS     # when each datagram came

``open`` prints ``{"opened": N, "seconds": S, "waits": [S, …]}`` with each connection's
time from SYN to established; ``listen`` a list of `time.monotonic` seconds.
"""

from __future__ import annotations

import json
import socket
import sys
import time

EVERY = 0.0002  # seconds between datagrams
PATIENCE = 2.0


def serve(address: str, port: int) -> None:
    with socket.create_server((address, port), backlog=4096) as server:
        while True:
            server.accept()[0].close()


def open_many(address: str, port: int, count: int) -> dict[str, object]:
    waits = []
    start = time.monotonic()
    for _ in range(count):
        began = time.monotonic()
        try:
            with socket.create_connection((address, port), timeout=PATIENCE):
                waits.append(time.monotonic() - began)
        except OSError:
            continue
    return {"opened": len(waits), "seconds": time.monotonic() - start, "waits": waits}


def stream(address: str, port: int, seconds: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((address, port))
        due = time.monotonic()
        until = due + seconds
        while due < until:
            try:
                sender.send(b"x" * 32)
            except OSError:
                pass
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))


def listen(address: str, port: int, seconds: float) -> list[float]:
    times = []
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, port))
        receiver.settimeout(0.2)
        while time.monotonic() < until:
            try:
                receiver.recv(2048)
            except TimeoutError:
                continue
            times.append(time.monotonic())
    return times


if __name__ == "__main__":
    what, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "serve":
        serve(where, number)
    elif what == "open":
        print(json.dumps(open_many(where, number, int(sys.argv[4]))))
    elif what == "stream":
        stream(where, number, float(sys.argv[4]))
    else:
        print(json.dumps(listen(where, number, float(sys.argv[4]))))
