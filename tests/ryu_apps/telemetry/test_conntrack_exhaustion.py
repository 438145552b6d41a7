"""Switches that can track no more connections: reported once, and once when it is over."""

from __future__ import annotations

from policies.rules.layout import Reason
from response.ipc.messages import SwitchChanged
from ryu_apps.telemetry.conntrack_exhaustion import OVER_AFTER
from tests.support.controller_rig import Rig, tcp


def reported(rig: Rig) -> list[tuple[int, str]]:
    words = ("full", "room")
    return [(each.switch, each.what) for each in rig.messages(SwitchChanged) if each.what in words]


def test_a_flood_of_denied_connections_is_one_entry_and_its_end_another() -> None:
    rig = Rig()
    rig.connect()
    for port in range(1_000):
        rig.packet(1, Reason.FULL, tcp("10.0.0.1", "10.0.0.2", port), 1)
        rig.now += 0.1
    assert reported(rig) == [(1, "full")]
    (entry,) = (each for each in rig.messages(SwitchChanged) if each.what == "full")
    assert "10.0.0.1 (port 1) to 10.0.0.2" in entry.detail
    rig.advance(OVER_AFTER - 1)
    assert reported(rig) == [(1, "full")]
    rig.advance(2)
    assert reported(rig) == [(1, "full"), (1, "room")]
    assert ": 1000" in rig.messages(SwitchChanged)[-1].detail
    rig.advance(OVER_AFTER)
    rig.packet(1, Reason.FULL, tcp("10.0.0.1", "10.0.0.2", 22), 1)
    assert reported(rig) == [(1, "full"), (1, "room"), (1, "full")]
    denials = rig.core.packet_in.conntrack_exhaustion.denials[1]
    assert (denials.total, denials.count, denials.full) == (1_001, 1, True)
