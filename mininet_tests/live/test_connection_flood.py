"""One host opens connections without an end: another's still find room in the connection table."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.machine import said
from tests.support.live.asking import opens
from tests.support.live.connection_tables import POLICY as TWO_SWITCHES
from tests.support.live.connection_tables import at_most, septum_says, tracked

POLICY = TWO_SWITCHES.replace("switch: 2, port: 1", "switch: 1, port: 2")
FLOOD = str(Path(__file__).parents[1] / "traffic" / "flood.py")
TABLE = 6_000  # connections that the switches track here
SENT = 12_000  # connections that the flood would open


@pytest.mark.timeout(120)
@pytest.mark.threat("connection-tables")
def test_a_host_that_opens_connections_without_end_leaves_room_for_others(tmp_path: Path) -> None:
    switches = tmp_path / "switches.yaml"
    switches.write_text(f"default: {{connection_table: {TABLE}}}\n")
    with controlled(POLICY, (), ("--switches", str(switches))) as (lab, controller):
        a, b = lab.host("a"), lab.host("b")
        a.start([sys.executable, TALK, "answer", "10.0.0.1", "80"])
        time.sleep(0.5)
        with at_most(str(int(tracked()) + TABLE)):
            words = [a.plan.mac, b.plan.mac, "10.0.0.1", "10.0.0.2", str(SENT), "8", "1500"]
            flood = a.start([sys.executable, FLOOD, *words])
            for _ in range(8):
                assert opens(b, "10.0.0.1"), "the table is full"
                time.sleep(0.5)
            flood.wait(20)
            assert int(tracked()) < TABLE / 2
        said(["ovs-appctl", "dpctl/flush-conntrack"], timeout=10)
        assert "full" not in septum_says(controller.options.state, "switches")
