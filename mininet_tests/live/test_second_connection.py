"""Somebody who names the datapath id of a real switch that is driven: refused, and not felt."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.openflow_load import LoadSwitch
from console.clients.controller import ask_controller
from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.lab.lab import Lab
from mininet_tests.live.conftest import MakeController, MakeLab
from tests.support.live.operating import rules, septum

ALLOWED = "7000"


def opens(lab: Lab) -> bool:
    words = [sys.executable, TALK, "knock", "10.0.0.3", ALLOWED, "0.05"]
    return '"opened": 1' in lab.host("a1").run(words, 10).stdout


@pytest.mark.timeout(90)
@pytest.mark.threat("switch-identity")
def test_a_false_switch_takes_nothing_from_a_real_one(
    lab: MakeLab, controller: MakeController
) -> None:
    network = lab(POLICY.replace("switch: 2, port: 1", "switch: 1, port: 3"))
    running = controller(network, extra=("--analysis", "none"))
    talk: subprocess.Popen[str] = network.host("b1").start(
        [sys.executable, TALK, "answer", "10.0.0.3", ALLOWED]
    )
    right = rules(network)
    for _ in range(3):
        false = LoadSwitch(("127.0.0.1", running.options.of_port), dpid=1)
        false.connect()
        with pytest.raises(OSError):
            false.wait(lambda: False, 8)
        false.close()
        assert not false.switch.rules, "it learns nothing of the policy"
    status = ask_controller(running.options.state, {"do": "status"})
    assert [each["phase"] for each in status["switches"]] == ["ready"]
    assert status["lost"]["connections_refused"] == 3
    network.ofctl(1, "add-flow", "table=0,priority=60000,in_port=1,actions=drop")
    state = ("--state", str(running.options.state))
    assert septum("switches", "--check", *state).returncode == 1, "the real one is still read"
    assert septum("switches", "--check", *state).stdout.count("put right") == 1
    assert rules(network) == right and opens(network), "and repaired"
    assert talk.poll() is None
