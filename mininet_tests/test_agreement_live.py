"""The installed rules, as Open vSwitch itself traces them, against the policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mininet_tests.agreement import compare
from mininet_tests.conftest import MakeController, MakeLab
from policies.model import Mode
from policies.reader import load_policy
from topology.records import Link

POLICY = Path(__file__).parent / "scenarios" / "agreement-policy.yaml"
LINKS = (Link(1, 11, 2, 11), Link(2, 12, 3, 11))


@pytest.mark.timeout(180)
def test_trace_agrees_with_the_verdict(lab: MakeLab, controller: MakeController) -> None:
    network = lab(POLICY.read_text(), links=LINKS)
    controller(network, extra=("--analysis", "none"))
    policy = load_policy([POLICY])
    result = compare(network, policy, count=600, seed=1)
    assert result.disagreements == []
    assert result.asked >= 500
    assert result.allowed_share >= 0.4
    assert set(result.intents) == {intent.name for intent in policy.intents}
    assert set(result.modes) == {mode.name.lower() for mode in Mode}
    assert result.replies >= 100 and result.crossings >= 100 and result.ipv6 >= 100
