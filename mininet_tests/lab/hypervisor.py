"""What a machine with virtual hosts does on its port: carry their frames, tagged or not.

::

    python3 hypervisor.py UPLINK GUEST:VLAN...       # VLAN 0: without a tag

Frames of a guest leave by the uplink with its tag; what comes in goes to the
guests of that tag. Standard library only, so that it runs in any namespace.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

EVERYTHING, OUTGOING = 3, 4  # ETH_P_ALL, PACKET_OUTGOING
SOL_PACKET, AUXDATA = 263, 8
VALID_TAG = 0x10  # TP_STATUS_VLAN_VALID


def opened(interface: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
    wire.bind((interface, EVERYTHING))
    wire.setsockopt(SOL_PACKET, AUXDATA, 1)
    return wire


def received(wire: socket.socket) -> tuple[bytes, int]:
    """A frame that came in, and its VLAN; nothing for one on its way out.

    The kernel takes the tag off and tells it beside the frame (packet(7)).
    """
    frame, beside, _, where = wire.recvmsg(65535, 256)
    if where[2] == OUTGOING:
        return b"", 0
    for level, kind, data in beside:
        if (level, kind) == (SOL_PACKET, AUXDATA):
            status, *_, tag, _ = struct.unpack("=IIIHHHH", data[:20])
            if status & VALID_TAG:
                return frame, tag & 0xFFF
    if frame[12:14] == b"\x81\x00":
        return frame[:12] + frame[16:], int.from_bytes(frame[14:16], "big") & 0xFFF
    return frame, 0


def carry(uplink: str, guests: dict[str, int]) -> None:
    out = opened(uplink)
    inside = {opened(name): vlan for name, vlan in guests.items()}
    while True:
        for wire in select.select([out, *inside], [], [])[0]:
            frame, tag = received(wire)
            if not frame:
                continue
            if wire is out:
                for guest, vlan in inside.items():
                    if vlan == tag:
                        guest.send(frame)
            elif inside[wire]:
                head = frame[:12] + struct.pack("!HH", 0x8100, inside[wire])
                out.send(head + frame[12:])
            else:
                out.send(frame)


if __name__ == "__main__":
    named = (word.split(":") for word in sys.argv[2:])
    carry(sys.argv[1], {name: int(vlan) for name, vlan in named})
