"""Flow exports made by hand: NetFlow 5 and 9, IPFIX with fixed and variable lengths."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

BOOTED = 1_700_000_000  # seconds since the epoch
V4_FIELDS = ((8, 4), (12, 4), (4, 1), (7, 2), (11, 2), (6, 1), (2, 4), (1, 4))
V6_FIELDS = ((27, 16), (28, 16), (4, 1), (7, 2), (11, 2), (6, 1), (2, 4), (1, 4))


@dataclass(frozen=True)
class Direction:
    """One row; ``begun`` and ``ended`` are seconds after `BOOTED`."""

    src: str
    dst: str
    proto: int = 6
    sport: int = 40_000
    dport: int = 22
    flags: int = 0x1B
    packets: int = 5
    octets: int = 500
    begun: float = 10.0
    ended: float = 12.0

    def common(self) -> bytes:
        return (
            ip_address(self.src).packed
            + ip_address(self.dst).packed
            + struct.pack("!BHHBII", self.proto, self.sport, self.dport, self.flags,
                          self.packets, self.octets)
        )  # fmt: skip


def version_5(rows: Sequence[Direction], sequence: int = 0, sampling: int = 0) -> bytes:
    head = struct.pack("!HHIIIIBBH", 5, len(rows), 60_000, BOOTED + 60, 0, sequence, 0, 0, sampling)
    body = b"".join(
        ip_address(row.src).packed + ip_address(row.dst).packed + bytes(4)
        + struct.pack("!HHIIIIHHxBBBHHBB2x", 1, 2, row.packets, row.octets, round(row.begun * 1000),
                      round(row.ended * 1000), row.sport, row.dport, row.flags, row.proto, 0,
                      64512, 64513, 24, 24)
        for row in rows
    )  # fmt: skip
    return head + body


def _set(number: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", number, len(body) + 4) + body


def _template(number: int, fields: Sequence[tuple[int, int]]) -> bytes:
    return struct.pack("!HH", number, len(fields)) + b"".join(
        struct.pack("!HH", *field) for field in fields
    )


def version_9(
    rows: Sequence[Direction], sequence: int = 0, templates: bool = True, domain: int = 1
) -> bytes:
    sets = b""
    if templates:
        times = ((22, 4), (21, 4))
        sets += _set(0, _template(256, (*V4_FIELDS, *times)) + _template(257, (*V6_FIELDS, *times)))
    for row in rows:
        data = row.common() + struct.pack("!II", round(row.begun * 1000), round(row.ended * 1000))
        sets += _set(257 if ":" in row.src else 256, data)
    count = len(rows) + 2 * templates
    return struct.pack("!HHIIII", 9, count, 60_000, BOOTED + 60, sequence, domain) + sets


def ipfix(
    rows: Sequence[Direction], sequence: int = 0, templates: bool = True, domain: int = 1
) -> bytes:
    """With times in milliseconds and, first of all, an interface name of variable length."""
    sets = b""
    if templates:
        fields = [((82, 0xFFFF), *each, (152, 8), (153, 8)) for each in (V4_FIELDS, V6_FIELDS)]
        sets += _set(2, _template(300, fields[0])) + _set(2, _template(301, fields[1]))
    for row in rows:
        times = (round((BOOTED + each) * 1000) for each in (row.begun, row.ended))
        name = b"\xff\0\x04eth0" if row.sport % 2 else b"\x04eth0"
        data = name + row.common() + struct.pack("!QQ", *times)
        sets += _set(301 if ":" in row.src else 300, data)
    head = struct.pack("!HHIII", 10, 16 + len(sets), BOOTED + 60, sequence, domain)
    return head + sets
