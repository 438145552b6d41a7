"""Numbered datagrams between hosts, every one of them counted.

::

    python3 stream.py receive ADDRESS PORT[,PORT…] SECONDS   # prints what came, by port
    python3 stream.py send ADDRESS PORT RATE SECONDS         # from 32 ports; prints how many

The standard library only, so that it runs in any namespace as it is. A
datagram's number is unique, so one that arrives twice counts once.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

SOURCES = 32  # connections that one sender keeps up at a time
RENEW = 2_000  # datagrams after which a source gives way to a new one: new connections too
BURST = 0.002  # seconds between two looks at the clock
BUFFER = 1 << 22
FORCED_BUFFER = 33  # SO_RCVBUFFORCE of Linux: whatever the machine's limit


def receive(address: str, ports: list[int], seconds: float) -> dict[str, int]:
    """Different datagrams that arrived at each port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    doors = {}
    for port in ports:
        door = socket.socket(family, socket.SOCK_DGRAM)
        door.setsockopt(socket.SOL_SOCKET, FORCED_BUFFER, BUFFER)
        door.bind((address, port))
        doors[door.fileno()] = (door, port)
    seen: dict[int, set[bytes]] = {port: set() for port in ports}
    print("ready", flush=True)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for handle in select.select(list(doors), [], [], left)[0]:
            door, port = doors[handle]
            seen[port].add(door.recv(64))
    return {str(port): len(numbers) for port, numbers in seen.items()}


def send(address: str, port: int, rate: float, seconds: float) -> int:
    """How many were sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sources = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(SOURCES)]
    start = time.monotonic()
    sent = 0
    while (now := time.monotonic() - start) < seconds:
        for number in range(sent, int(now * rate)):
            source = sources[number % SOURCES]
            if number // SOURCES % RENEW == RENEW - 1:
                source.close()
                source = sources[number % SOURCES] = socket.socket(family, socket.SOCK_DGRAM)
            source.sendto(number.to_bytes(8, "big"), (address, port))
            sent = number + 1
        time.sleep(BURST)
    return sent


if __name__ == "__main__":
    what, where, number = sys.argv[1], sys.argv[2], sys.argv[3]
    if what == "receive":
        ports = [int(each) for each in number.split(",")]
        print(json.dumps(receive(where, ports, float(sys.argv[4]))))
    else:
        print(json.dumps(send(where, int(number), float(sys.argv[4]), float(sys.argv[5]))))
