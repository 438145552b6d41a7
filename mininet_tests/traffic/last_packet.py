"""A steady stream of datagrams, and when it stopped.

::

    python3 last.py send ADDRESS PORT RATE
    python3 last.py receive ADDRESS PORT      # a line at each pause: when the last came

Times are of `time.monotonic`, which all namespaces of a machine share. The
standard library only.
"""

from __future__ import annotations

import select
import socket
import sys
import time

PAUSE = 0.04  # seconds without a datagram


def send(address: str, port: int, rate: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        start, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - start) * rate)
            for _ in range(sent, due):
                door.sendto(b"hostile", (address, port))
            sent = due
            time.sleep(0.0002)


def receive(address: str, port: int) -> None:
    last = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind((address, port))
        while True:
            if select.select([door], [], [], PAUSE if last else None)[0]:
                door.recv(64)
                last = time.monotonic()
            else:
                print(last, flush=True)
                last = 0.0


if __name__ == "__main__":
    what, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "send":
        send(where, number, float(sys.argv[4]))
    else:
        receive(where, number)
