"""Policies exchanged under traffic: nothing allowed is lost, nothing denied passes."""

from __future__ import annotations

import pytest

from mininet_tests.experiments.updates import exchange, policy
from mininet_tests.live.conftest import MakeController, MakeLab
from topology.records import Link


@pytest.mark.timeout(90)
def test_exchanging_policies_is_not_felt(lab: MakeLab, controller: MakeController) -> None:
    network = lab(policy(0), links=[Link(1, 9, 2, 9)])
    seen = exchange(network, controller(network, extra=("--analysis", "none")), 12, 1500, 0.25)
    assert seen.changes == 12 and seen.flow_mods > 100
    assert seen.allowed_came == seen.allowed_sent > 3_000
    assert seen.denied_came == 0 < seen.denied_sent
