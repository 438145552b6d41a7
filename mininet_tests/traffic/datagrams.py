"""Large datagrams for live tests, which travel in fragments.

::

    python3 datagrams.py echo ADDRESS PORT                      # until ended
    python3 datagrams.py ask ADDRESS PORT SIZE COUNT            # prints how many came back whole

It uses the standard library only, so that it runs in any namespace as it is.
"""

from __future__ import annotations

import os
import socket
import sys

PATIENCE = 0.5


def _end(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def echo(address: str, port: int) -> None:
    with _end(address) as end:
        end.bind((address, port))
        while True:
            data, peer = end.recvfrom(65535)
            end.sendto(data, peer)


def ask(address: str, port: int, size: int, count: int) -> int:
    back = 0
    with _end(address) as end:
        end.settimeout(PATIENCE)
        end.connect((address, port))
        for _ in range(count):
            data = os.urandom(size)
            try:
                end.send(data)
                back += end.recv(65535) == data
            except OSError:
                continue
    return back


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(sys.argv[2], int(sys.argv[3]))
    else:
        print(ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])))
