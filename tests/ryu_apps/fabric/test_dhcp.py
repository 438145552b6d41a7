"""Assignments read from servers' answers, whole or damaged."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.openflow.dhcp import Assigned, read_assignment

MAC = bytes.fromhex("020000000003")
IP_UDP = bytes.fromhex("45000000000000004011000000000000ffffffff0043004400000000")


def acknowledgement(kind: int = 5, address: bytes = b"\n\0\1\x64", ahead: bytes = b"") -> bytes:
    fixed = struct.pack("!BBBBIHH4x4s8x16s192x", 2, 1, 6, 0, 7, 0, 0, address, MAC)
    options = b"\x63\x82\x53\x63" + ahead + bytes([53, 1, kind]) + b"\x36\x04\n\0\0\1\xff"
    return b"\xff" * 6 + MAC + b"\x08\0" + IP_UDP + fixed + options


def reply(kind: int = 7, valid: int = 600) -> bytes:
    address = b"\xfd" + bytes(14) + b"\x64" + struct.pack("!II", valid, valid)
    inner = struct.pack("!HH", 5, len(address)) + address
    body = struct.pack("!HH2s", 1, 2, b"id") + struct.pack("!HHIII", 3, 12 + len(inner), 1, 0, 0)
    return MAC + bytes(6) + b"\x86\xdd" + bytes(48) + bytes([kind]) + b"\1\2\3" + body + inner


def test_what_a_server_gives_is_read() -> None:
    assert read_assignment(acknowledgement()) == Assigned("02:00:00:00:00:03", "10.0.1.100")
    padded = acknowledgement(ahead=b"\0\0\x01\x04\xff\xff\0\0")
    assert read_assignment(padded) == Assigned("02:00:00:00:00:03", "10.0.1.100")
    assert read_assignment(reply()) == Assigned("02:00:00:00:00:03", "fd00::64")
    for other in (acknowledgement(2), acknowledgement(6), acknowledgement(address=bytes(4)),
                  reply(2), reply(valid=0)):  # fmt: skip
        assert read_assignment(other) is None


@given(st.sampled_from([acknowledgement(), reply()]), st.data())
def test_damage_is_no_assignment_or_a_whole_one(frame: bytes, data: st.DataObject) -> None:
    cut = frame[: data.draw(st.integers(0, len(frame)))]
    broken = bytearray(cut)
    for _ in range(data.draw(st.integers(0, 4))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    read_assignment(bytes(broken))
