"""Link discovery frames between the rig's switches: caught where they leave, carried by hand."""

from __future__ import annotations

import struct

from policies.rules.layout import Reason
from ryu_apps.openflow.ethernet import ETH_LLDP
from tests.support.controller_rig import Rig
from topology.hosts import Place

_LLDP = ETH_LLDP.to_bytes(2, "big")


def announce(rig: Rig, switch: int) -> None:
    """Have a switch's free ports send discovery frames, as happens every few seconds."""
    rig.carry_out(rig.core.port_changed(switch, 3, bytes(6), True, rig.now))


def sent(rig: Rig, place: Place) -> list[bytes]:
    """The discovery frames that left by a port, oldest first."""
    switch, port = place
    found = []
    for message in rig.switches[switch].packet_outs:
        (size,) = struct.unpack_from("!H", message, 16)
        actions, frame = message[24 : 24 + size], message[24 + size :]
        if actions[4:8] == struct.pack("!I", port) and frame[12:14] == _LLDP:
            found.append(frame)
    return found


def latest(rig: Rig, place: Place) -> bytes:
    return sent(rig, place)[-1]


def arrives(rig: Rig, frame: bytes, place: Place) -> None:
    rig.packet(place[0], Reason.LINK, frame, place[1])


def cable(rig: Rig, one: Place, other: Place, rounds: int = 2) -> None:
    """A cable (or two hosts that pass on what they get): what leaves here arrives there."""
    passed = {place: len(sent(rig, place)) for place in (one, other)}
    for _ in range(rounds):
        for near, far in ((one, other), (other, one)):
            announce(rig, near[0])
            new = sent(rig, near)[passed[near] :]
            passed[near] += len(new)
            for frame in new:
                arrives(rig, frame, far)
