"""Packets and captures made by hand, for tests of what reads them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import ip_address

from topology.readers.link_layers import ETHERNET

A, B, R = "10.0.0.1", "10.0.0.2", "10.0.0.254"
A6, B6 = "fd00::1", "fd00::2"
Timed = tuple[float, bytes]


# Packets by hand


def ip(src: str, dst: str, proto: int, payload: bytes, fragment: int = 0, ident: int = 7) -> bytes:
    ends = ip_address(src).packed + ip_address(dst).packed
    if len(ends) == 8:
        size = 20 + len(payload)
        return (
            struct.pack("!BBHHHBBH", 0x45, 0, size, ident, fragment, 64, proto, 0) + ends + payload
        )
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + ends + payload


def tcp(
    src: str, dst: str, sport: int, dport: int, flags: int, data: int = 0, seq: int = 1
) -> bytes:
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, 0, 0x50, flags, 1000, 0, 0)
    return ip(src, dst, 6, head + b"x" * data)


def udp(src: str, dst: str, sport: int, dport: int, data: int = 10) -> bytes:
    return ip(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + data, 0) + b"x" * data)


def icmp(src: str, dst: str, kind: int, code: int, number: int = 5, inner: bytes = b"") -> bytes:
    proto = 58 if ":" in src else 1
    return ip(src, dst, proto, struct.pack("!BBHHH", kind, code, 0, number, 0) + inner)


def ethernet(packet: bytes, tags: tuple[int, ...] = (), kind: int | None = None) -> bytes:
    if kind is None:
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    vlan = b"".join(struct.pack("!HH", tag, 9) for tag in tags)
    return bytes.fromhex("020000000002020000000001") + vlan + struct.pack("!H", kind) + packet


def sll(packet: bytes) -> bytes:
    return struct.pack("!HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1\0\0", 0x0800) + packet


def sll2(packet: bytes) -> bytes:
    return struct.pack("!HHIHBB8s", 0x0800, 0, 3, 1, 0, 6, b"\2\0\0\0\0\1\0\0") + packet


def pcap(
    packets: Sequence[Timed],
    link: int = ETHERNET,
    order: str = "<",
    nano: bool = False,
    snap: int = 65_535,
) -> bytes:
    magic, unit = (0xA1B23C4D, 1e9) if nano else (0xA1B2C3D4, 1e6)
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)
    for ts, data in packets:
        fraction = round((ts - int(ts)) * unit)
        out += (
            struct.pack(order + "IIII", int(ts), fraction, len(data[:snap]), len(data))
            + data[:snap]
        )
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(
    packets: Sequence[Timed],
    link: int = ETHERNET,
    order: str = "<",
    nano: bool = False,
    simple: bool = False,
) -> bytes:
    out = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    options = struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0) if nano else b""
    out += block(order, 1, struct.pack(order + "HHI", link, 0, 0) + options)
    out += block(order, 4, b"\0" * 8)  # names, of no use here
    for ts, data in packets:
        stamp = round(ts * (1e9 if nano else 1e6))
        head = struct.pack(
            order + "IIIII", 0, stamp >> 32, stamp & 0xFFFF_FFFF, len(data), len(data)
        )
        out += (
            block(order, 3, struct.pack(order + "I", len(data)) + data)
            if simple
            else block(order, 6, head + data)
        )
    return out
