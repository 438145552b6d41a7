"""Answers of DHCP servers, made by hand."""

from __future__ import annotations

import struct

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
