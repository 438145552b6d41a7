"""The same controller on os-ken, Ryu's maintained fork: faults under traffic are not felt."""

from __future__ import annotations

import pytest

from mininet_tests.experiments import faults
from mininet_tests.experiments.updates import policy, put_in_force
from mininet_tests.live.conftest import MakeController, MakeLab
from ryu_apps.runtime import CHOICE
from topology.records import Link


@pytest.mark.timeout(90)
def test_os_ken_runs_it_too(
    lab: MakeLab, controller: MakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHOICE, "os-ken")
    network = lab(policy(0), links=[Link(1, 9, 2, 9)])
    running = controller(network)
    assert faults.status(running)["library"] == "os-ken"
    felt = faults.under_traffic(network, running, faults.controller_killed(running, 1.0), 5.0)
    assert felt.lost == felt.leaked == felt.flow_mods == 0 < felt.sent, felt
    assert put_in_force(running, policy(3))
    felt = faults.under_traffic(network, running, lambda: None, 1.0)
    assert felt.lost == felt.leaked == 0, felt
