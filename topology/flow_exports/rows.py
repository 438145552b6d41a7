"""One row of a flow export as a record: a direction of a connection, with its counters."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from topology.addresses import address_text
from topology.readers.rows import NUMBERED
from topology.records import FlowRecord, State

ElementKey = tuple[int, int]
"""An information element: enterprise (0: IANA's) and number."""

REVERSE = 29_305  # the enterprise number of the way back (RFC 5103)
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_V5_ROW = struct.Struct("!4s4s4sHHIIIIHHxBBx8x")
VERSION_5_SIZE = _V5_ROW.size
_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
# Elements of beginning and end: seconds, ms, NTP microseconds and nanoseconds, ms since the boot.
_BEGUN, _ENDED = (150, 152, 154, 156, 22), (151, 153, 155, 157, 21)


def row_of_version_5(data: bytes, at: int, booted: float) -> FlowRecord:
    """A row of NetFlow 5; ``booted`` is when the exporter started, in seconds since the epoch."""
    row = _V5_ROW.unpack_from(data, at)
    src, dst, _, _, _, packets, octets, first, last, sport, dport, flags, proto = row
    times = booted + first / 1000.0, booted + last / 1000.0
    return _record(times, (src, dst), proto, (sport, dport), flags, (packets, octets))


def number_of(value: bytes) -> int:
    """An unsigned value of any length."""
    return int.from_bytes(value, "big")


def row_of_elements(
    values: Mapping[ElementKey, bytes], base: float, relative: bool
) -> FlowRecord | None:
    """A data record of a template as a row; None where it does not give two addresses.

    Times since the boot count from ``base`` where ``relative``; else ``base`` is when it was sent.
    """

    def number(element: int, enterprise: int = 0) -> int | None:
        value = values.get((enterprise, element))
        return number_of(value) if value else None

    src = values.get((0, 8)) or values.get((0, 27))
    dst = values.get((0, 12)) or values.get((0, 28))
    if src is None or dst is None or len(src) != len(dst) or len(src) not in (4, 16):
        return None
    proto = number(4) or 0
    sport, dport = number(7) or 0, number(11) or 0
    if proto in (_ICMP, _ICMPV6):
        kind = number(32 if proto == _ICMP else 139)
        if kind is None:
            one = number(176 if proto == _ICMP else 178)
            code = number(177 if proto == _ICMP else 179)
            kind = dport if one is None else one << 8 | (code or 0)
        dport = kind
    status = number(89)
    return _record(
        _times(values, base, relative),
        (src, dst),
        proto,
        (sport & 0xFFFF, dport & 0xFFFF),
        (number(6) or 0) & 0xFF,
        (number(2) or number(86), number(1) or number(85)),
        (number(2, REVERSE), number(1, REVERSE)),
        dropped=status is not None and (status & 0xFF) >> 6 == 2,
    )


def _times(values: Mapping[ElementKey, bytes], base: float, relative: bool) -> tuple[float, float]:
    """Beginning and end, in seconds since the epoch."""
    ends = []
    booted = base
    if not relative:
        started = values.get((0, 160))
        booted = number_of(started) / 1000.0 if started else base
    for seconds, milli, micro, nano, since_boot in (_BEGUN, _ENDED):
        if value := values.get((0, seconds)):
            ends.append(float(number_of(value)))
        elif value := values.get((0, milli)):
            ends.append(number_of(value) / 1000.0)
        elif (value := values.get((0, micro)) or values.get((0, nano))) and len(value) == 8:
            ends.append(number_of(value[:4]) - NTP_EPOCH + number_of(value[4:]) / (1 << 32))
        elif value := values.get((0, since_boot)):
            ends.append(booted + number_of(value) / 1000.0)
        else:
            ends.append(ends[0] if ends else base)
    return ends[0], ends[1]


def _record(
    times: tuple[float, float],
    ends: tuple[bytes, bytes],
    proto: int,
    ports: tuple[int, int],
    flags: int,
    there: tuple[int | None, int | None],
    back: tuple[int | None, int | None] = (None, None),
    dropped: bool = False,
) -> FlowRecord:
    """``there`` and ``back`` are packets and bytes of the two directions."""
    sport, dport = ports
    if proto in (_ICMP, _ICMPV6):
        sport, dport = dport >> 8, dport & 0xFF
    elif proto not in (6, 17, 132):
        sport = dport = 0
    return FlowRecord(
        times[0],
        address_text(ends[0]),
        address_text(ends[1]),
        NUMBERED.get(str(proto), str(proto)),
        sport,
        dport,
        max(0.0, times[1] - times[0]),
        there[0],
        there[1],
        back[0] or None,
        back[1] or None,
        state="denied" if dropped else _state(proto, flags),
    )


def _state(proto: int, flags: int) -> State | None:
    """From the TCP flags of one direction, as for nfdump's rows."""
    flags &= _FIN | _SYN | _RST | _PSH | _ACK
    if proto != _TCP or not flags:
        return None
    if flags == _SYN:
        return "unanswered"
    if flags & _RST and not flags & ~(_RST | _ACK):
        return "rejected"
    return "established" if flags & _SYN else None
