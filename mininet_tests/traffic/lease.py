"""A DHCP client for live tests: asks by broadcast, prints the address that it was given.

::

    python3 lease.py INTERFACE SECONDS

Standard library only, so that it runs in any namespace as it is.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from pathlib import Path

COOKIE = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
AGAIN = 1.0  # seconds


def message(kind: int, mac: bytes, xid: int, options: bytes = b"") -> bytes:
    """A whole frame, from nobody to everybody."""
    fixed = struct.pack("!BBBBIHH16x16s192x", 1, 1, 6, 0, xid, 0, 0x8000, mac.ljust(16, b"\0"))
    payload = (fixed + COOKIE + bytes([53, 1, kind]) + options + b"\xff").ljust(300, b"\0")
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"", b"\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    head = head[:10] + struct.pack("!H", checksum) + head[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + head + udp


def options_of(payload: bytes) -> dict[int, bytes]:
    found, at = {}, 240
    while at < len(payload) and payload[at] != 255:
        if payload[at]:
            found[payload[at]] = payload[at + 2 : at + 2 + payload[at + 1]]
            at += 1 + payload[at + 1]
        at += 1
    return found


def lease(interface: str, seconds: float) -> str:
    """The address that a server gave, or nothing."""
    mac = bytes.fromhex(Path(f"/sys/class/net/{interface}/address").read_text().replace(":", ""))
    xid = int(time.monotonic() * 1000) & 0xFFFF_FFFF
    until, next_ask, asking = time.monotonic() + seconds, 0.0, message(DISCOVER, mac, xid)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire:
        wire.bind((interface, 0x0800))
        while (now := time.monotonic()) < until:
            if now >= next_ask:
                wire.send(asking)
                next_ask = now + AGAIN
            wire.settimeout(0.2)
            try:
                frame = wire.recv(2048)
            except TimeoutError:
                continue
            if frame[23] != 17 or frame[34:38] != b"\x00\x43\x00\x44":
                continue
            payload = frame[42:]
            if payload[4:8] != struct.pack("!I", xid):
                continue
            options = options_of(payload)
            if options.get(53) == bytes([OFFER]):
                wanted = b"\x32\x04" + payload[16:20] + b"\x36\x04" + options[54]
                asking, next_ask = message(REQUEST, mac, xid, wanted), 0.0
            elif options.get(53) == bytes([ACK]):
                return socket.inet_ntoa(payload[16:20])
    return ""


if __name__ == "__main__":
    print(lease(sys.argv[1], float(sys.argv[2])))
