"""Switches that can track no more connections: told once, and once when it is over."""

from __future__ import annotations

from policies.rules.layout import Reason
from response.ipc.messages import SwitchChanged
from ryu_apps.telemetry.conntrack_exhaustion import OVER_AFTER
from tests.ryu_apps.test_core import Rig, tcp


def told(rig: Rig) -> list[tuple[int, str]]:
    words = ("full", "room")
    return [(each.switch, each.what) for each in rig.told(SwitchChanged) if each.what in words]


def test_a_flood_of_denied_connections_is_one_entry_and_its_end_another() -> None:
    rig = Rig()
    rig.connect()
    for port in range(1_000):
        rig.packet(1, Reason.FULL, tcp("10.0.0.1", "10.0.0.2", port), 1)
        rig.now += 0.1
    assert told(rig) == [(1, "full")]
    (entry,) = (each for each in rig.told(SwitchChanged) if each.what == "full")
    assert "10.0.0.1 (port 1) to 10.0.0.2" in entry.detail
    rig.later(OVER_AFTER - 1)
    assert told(rig) == [(1, "full")]
    rig.later(2)
    assert told(rig) == [(1, "full"), (1, "room")]
    assert ": 1000" in rig.told(SwitchChanged)[-1].detail
    rig.later(OVER_AFTER)
    rig.packet(1, Reason.FULL, tcp("10.0.0.1", "10.0.0.2", 22), 1)
    assert told(rig) == [(1, "full"), (1, "room"), (1, "full")]
    crowd = rig.core.packet_in.conntrack_exhaustion.denials[1]
    assert (crowd.total, crowd.count, crowd.full) == (1_001, 1, True)
