"""Answers of DHCP servers, made by hand."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from topology.addresses import link_local

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


def asking(
    kind: int,
    sender: str,
    *,
    chaddr: str = "",
    source: str = "0.0.0.0",
    ciaddr: str = "0.0.0.0",
    giaddr: str = "0.0.0.0",
    options: bytes = b"",
    port: int = 68,
) -> bytes:
    """A client's message to port 67: ``kind`` is 1 to discover, 3 to request, 7 to release."""
    mac, own = (bytes.fromhex(each.replace(":", "")) for each in (sender, chaddr or sender))
    ends = (IPv4Address(ciaddr).packed, bytes(8), IPv4Address(giaddr).packed)
    fixed = struct.pack("!BBBBIHH", 1, 1, 6, 0, 7, 0, 0) + b"".join(ends)
    fixed += own.ljust(16, b"\0") + bytes(192)
    message = fixed + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"
    udp = struct.pack("!HHHH", port, 67, 8 + len(message), 0) + message
    head = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(udp), 0, 64, 17, 0)
    head += IPv4Address(source).packed + b"\xff" * 4
    return b"\xff" * 6 + mac + b"\x08\0" + head + udp


def wants(address: str) -> bytes:
    """The option that names the address that is asked for."""
    return b"\x32\x04" + IPv4Address(address).packed


def releasing_six(sender: str, address: str, kind: int = 8) -> bytes:
    """A DHCPv6 client's message about an address of its own: 8 to release it."""
    mac = bytes.fromhex(sender.replace(":", ""))
    inner = struct.pack("!HH", 5, 24) + IPv6Address(address).packed + bytes(8)
    body = bytes([kind]) + b"\1\2\3" + struct.pack("!HH2s", 1, 2, b"id")
    body += struct.pack("!HHIII", 3, 12 + len(inner), 1, 0, 0) + inner
    udp = struct.pack("!HHHH", 546, 547, 8 + len(body), 0) + body
    head = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + link_local(sender).packed
    head += IPv6Address("ff02::1:2").packed
    return b"\x33\x33\0\1\0\2" + mac + b"\x86\xdd" + head + udp
