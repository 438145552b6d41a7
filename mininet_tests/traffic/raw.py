"""Raw frames for live tests: what no honest program sends, and what really arrives.

::

    python3 raw.py send INTERFACE HEX...              # frames, as they are
    python3 raw.py catch INTERFACE SECONDS KIND       # prints what comes in, a frame a line

KIND is ``all``, ``arp``, ``lldp``, ``udp`` or ``ip6``. It uses the standard
library only, so that it runs in any namespace as it is.
"""

from __future__ import annotations

import socket
import sys
import time

EVERYTHING = 3  # ETH_P_ALL
OUTGOING = 4  # PACKET_OUTGOING
TYPES = {"arp": 0x0806, "lldp": 0x88CC, "ip6": 0x86DD}


def send(interface: str, frames: list[str]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        for frame in frames:
            wire.send(bytes.fromhex(frame).ljust(60, b"\0"))


def catch(interface: str, seconds: float, kind: str) -> None:
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING)) as wire:
        wire.bind((interface, EVERYTHING))
        while (left := until - time.monotonic()) > 0:
            wire.settimeout(left)
            try:
                frame, where = wire.recvfrom(65535)
            except TimeoutError:
                return
            if where[2] != OUTGOING and wanted(frame, kind):
                print(frame.hex(), flush=True)


def wanted(frame: bytes, kind: str) -> bool:
    eth_type = int.from_bytes(frame[12:14], "big")
    if kind == "udp":
        return eth_type == 0x0800 and frame[23] == 17 or eth_type == 0x86DD and frame[20] == 17
    return kind == "all" or eth_type == TYPES[kind]


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], sys.argv[3:])
    else:
        catch(sys.argv[2], float(sys.argv[3]), sys.argv[4])
