"""The LLDP frames (IEEE 802.1AB) that find links: signed, and good for one arrival."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from ryu_apps.openflow.ethernet import ETH_LLDP

LLDP_MULTICAST = bytes.fromhex("0180c200000e")
SEPTUM_OUI = b"\x02\x53\x50"  # locally administered
FORMAT = b"\x02"  # frames of the first format had neither nonce nor time
NONCE_SIZE, TIME_SIZE, TAG_SIZE = 8, 8, 16
TIME_TO_LIVE = 120  # seconds, as the standard has it; nobody else reads it


class DiscoveryFrame(NamedTuple):
    """The switch and port that a frame left by, with its ``nonce``; ``sent`` in seconds since the
    epoch."""

    switch: int
    port: int
    nonce: bytes
    sent: float


def lldp_frame(frame: DiscoveryFrame, mac: bytes, secret: bytes) -> bytes:
    """An LLDP frame that only this controller can have made: it carries a keyed tag."""
    signed = _signed(frame)
    parts = (
        _tlv(1, b"\x07dpid:%016x" % frame.switch),
        _tlv(2, b"\x07%d" % frame.port),
        _tlv(3, struct.pack("!H", TIME_TO_LIVE)),
        _tlv(127, SEPTUM_OUI + FORMAT + signed + _tag(frame, signed, secret)),
        _tlv(0, b""),
    )
    return LLDP_MULTICAST + mac + struct.pack("!H", ETH_LLDP) + b"".join(parts)


def read_lldp(data: bytes, secret: bytes) -> DiscoveryFrame | None:
    """One of our LLDP frames; None for any other, forged ones too."""
    values: dict[int, bytes] = {}
    at = 14
    while at + 2 <= len(data):
        (head,) = struct.unpack_from("!H", data, at)
        kind, length = head >> 9, head & 0x1FF
        values[kind] = data[at + 2 : at + 2 + length]
        at += 2 + length
        if kind == 0:
            break
    own = values.get(127, b"").removeprefix(SEPTUM_OUI + FORMAT)
    if len(own) != NONCE_SIZE + TIME_SIZE + TAG_SIZE:
        return None
    nonce, tag = own[:NONCE_SIZE], own[NONCE_SIZE + TIME_SIZE :]
    (milliseconds,) = struct.unpack_from("!Q", own, NONCE_SIZE)
    try:
        switch = int(values[1].removeprefix(b"\x07dpid:"), 16)
        port = int(values[2].removeprefix(b"\x07"))
    except (KeyError, ValueError):
        return None
    frame = DiscoveryFrame(switch, port, nonce, milliseconds / 1000)
    signed = own[: NONCE_SIZE + TIME_SIZE]
    return frame if hmac.compare_digest(tag, _tag(frame, signed, secret)) else None


def _signed(frame: DiscoveryFrame) -> bytes:
    return frame.nonce + struct.pack("!Q", round(frame.sent * 1000))


def _tag(frame: DiscoveryFrame, signed: bytes, secret: bytes) -> bytes:
    text = b"%d %d " % (frame.switch, frame.port) + signed
    return hmac.new(secret, text, hashlib.sha256).digest()[:TAG_SIZE]


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!H", kind << 9 | len(value)) + value
