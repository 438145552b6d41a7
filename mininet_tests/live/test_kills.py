"""Controller and analysis killed in the middle of decisions: nothing is lost, nothing doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from mininet_tests.experiments.kills import POLICY, KillTrial, forced_alert_controller
from mininet_tests.live.conftest import MakeLab
from topology.records import Link


@pytest.mark.timeout(120)
def test_after_a_kill_switches_store_and_audit_agree(lab: MakeLab, tmp_path: Path) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    assert network.controller is not None
    port = int(network.controller.rpartition(":")[2])
    (tmp_path / "state").mkdir()
    controller = forced_alert_controller(tmp_path / "policy.yaml", tmp_path / "state", port, 2)
    try:
        controller.start()
        controller.wait_ready()
        tally = KillTrial(network, controller, seed=1).run(kills=8)
    finally:
        controller.kill()
    assert tally.problems == []
    assert sum(tally.kills.values()) == 8
    assert tally.decisions > 3
