"""The controller killed under traffic: what is allowed goes on, what is denied stays denied."""

from __future__ import annotations

import pytest

from mininet_tests.experiments.outage import POLICY, measure
from mininet_tests.live.conftest import MakeController, MakeLab
from topology.records import Link


@pytest.mark.timeout(90)
def test_a_killed_controller_is_not_missed(lab: MakeLab, controller: MakeController) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    seen = measure(network, controller(network))
    assert seen.opened_before > 0
    assert seen.opened_while_dead == seen.tried_while_dead > 10
    assert seen.lines_answered == seen.lines_sent > 100
    assert seen.denied_tried > 5 and seen.denied_opened == 0
    assert seen.resent == 0
    assert seen.youngest_rule > seen.restarted_for
